"""The networks under scikit-learn's own tools."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs, make_moons, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from pipeline import NetworkClassifier, NetworkRegressor
from pipeline.artifacts import Dataset
from pipeline.errors import AllMembersFailed, BadInput
from pipeline.stages.inference import predict
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.training.spec import ModelSpec
from tests.conftest import REPOSITORY
from tests.making import dataset

QUICK: dict[str, Any] = {"hidden_units": (5,), "optimizer": "Adam", "lr": 0.05, "epochs": 30, "random_state": 0}

MOONS = make_moons(n_samples=120, noise=0.2, random_state=0)
LINE = make_regression(n_samples=120, n_features=3, noise=5.0, random_state=0)

CHECKS = """
from sklearn.utils.estimator_checks import check_estimator
import pipeline

estimator = pipeline.{name}
for made in (estimator(), estimator(n_seeds=3, average=False, optimizer="Adam", lr=0.05, epochs=40)):
    results = check_estimator(made, on_skip=None)
    statuses = {{result["check_name"]: result["status"] for result in results}}
    assert len(statuses) > 40, sorted(statuses)
    assert set(statuses.values()) == {{"passed"}}, statuses
"""


def fitted(**params: Any) -> NetworkClassifier:
    return NetworkClassifier(**{**QUICK, **params}).fit(*MOONS)


def bits(estimator: NetworkClassifier | NetworkRegressor) -> list[list[bytes]]:
    return [[array.tobytes() for array in (*net.weights, *net.biases)] for net in estimator.networks_]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NetworkClassifier", "NetworkRegressor"])
def test_scikit_learns_checks_pass_and_none_is_skipped(name: str) -> None:
    """`check_estimator` passes on an estimator as it comes and on one of several seeds; no check is skipped."""
    # One of the checks needs this variable, and scipy reads it when it is imported.
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SCIPY_ARRAY_API": "1"}
    command = [sys.executable, "-c", CHECKS.format(name=name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
@pytest.mark.parametrize(
    "table",
    [
        dataset("moons", make="moons", n_samples=100, noise=0.2),
        dataset("blobs", make="blobs", n_samples=120, centers=3),
        dataset("line", make="line", n_samples=80),
    ],
    ids=lambda table: table.name,
)
def test_a_fit_is_what_an_experiment_trains(table: Dataset, scaler: Any) -> None:
    """On the same rows and with the same seeds, networks equal an experiment's to the bit, and predictions to 1e-6."""
    made = split(table, SplitSpec(scaler=scaler))
    training = {"optimizer": "Adam", "lr": 0.05, "epochs": 30}
    spec = ModelSpec.model_validate({"hidden_units": (5,), "activation": "tanh", "training": training})
    expected = train(TrainTask(made, settle(made, "m", spec), (3, 4), "cpu"))
    kind = NetworkRegressor if table.task == "regression" else NetworkClassifier
    estimator = kind((5,), "tanh", **training, scaler=scaler, n_seeds=2, random_state=3)
    estimator.fit(table.features[made.train], table.target[made.train])
    assert estimator.seeds_ == [model.seed for model in expected]
    for network, loss, model in zip(estimator.networks_, estimator.loss_curves_, expected, strict=True):
        for ours, theirs in zip(network.weights, model.network.weights, strict=True):
            assert ours.tobytes() == theirs.tobytes()
        assert loss.tolist() == model.history.train_loss.tolist()
    mean = np.mean([predict(model.network, made, made.test) for model in expected], axis=0)
    predicted = estimator.predict if table.task == "regression" else estimator.predict_proba
    np.testing.assert_allclose(predicted(table.features[made.test]), mean, atol=1e-6)


@pytest.mark.parametrize("balanced", [True, False])
def test_class_weights_are_those_of_an_experiment(balanced: bool) -> None:
    """Balanced, or by label, they train the networks that an experiment trains, to the bit; by name there."""
    made = split(dataset("moons", make="moons", n_samples=[90, 30], noise=0.2), SplitSpec())
    training = {"optimizer": "Adam", "lr": 0.05, "epochs": 30}
    given = {**training, "class_weight": "balanced" if balanced else {"1": 5}}
    spec = ModelSpec.model_validate({"hidden_units": (5,), "training": given})
    (expected,) = train(TrainTask(made, settle(made, "m", spec), (0,), "cpu"))
    labels = np.array(["no", "yes"])[made.dataset.target[made.train]]
    features, class_weight = made.dataset.features[made.train], "balanced" if balanced else {"yes": 5}
    estimator = NetworkClassifier((5,), **training, random_state=0, class_weight=class_weight).fit(features, labels)
    (network,) = estimator.networks_
    for ours, theirs in zip(network.weights, expected.network.weights, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    plain = NetworkClassifier((5,), **training, random_state=0).fit(features, labels)
    assert bits(plain) != bits(estimator)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_several_seeds_give_the_mean_of_single_fits(batch_size: int | None) -> None:
    """Predictions of three seeds are the mean of three fits with one seed each, which train the very same networks."""
    features = MOONS[0]
    single = [fitted(batch_size=batch_size, random_state=seed) for seed in (7, 8, 9)]
    several = fitted(batch_size=batch_size, random_state=7, n_seeds=3)
    assert bits(several) == [bits(one)[0] for one in single]
    mean = np.mean([one.predict_proba(features) for one in single], axis=0)
    np.testing.assert_allclose(several.predict_proba(features), mean, rtol=1e-12)
    assert several.predict(features).tolist() == mean.argmax(axis=1).tolist()
    regressors = [
        NetworkRegressor(**{**QUICK, "random_state": seed, "n_seeds": n}) for seed, n in ((0, 2), (0, 1), (1, 1))
    ]
    both, first, second = (regressor.fit(*LINE).predict(LINE[0]) for regressor in regressors)
    np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-9)


