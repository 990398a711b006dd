from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline.artifacts import FittedEstimator
from pipeline.errors import StoreError
from pipeline.stages.baselines.storage import DESCRIPTION, FILE, load_estimator, save_estimator
from tests.making import dataset


def fitted(name: str, **arguments: Any) -> tuple[FittedEstimator, np.ndarray[Any, Any]]:
    from pipeline.stages.baselines.spec import EstimatorSpec

    table = dataset(load="iris")
    spec = EstimatorSpec.model_validate({"sklearn": name, **arguments})
    estimator = spec.estimator_class(**arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(table.features, table.target)
    return FittedEstimator(name, arguments, "1.0", estimator, ("a note",)), table.features


@pytest.mark.parametrize(
    "name",
    [
        "LogisticRegression",
        "HistGradientBoostingClassifier",
        "DummyClassifier",
        "KNeighborsClassifier",
        "MLPClassifier",
    ],
)
def test_what_is_read_back_predicts_the_same(name: str, tmp_path: Path) -> None:
    """Estimators made of trees, arrays, neighbours or nothing give the same bits after a round trip."""
    one, features = fitted(name)
    save_estimator(one, tmp_path)
    other = load_estimator(tmp_path)
    assert (other.name, other.arguments, other.version, other.notes) == (one.name, {}, "1.0", ("a note",))
    assert np.array_equal(one.estimator.predict_proba(features), other.estimator.predict_proba(features))
    assert {file.name for file in tmp_path.iterdir()} == {FILE, DESCRIPTION}


def test_types_of_others_are_refused(tmp_path: Path) -> None:
    """A file that would make anything but scikit-learn's and numpy's types is refused before anything is made."""
    one, _ = fitted("GaussianNB")
    save_estimator(one, tmp_path)
    foreign = make_pipeline(FunctionTransformer(dataset), one.estimator)
    skops.io.dump(foreign, tmp_path / FILE)
    with pytest.raises(StoreError, match=r"tests\.making\.dataset, which is neither"):
        load_estimator(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "no json", "other keys"])
def test_damage_is_told(damage: str, tmp_path: Path) -> None:
    """A file that is cut short, empty or missing is a StoreError that names the folder."""
    one, _ = fitted("GaussianNB")
    save_estimator(one, tmp_path)
    file = tmp_path / FILE
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "missing":
        file.unlink()
    else:
        (tmp_path / DESCRIPTION).write_text("{" if damage == "no json" else json.dumps({"a": 1}), encoding="utf-8")
    with pytest.raises(StoreError, match="holds no estimator that can be read"):
        load_estimator(tmp_path)
