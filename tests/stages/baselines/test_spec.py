from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import BadInput
from pipeline.experiment_file import check, from_yaml, to_yaml
from pipeline.stages.baselines.fitting import settle_baseline
from pipeline.stages.baselines.spec import EstimatorSpec, known_estimators
from pipeline.stages.split import SplitSpec, split
from tests.making import dataset


def tree(model: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"name": "x", "datasets": {"d": {"make": "moons"}}, "models": {"m": model}, **sections}


@pytest.mark.parametrize(
    ("model", "field", "words"),
    [
        ({"sklearn": "LogisticRegresion"}, "sklearn", "did you mean 'LogisticRegression'?"),
        ({"sklearn": "zzz"}, "sklearn", "'zzz' is no classifier or regressor of scikit-learn"),
        ({"sklearn": 3}, "sklearn", "3 can't be used"),
        ({"sklearn": "StandardScaler"}, "sklearn", "is no classifier or regressor"),
        ({"sklearn": "SVC", "gama": 1}, "gama", "SVC has no such argument; did you mean 'gamma'?"),
        ({"sklearn": "GaussianNB", "c": 1}, "c", "choose from priors, var_smoothing"),
        ({"sklearn": "LogisticRegression", "C": -1}, "C", "-1 can't be used; should be a float in the range"),
        ({"sklearn": "SVC", "kernel": "cubic"}, "kernel", "'cubic' can't be used; should be a str among"),
        ({"sklearn": "StackingClassifier"}, "sklearn", "made of other estimators"),
        ({"sklearn": "OneVsRestClassifier"}, "sklearn", "made of other estimators"),
        ({"sklearn": "SelfTrainingClassifier"}, "sklearn", "made of other estimators"),
        ({"sklearn": "SVC", "training": {"lr": 0.1}}, "training", "belongs to networks"),
        ({"sklearn": "SVC", "tuning": None}, "tuning", "belongs to networks"),
        ({"sklearn": "SVC", "hidden_units": []}, "hidden_units", "belongs to networks"),
        ({"sklearn": "SVC", "random_state": 3}, "random_state", "each run's seed is its random_state"),
        ({"sklearn": "RandomForestClassifier", "n_jobs": 2}, "n_jobs", "one thread"),
    ],
)
def test_bad_input_is_one_line_with_file_field_value_and_remedy(model: dict[str, Any], field: str, words: str) -> None:
    """What scikit-learn wouldn't take is refused when the file is checked, in one line that says what to do."""
    with pytest.raises(BadInput) as caught:
        check(tree(model), "x.yaml")
    line = str(caught.value)
    assert line.startswith(f"x.yaml: models.m.{field}: ")
    assert words in line
    assert "\n" not in line


def test_defaults_of_networks_do_not_reach_it() -> None:
    """The experiment's `training` and `tuning` are for its networks; a model of scikit-learn is none of them."""
    given = tree({"sklearn": "SVC"}, training={"lr": 0.5}, tuning={"space": {"width": [2, 4]}})
    given["models"]["net"] = {"hidden_units": [3]}
    experiment = check(given, "x.yaml")
    assert experiment.models["m"] == EstimatorSpec(sklearn="SVC")
    assert experiment.models["net"].training.lr == 0.5  # type: ignore[union-attr]


def test_resolved_file_reads_back_equal() -> None:
    """Arguments of every kind that YAML has come back as they were, infinity among them."""
    arguments = {"C": float("inf"), "class_weight": {0: 1.0, 1: 2.5}, "fit_intercept": False, "max_iter": 50}
    experiment = check(tree({"sklearn": "LogisticRegression", **arguments}), "x.yaml")
    assert check(from_yaml(to_yaml(experiment)), "resolved.yaml") == experiment
    assert experiment.models["m"].arguments == arguments  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "target"), [("Ridge", "classes"), ("SVC", "a real target")])
def test_kind_must_fit_the_target(name: str, target: str) -> None:
    """A regressor for classes and a classifier for a real target are refused, and the dataset is named."""
    table = dataset(make="moons") if target == "classes" else dataset(make="line", noise=0.1)
    with pytest.raises(BadInput, match=rf"models\.m\.sklearn: {name} is a \w+, and d has {target}; name a") as caught:
        settle_baseline(split(table, SplitSpec(stratify=target == "classes")), "m", EstimatorSpec(sklearn=name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_every_estimator_is_taken_or_refused_in_one_line(kind: str) -> None:
    """Of all that scikit-learn has by name, each is a model, or is told to be made of others; nothing else happens."""
    for name in known_estimators()[kind]:
        refused = ""
        try:
            spec = EstimatorSpec.model_validate({"sklearn": name})
            assert spec.is_classifier == (kind == "classifier")
            assert isinstance(spec.is_calibrated, bool)
        except ValueError as error:
            refused = str(error)
        assert not refused or "made of other estimators" in refused, name