def test_without_averaging_the_network_of_the_lowest_loss_stays() -> None:
    """`average=False` keeps of all seeds the network with the lowest training loss, alone."""
    everyone, best = fitted(n_seeds=6), fitted(n_seeds=6, average=False)
    winner = int(everyone.loss_curves_[:, -1].argmin())
    assert winner > 0  # or the first might have been kept for being the first
    assert best.seeds_ == [winner]
    assert bits(best) == [bits(everyone)[winner]]
    assert best.loss_curves_.tolist() == everyone.loss_curves_[[winner]].tolist()


def test_random_state_means_what_scikit_learn_means_by_it() -> None:
    """An integer repeats a fit; a RandomState goes on from fit to fit; None draws anew for each."""
    assert bits(fitted()) == bits(fitted())
    state = np.random.RandomState(5)
    drawn = [fitted(random_state=state).seeds_, fitted(random_state=state, n_seeds=2).seeds_]
    assert drawn[0] != drawn[1][:1]
    assert drawn[1][1] == drawn[1][0] + 1
    assert drawn[0] == fitted(random_state=np.random.RandomState(5)).seeds_
    assert fitted(random_state=None).seeds_ != fitted(random_state=None).seeds_


def test_clones_and_copies(tmp_path: Path) -> None:
    """A clone is unfitted with equal parameters; a pickled or memory-mapped copy predicts the same, and no warning."""
    estimator = fitted(n_seeds=2)
    cloned = clone(estimator)
    assert cloned.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        cloned.predict(MOONS[0])
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    mapped = joblib.load(tmp_path / "estimator.joblib", mmap_mode="r")
    for copy in (pickle.loads(pickle.dumps(estimator)), mapped):
        assert copy.predict_proba(MOONS[0]).tolist() == estimator.predict_proba(MOONS[0]).tolist()


def test_tables_and_names() -> None:
    """Column names and labels of any kind are kept; columns in another order are refused."""
    features, target = make_blobs(n_samples=90, centers=3, random_state=0)
    table = pd.DataFrame(features, columns=["width", "height"])
    names = np.array(["cat", "ant", "bee"])[target]
    estimator = NetworkClassifier(**QUICK).fit(table, pd.Series(names))
    assert estimator.feature_names_in_.tolist() == ["width", "height"]
    assert estimator.classes_.tolist() == ["ant", "bee", "cat"]
    assert estimator.n_iter_ == estimator.loss_curves_.shape[1] == 30
    assert estimator.predict_proba(table).shape == (90, 3)
    assert (estimator.predict(table) == names).mean() > 0.9
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(table[["height", "width"]])


def test_precision_of_the_features_changes_nothing() -> None:
    """Numbers that single precision holds give the same bits whether they come in single or double."""
    features, labels = MOONS[0].astype(np.float32), MOONS[1]
    single = NetworkClassifier(**QUICK).fit(features, labels)
    double = NetworkClassifier(**QUICK).fit(features.astype(np.float64), labels)
    assert bits(single) == bits(double)
    assert single.predict_proba(features).tolist() == double.predict_proba(features.astype(np.float64)).tolist()


def test_a_regression_comes_back_in_its_own_units() -> None:
    """A target far from zero is fitted as well as one near it, by either loss, and predicted in its own units."""
    features, target = LINE
    regressors = [NetworkRegressor((), loss=loss, epochs=300, random_state=0) for loss in ("mse", "l1")]
    for regressor in regressors:
        near = regressor.fit(features, target).predict(features)
        far = clone(regressor).fit(features, 1e4 + 100 * target).predict(features)
        np.testing.assert_allclose(far, 1e4 + 100 * near, rtol=1e-3)
        assert regressor.score(features, target) > 0.95
    assert bits(regressors[0]) != bits(regressors[1])


def test_searches_take_them() -> None:
    """A grid search over numpy's numbers, through a pipeline, refits the best; so does cross-validation a regressor."""
    network = NetworkClassifier(**{**QUICK, "epochs": 100})
    grid = {
        "networkclassifier__epochs": np.array([1, 100]),
        "networkclassifier__lr": np.logspace(-2, -1, 2),
        "networkclassifier__hidden_units": [(np.int64(4),), np.array([4, 4])],
    }
    search = GridSearchCV(make_pipeline(PolynomialFeatures(2), network), grid, cv=3, error_score="raise").fit(*MOONS)
    assert search.best_params_["networkclassifier__epochs"] == 100
    assert search.best_score_ > 0.85
    regressor = NetworkRegressor(**{**QUICK, "epochs": 200})
    assert cross_val_score(regressor, *LINE, cv=3, error_score="raise").min() > 0.9


