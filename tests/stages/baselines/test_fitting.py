from __future__ import annotations

import numpy as np
import pytest

from pipeline.artifacts import FittedEstimator, Split, TrainedModel
from pipeline.stages.baselines.fitting import settle_baseline
from pipeline.stages.baselines.spec import EstimatorSpec
from pipeline.stages.evaluate import evaluate
from pipeline.stages.inference import predict
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask, check_memory
from pipeline.stages.train import train
from tests.making import dataset


def fit(made: Split, name: str, seeds: tuple[int, ...] = (0,), **arguments: object) -> list[TrainedModel]:
    spec = EstimatorSpec.model_validate({"sklearn": name, **arguments})
    return train(TrainTask(made, settle_baseline(made, "m", spec), seeds, "cpu"))


@pytest.fixture(scope="module")
def wine() -> Split:
    return split(dataset(load="wine"), SplitSpec())


def test_it_is_what_scikit_learn_fits_on_the_scaled_train_rows(wine: Split) -> None:
    """Probabilities on test rows are those of the class itself, fitted by hand on standardised train rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (trained,) = fit(wine, "LogisticRegression", C=0.5)
    features, target = wine.dataset.features, wine.dataset.target
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(features[wine.train], target[wine.train])
    expected = by_hand.predict_proba(features[wine.test])
    np.testing.assert_allclose(predict(trained.network, wine, wine.test), expected, atol=1e-4)
    assert trained.network.parameter_count == 3 * 13 + 3
    assert trained.params == {"dataset": "d", "model": "m", "seed": 0, "resample": 0} | {
        "sklearn": "LogisticRegression",
        "C": 0.5,
    }


def test_test_rows_have_no_part_in_fitting(wine: Split) -> None:
    """With other values in every row but the train rows, what is fitted says the same of the train rows."""
    from dataclasses import replace

    features = wine.dataset.features.copy()
    others = np.concatenate([wine.validation, wine.test])
    features[others] = -7 * features[others]
    changed = replace(wine, dataset=replace(wine.dataset, features=features))
    for name in ("SVC", "HistGradientBoostingClassifier"):
        (one,), (other,) = fit(wine, name), fit(changed, name)
        assert np.array_equal(predict(one.network, wine, wine.train), predict(other.network, changed, wine.train))


def test_seed_is_the_random_state(wine: Split) -> None:
    """A seed gives the same forest each time, another seed another one; where chance has no part all seeds are one."""
    zero, one = fit(wine, "RandomForestClassifier", (0, 2**40 + 1), n_estimators=5)
    (again,) = fit(wine, "RandomForestClassifier", (0,), n_estimators=5)
    shares = [predict(run.network, wine, wine.test) for run in (zero, one, again)]
    assert np.array_equal(shares[0], shares[2])
    assert not np.array_equal(shares[0], shares[1])
    assert zero.fingerprint == again.fingerprint != one.fingerprint
    first, second = fit(wine, "GaussianNB", (0, 1))
    assert first.network is second.network
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("name", ["SVC", "LinearSVC", "RidgeClassifier", "Perceptron"])
def test_scores_become_probabilities(wine: Split, name: str) -> None:
    """A class that gives no probabilities is calibrated on the train rows, and says so."""
    (trained,) = fit(wine, name)
    shares = predict(trained.network, wine, wine.test)
    assert shares.shape == (len(wine.test), 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert trained.params["calibration"] == "sigmoid"
    assert isinstance(trained.network, FittedEstimator)
    assert "CalibratedClassifierCV" in trained.network.notes[0]
    assert evaluate(wine, trained).metrics["accuracy"] > 0.8


def test_what_cannot_be_fitted_has_failed_with_the_reason(wine: Split) -> None:
    """A fit that raises leaves a run that failed and says why, and no numbers."""
    (trained,) = fit(wine, "MultinomialNB")
    assert trained.failure is not None
    assert trained.failure.startswith("MultinomialNB couldn't be fitted: Negative values in data")
    assert evaluate(wine, trained).predictions is None
    assert trained.network.parameter_count is None


def test_warnings_are_kept_and_raise_nothing(wine: Split) -> None:
    """What scikit-learn warns of while it fits stands in the run's notes."""
    (trained,) = fit(wine, "LogisticRegression", max_iter=1)
    assert isinstance(trained.network, FittedEstimator)
    assert trained.failure is None
    assert [note for note in trained.network.notes if "failed to converge" in note]


def test_weights_of_rows_go_to_every_class_that_takes_them(wine: Split) -> None:
    """Fitting takes the train rows' weights, 1 on average; a class that doesn't take any says so."""
    from dataclasses import replace

    from sklearn.linear_model import LogisticRegression

    weights = np.linspace(1, 9, len(wine.dataset.target))
    heavy = replace(wine, dataset=replace(wine.dataset, weights=weights))
    (trained,) = fit(heavy, "LogisticRegression")
    features, own = wine.scaled_features(wine.train).astype(np.float64), weights[wine.train]
    by_hand = LogisticRegression().fit(features, wine.dataset.target[wine.train], own / own.mean())
    assert isinstance(trained.network, FittedEstimator)
    np.testing.assert_allclose(trained.network.estimator.coef_, by_hand.coef_, atol=1e-8)
    (plain,) = fit(wine, "LogisticRegression")
    assert plain.fingerprint != trained.fingerprint
    for name, notes in (("KNeighborsClassifier", 1), ("LogisticRegression", 0)):
        network = fit(heavy, name)[0].network
        assert isinstance(network, FittedEstimator)
        assert sum("without the rows' weights" in note for note in network.notes) == notes
    assert not any("weights" in note for note in fit(wine, "KNeighborsClassifier")[0].network.notes)


def test_regression_comes_back_in_the_targets_units() -> None:
    """A regressor is fitted to the scaled target, and predicts in original units."""
    made = split(dataset(load="diabetes"), SplitSpec(stratify=False))
    (trained,) = fit(made, "Ridge", alpha=0.1)
    metrics = evaluate(made, trained).metrics
    assert metrics["r2"] > 0.3
    assert 40 < metrics["rmse"] < 70
    assert not {key for key in metrics if key.startswith("best/")}


def test_memory_is_for_networks(wine: Split) -> None:
    """A baseline isn't refused for want of memory for networks."""
    candidate = settle_baseline(wine, "m", EstimatorSpec(sklearn="SVC"))
    check_memory(TrainTask(wine, candidate, (0,), "cpu", memory=1))
