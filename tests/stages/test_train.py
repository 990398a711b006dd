from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts import Dataset, Floats, Split, TrainedModel
from pipeline.comparison.thresholds import Goal
from pipeline.stages.evaluate import predict
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.train import TrainTask, fingerprint, receive, send, train, train_sent
from pipeline.stages.tune import Candidate, settle
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


def test_what_was_trained_elsewhere_is_kept_here(moons: Dataset, tmp_path: Path) -> None:
    """A machine that doesn't see the folder of checkpoints is sent what it holds, and sends back what belongs there."""
    made = split(moons, SplitSpec())
    task = TrainTask(made, settle(made, "m", model()), (0, 1), "cpu", checkpoints=tmp_path / "checkpoints/population")
    folder = task.checkpoints
    assert folder is not None
    sent = send(task)
    shutil.rmtree(tmp_path / "checkpoints")
    trained = receive(train_sent(sent))
    assert [bits(one) for one in trained] == [bits(one) for one in train(replace(task, checkpoints=None))]
    assert list(folder.iterdir())
    kept = send(task)
    shutil.rmtree(tmp_path / "checkpoints")
    again = train_sent(kept)
    assert [one.started_at for one in again.models] == [one.started_at for one in trained]  # it wasn't trained again
    assert not folder.exists()


def test_folder_that_another_machine_sees_is_used_there(moons: Dataset, tmp_path: Path) -> None:
    """Where a disk is shared checkpoints are kept on it, and don't travel."""
    made = split(moons, SplitSpec())
    task = TrainTask(made, settle(made, "m", model()), (0, 1), "cpu", checkpoints=tmp_path / "checkpoints/population")
    returned = train_sent(send(task))
    assert returned.files == {}
    assert list(returned.folder.iterdir())


def test_params_are_the_contracts(moons: Dataset) -> None:
    """Every parameter that the contract names is there, with depth and width read off hidden_units."""
    params = train_on(split(moons, SplitSpec()), model())[0].params
    contract = ("dataset", "model", "seed", "hidden_units", "depth", "width", "activation", "optimizer", "lr", "epochs")
    assert set(contract) <= set(params)
    assert (params["hidden_units"], params["depth"], params["width"], params["batch_size"]) == ([5], 1, 5, None)


def test_fingerprint_changes_with_everything_that_determines_a_value(moons: Dataset) -> None:
    """Data, weights, split, scaler, network, training, seed and a threshold's goal each change it; nothing else."""
    made = split(moons, SplitSpec())
    candidate = settle(made, "m", model())
    base = fingerprint(made, candidate, 0)
    other_data = dataset("moons", make="moons", n_samples=90, noise=0.31)
    changed = {
        fingerprint(split(other_data, SplitSpec()), candidate, 0),
        fingerprint(split(moons, SplitSpec(random_state=1)), candidate, 0),
        fingerprint(split(moons, SplitSpec(), 1), candidate, 0),
        fingerprint(split(moons, SplitSpec(scaler="minmax")), candidate, 0),
        fingerprint(made, replace(candidate, spec=model(lr=0.06)), 0),
        fingerprint(made, replace(candidate, spec=model(epochs=9)), 0),
        fingerprint(made, replace(candidate, spec=ModelSpec(hidden_units=(6,))), 0),
        fingerprint(made, candidate, 1),
        fingerprint(made, replace(candidate, spec=model(class_weight="balanced")), 0),
        fingerprint(made, replace(candidate, spec=model(class_weight={"1": 2})), 0),
        fingerprint(weighted(made, np.ones(90)), candidate, 0),
        fingerprint(weighted(made, np.linspace(1, 2, 90)), candidate, 0),
    }
    assert len(changed) == 12
    assert base not in changed
    assert fingerprint(made, candidate, 0, Goal("f1")) not in {base, *changed}
    three = split(dataset(make="blobs", n_samples=90, centers=3), SplitSpec())
    assert fingerprint(three, candidate, 0, Goal("f1")) == fingerprint(three, candidate, 0)
    renamed = Candidate("other", "name", candidate.spec, candidate.loss)
    assert fingerprint(made, renamed, 0) == base


def test_fingerprints_from_before_class_weights_hold(moons: Dataset) -> None:
    """Where no class weights are given they have no part in the fingerprint, so runs stored before them are reused."""
    made = split(moons, SplitSpec())
    assert "class_weight" not in str(model().identity())
    given = [fingerprint(made, settle(made, "m", model(**none)), 0) for none in ({}, {"class_weight": None})]
    assert given[0] == given[1]


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