def test_calibration_and_importance_take_them() -> None:
    """Probabilities can be calibrated, and the importance of features found, by scikit-learn."""
    features, labels = MOONS
    noise = np.random.default_rng(0).normal(size=(len(features), 1))
    network = NetworkClassifier(**{**QUICK, "epochs": 100})
    calibrated = CalibratedClassifierCV(network, cv=3).fit(features, labels)
    assert calibrated.score(features, labels) > 0.85
    both = np.hstack([features, noise])
    importance = permutation_importance(clone(network).fit(both, labels), both, labels, random_state=0)
    assert importance.importances_mean.argmin() == 2


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"lr": -1}, "lr: -1 can't be used; should be greater than 0"),
        ({"lr": "fast"}, "lr: 'fast' can't be used"),
        ({"hidden_units": 10}, "hidden_units: 10 can't be used; should be a list"),
        ({"hidden_units": (4, 0)}, "hidden_units.1: 0 can't be used"),
        ({"activation": "swish"}, "activation: 'swish' can't be used; should be 'identity', 'relu'"),
        ({"momentum": 0.9}, "momentum: 0.9 is given, but Adam has no momentum"),
        ({"epochs": 2.5}, "epochs: 2.5 can't be used; should be a valid integer"),
        ({"batch_size": 0}, "batch_size: 0 can't be used"),
        ({"scaler": None}, "scaler: None can't be used; should be 'standard', 'minmax', 'robust' or 'none'"),
        ({"n_seeds": 0}, "n_seeds: 0 can't be used; should be greater than 0"),
        ({"average": 1}, "average: 1 can't be used; should be a valid boolean"),
        ({"random_state": -1}, "Seed must be between 0 and"),
        ({"class_weight": "even"}, "must be an instance of 'dict', an instance of 'list', a str among {'balanced'}"),
        ({"class_weight": {2: 1.0}}, "[0, 1], are not in class_weight"),
        ({"class_weight": {0: -1.0}}, "training rows of X weigh from -1 to 1, which one loss can't hold"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(params: dict[str, Any], told: str) -> None:
    """A wrong parameter is told by `fit`, as a ValueError that names it, its value and the remedy."""
    with pytest.raises(ValueError, match=re.escape(told)):
        NetworkClassifier(**{**QUICK, **params}).fit(*MOONS)


def test_weight_decay_has_torchs_default() -> None:
    """No weight decay given means 0.01 for AdamW and 0 for the others."""
    assert bits(fitted(optimizer="AdamW")) == bits(fitted(optimizer="AdamW", weight_decay=0.01))
    assert bits(fitted(optimizer="AdamW")) != bits(fitted(optimizer="AdamW", weight_decay=0.0))
    assert bits(fitted()) == bits(fitted(weight_decay=0.0))


def test_data_that_cannot_be_used_are_refused() -> None:
    """One class alone, sparse features and a loss for classes are refused, each with its reason."""
    features, labels = MOONS
    with pytest.raises(BadInput, match="only one class, 1; give rows"):
        NetworkClassifier(**QUICK).fit(features, np.ones_like(labels))
    with pytest.raises(TypeError, match="Sparse data was passed"):
        NetworkClassifier(**QUICK).fit(csr_array(features), labels)
    with pytest.raises(BadInput, match="loss: 'cross_entropy' doesn't fit a regression"):
        NetworkRegressor(**QUICK, loss="cross_entropy").fit(*LINE)


def test_networks_that_diverge_are_left_out() -> None:
    """Of several networks those that diverge are left out with a warning; when all do, the fit fails."""
    features, target = LINE
    regressor = NetworkRegressor((10, 10), lr=1.4, n_seeds=8, epochs=60, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"\d of 8 networks diverged \(train/loss became \w+ in epoch \d+\)"):
        regressor.fit(features, target)
    assert 0 < len(regressor.networks_) == len(regressor.seeds_) == len(regressor.loss_curves_) < 8
    assert np.isfinite(regressor.predict(features)).all()
    hopeless = NetworkRegressor(lr=1e6, random_state=0)
    with pytest.raises(AllMembersFailed, match=r"1 of 1 networks diverged .*; lower lr, now 1000000"):
        hopeless.fit(features, target)
    with pytest.raises(NotFittedError):
        hopeless.predict(features)


def test_the_package_is_imported_without_them() -> None:
    """`import pipeline` brings neither scikit-learn nor torch; an attribute that isn't there is told as ever."""
    code = "import sys, pipeline\nassert not {'sklearn', 'torch', 'numpy'} & set(sys.modules)\npipeline.Networks"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("AttributeError: module 'pipeline' has no attribute 'Networks'")


def test_the_readmes_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's lines from scikit-learn run as they stand, without a warning."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^## From scikit-learn\n.*?```python\n(.*?)```", readme, flags=re.MULTILINE | re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(block, {})
    assert "'activation': 'relu'" in capsys.readouterr().out
