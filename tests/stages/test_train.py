from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts import Dataset, Floats, Split, TrainedModel
from pipeline.stages.inference import predict
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.training.spec import ModelSpec, TrainingSpec
from tests.making import dataset


def model(**training: object) -> ModelSpec:
    keys = {"epochs": 8, "lr": 0.05, "optimizer": "Adam", **training}
    return ModelSpec(hidden_units=(5,), activation="tanh", training=TrainingSpec.model_validate(keys))


BALANCED: dict[str, Any] = {"class_weight": "balanced"}


def weighted(made: Split, weights: Floats) -> Split:
    return replace(made, dataset=replace(made.dataset, weights=weights))


def train_on(made: Split, spec: ModelSpec, seeds: tuple[int, ...] = (0, 1)) -> list[TrainedModel]:
    candidate = settle(made, "m", spec)
    return train(TrainTask(made, candidate, seeds, "cpu"))


def bits(trained: TrainedModel) -> list[bytes]:
    arrays = [*trained.network.weights, *trained.network.biases, *trained.history.curves().values()]
    if trained.snapshots is not None:
        arrays += [trained.snapshots.x, trained.snapshots.y, trained.snapshots.codes]
    return [array.tobytes() for array in arrays]


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(-1e6, 1e6),
    batch_size=st.sampled_from([None, 16]),
    class_weight=st.sampled_from([None, "balanced", {"1": 5}]),
    scaler=st.sampled_from(["standard", "minmax", "robust"]),
    resample=st.integers(0, 2),
)
def test_test_rows_change_nothing_before_evaluate(
    seed: int, scale: float, batch_size: int | None, class_weight: Any, scaler: str, resample: int
) -> None:
    """However the test rows' features, labels and weights are perturbed, split and train give the same bits."""
    weights = np.linspace(1, 2, 90)
    made_up = replace(dataset("d", make="moons", n_samples=90, noise=0.3, random_state=seed), weights=weights)
    spec = SplitSpec(stratify=False, random_state=seed, scaler=scaler)
    made = split(made_up, spec, resample)
    features, target = made_up.features.copy(), made_up.target.copy()
    features[made.test] = features[made.test] * scale + 1
    target[made.test] = 1 - target[made.test]
    weights = weights.copy()
    weights[made.test] += 1
    perturbed = split(replace(made_up, features=features, target=target, weights=weights), spec, resample)
    assert made.train.tolist() == perturbed.train.tolist()
    assert (made.center.tobytes(), made.scale.tobytes()) == (perturbed.center.tobytes(), perturbed.scale.tobytes())
    spec_of_model = model(batch_size=batch_size, class_weight=class_weight)
    for before, after in zip(train_on(made, spec_of_model), train_on(perturbed, spec_of_model), strict=True):
        assert bits(before) == bits(after)


@pytest.fixture(scope="module")
def moons() -> Dataset:
    return dataset("moons", make="moons", n_samples=90, noise=0.3)


def test_same_seed_same_bits(moons: Dataset) -> None:
    """Training again gives the same bits, and a seed's network doesn't depend on which seeds stand beside it."""
    made = split(moons, SplitSpec())
    first, second = train_on(made, model(), (0, 1))
    assert bits(first) == bits(train_on(made, model(), (0,))[0])
    assert bits(second) == bits(train_on(made, model(), (5, 1))[1])
    assert bits(first) != bits(second)


def test_how_a_network_learned_is_seen_of_resample_0(moons: Dataset) -> None:
    """Runs of resample 0 have snapshots, the last after the last epoch; others, and those that diverge, have none."""
    for trained in train_on(split(moons, SplitSpec()), model()):
        assert trained.snapshots is not None
        assert trained.snapshots.epochs.tolist() == [1, 2, 3, 4, 5, 6, 8]
    assert {trained.snapshots for trained in train_on(split(moons, SplitSpec(), 1), model())} == {None}
    (diverged,) = train_on(split(moons, SplitSpec()), model(lr=3e38), (0,))
    assert diverged.failure
    assert diverged.snapshots is None
    iris = split(dataset(load="iris"), SplitSpec())
    assert {trained.snapshots for trained in train_on(iris, model())} == {None}


def test_progress_is_told_beside_the_snapshots(moons: Dataset) -> None:
    """Whoever listens to training hears of every epoch, whether or not snapshots are taken."""
    for resample in (0, 1):
        made = split(moons, SplitSpec(), resample)
        heard: list[int] = []
        task = TrainTask(made, settle(made, "m", model()), (0,), "cpu")
        train(task, lambda population, heard=heard: heard.append(population.epoch))
        assert heard == list(range(1, 9))


def test_params_are_the_contracts(moons: Dataset) -> None:
    """Every parameter that the contract names is there, with depth and width read off hidden_units."""
    params = train_on(split(moons, SplitSpec()), model())[0].params
    contract = ("dataset", "model", "seed", "hidden_units", "depth", "width", "activation", "optimizer", "lr", "epochs")
    assert set(contract) <= set(params)
    assert (params["hidden_units"], params["depth"], params["width"], params["batch_size"]) == ([5], 1, 5, None)


def test_weights_change_training_and_no_other_measure() -> None:
    """Balanced classes make the rarer one be found more often; the validation loss stays the mean over the rows."""
    made = split(dataset("d", make="moons", n_samples=[180, 20], noise=0.3), SplitSpec())
    plain, balanced = (train_on(made, model(epochs=60, **weights), (0,))[0] for weights in ({}, BALANCED))
    rare = made.validation[made.dataset.target[made.validation] == 1]
    found = [predict(one.network, made, rare)[:, 1].mean() for one in (plain, balanced)]
    assert found[0] + 0.1 < found[1]
    assert balanced.params["class_weight"] == "balanced"
    shares = predict(balanced.network, made, made.validation)
    loss = -np.log(shares[np.arange(len(shares)), made.dataset.target[made.validation]]).mean()
    assert balanced.history.validation_loss[-1] == pytest.approx(loss, rel=1e-4)


def test_weights_of_rows_are_trained_with(moons: Dataset) -> None:
    """A dataset's weights go into training by themselves and together with those of classes, and change every bit."""
    made = split(moons, SplitSpec())
    heavy = weighted(made, np.linspace(1, 5, 90))
    ones = {"class_weight": {"1": 3}}
    found = [bits(train_on(one, model(**given), (0,))[0]) for one in (made, heavy) for given in ({}, ones)]
    assert len({tuple(one) for one in found}) == 4


def test_regression_trains_to_original_units() -> None:
    """A regression with a scaled target learns a line in units far from 1."""
    from pipeline.stages.evaluate import evaluate

    line = dataset("line", make="line", weight=700.0, bias=-300.0)
    made = split(line, SplitSpec())
    spec = ModelSpec(hidden_units=(), activation="identity", training=TrainingSpec(epochs=200))
    (trained,) = train_on(made, spec, (0,))
    metrics = evaluate(made, trained).metrics
    assert metrics["mae"] < 1
    assert metrics["r2"] > 0.999
    assert np.isnan(trained.history.train_accuracy).all()
