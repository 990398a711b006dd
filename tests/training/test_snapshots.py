from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import Snapshots, Split
from pipeline.planes import MOST_CODED, encode, grid_points
from pipeline.stages.populations import population_rows
from pipeline.stages.split import SplitSpec, split
from pipeline.training.networks import predict_logits, probabilities
from pipeline.training.population import Member, Outcome, Shape, train_population
from pipeline.training.snapshots import Recorder, is_recordable, is_recorded
from tests.making import dataset

# The first to leave their stack stand before one that stays.
MEMBERS = [
    Member(2, (6, 6), 3e38, 25),
    Member(1, (5, 5), 0.01, 9),
    Member(3, (6, 4), 0.02, 25),
    Member(0, (3,), 0.1, 4),
]


def make_split(n_classes: int) -> Split:
    return split(dataset(make="blobs", n_samples=90, centers=n_classes, random_state=3), SplitSpec())


def record(made: Split, members: list[Member] = MEMBERS, activation: str = "sigmoid") -> tuple[list[Outcome], Recorder]:
    recorder = Recorder(made)
    outcomes = train_population(
        shape_for(made, activation),
        members,
        *(population_rows(made, part) for part in ("train", "validation")),
        announce=recorder,
    )
    return outcomes, recorder


def shape_for(made: Split, activation: str = "sigmoid") -> Shape:
    loss = "bce_with_logits" if made.dataset.task == "binary" else "cross_entropy"
    return Shape(activation, loss, "Adam", made.dataset.n_outputs)


def codes_of(outcome: Outcome, snapshots: Snapshots, made: Split) -> np.ndarray:
    scaled = made.scale_features(grid_points(snapshots.x, snapshots.y))
    codes = encode(probabilities(predict_logits(outcome.network, scaled), made.dataset.task))
    return codes.reshape(len(snapshots.y), len(snapshots.x))


def test_epochs_are_the_same_for_runs_of_any_length() -> None:
    """Ten epochs in each factor of ten, from the first on; each member's last one besides, and no epoch twice."""
    assert [epoch for epoch in range(1, 101) if is_recorded(epoch)] == [
        *(1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 79, 100)
    ]
    assert sum(map(is_recorded, range(1001, 10_001))) == 10
    _, recorder = record(make_split(2))
    assert recorder.snapshots(3).epochs.tolist() == [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25]
    assert recorder.snapshots(1).epochs.tolist() == [1, 2, 3, 4, 5, 6, 8, 9]
    assert recorder.snapshots(0).epochs.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_snapshot_is_the_network_after_so_many_epochs(n_classes: int) -> None:
    """Each frame is what a network trained for just so many epochs predicts on the grid, but for rounding.

    The last is what the member's own final network predicts, to the bit.
    """
    made = make_split(n_classes)
    outcomes, recorder = record(made)
    for member, outcome in zip(MEMBERS, outcomes, strict=True):
        if outcome.failure:
            continue
        snapshots = recorder.snapshots(member.seed)
        assert np.array_equal(snapshots.codes[-1], codes_of(outcome, snapshots, made))
        for epochs in (1, 4, 8, 16):
            if epochs < member.epochs:
                (alone,), _ = record(made, [replace(member, epochs=epochs)])
                frame = snapshots.codes[snapshots.epochs.tolist().index(epochs)]
                off = np.abs(frame.astype(int) - codes_of(alone, snapshots, made))
                assert np.mean(off > 0) < 0.01
                assert (frame != snapshots.codes[-1]).any()


def test_recording_changes_no_bit_of_training() -> None:
    """Outcomes are the same, to the bit, with a recorder and without; those that diverge too."""
    made = make_split(3)
    watched, _ = record(made)
    alone = train_population(
        shape_for(made), MEMBERS, population_rows(made, "train"), population_rows(made, "validation")
    )
    for one, other in zip(watched, alone, strict=True):
        assert one.failure == other.failure
        for mine, theirs in zip(one.network.weights, other.network.weights, strict=True):
            assert mine.tobytes() == theirs.tobytes()
        for mine, theirs in zip(one.history.curves().values(), other.history.curves().values(), strict=True):
            assert mine.tobytes() == theirs.tobytes()


def test_the_grid_spans_what_training_sees() -> None:
    """Rows that are far away among the test rows don't widen the grid; far monitored rows do."""
    made = make_split(2)
    before = Recorder(made)
    features = made.dataset.features.copy()
    features[made.test] += 1000
    after = Recorder(replace(made, dataset=replace(made.dataset, features=features)))
    features[made.validation] += 1000
    wider = Recorder(replace(made, dataset=replace(made.dataset, features=features)))
    parts = [population_rows(made, part) for part in ("train", "validation")]
    for recorder in (before, after, wider):
        train_population(shape_for(made), MEMBERS[1:2], *parts, announce=recorder)
    ends = [recorder.snapshots(MEMBERS[1].seed).x[-1] for recorder in (before, after, wider)]
    assert ends[0] == ends[1] < 100 < 1000 < ends[2]


def test_only_classes_on_a_plane_are_recorded() -> None:
    """Two features and classes that fit a byte can be recorded; further features, a regression, 33 classes can't."""
    assert is_recordable(split(dataset(make="blobs", n_samples=400, centers=MOST_CODED), SplitSpec()))
    assert not is_recordable(split(dataset(make="blobs", n_samples=90, centers=3, n_features=3), SplitSpec()))
    assert not is_recordable(split(dataset(make="line"), SplitSpec()))
    assert not is_recordable(split(dataset(make="blobs", n_samples=400, centers=33), SplitSpec()))
