from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import BadInput, StoreError
from pipeline.stages.populations import population_rows
from pipeline.training.checkpoints import Ended, Training, load_checkpoint, save_checkpoint, train_kept
from pipeline.training.population import Member, Population, Shape, finish_population
from pipeline.training.sealed import discard_damaged, write_sealed
from pipeline.training.snapshots import Recorder
from tests.training.test_population import make_rows
from tests.training.test_snapshots import make_split, shape_for


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_training_goes_on_as_if_never_stopped(tmp_path: Path, optimizer: str, batch_size: int | None) -> None:
    """Stopped at any epoch and loaded again, a population ends with the bits of one that never stopped."""
    shape = Shape("relu", "bce_with_logits", optimizer, 1)
    members = [
        Member(0, (6, 3), 0.01, 40, weight_decay=0.01, batch_size=batch_size),
        Member(1, (4, 8), 0.02, 60, batch_size=batch_size),
        Member(2, (8, 8), 0.01, 10, batch_size=batch_size),
        Member(3, (8, 8), 1e30, 60, batch_size=batch_size),
    ]
    train, monitored = make_rows("bce_with_logits", 60, 1), make_rows("bce_with_logits", 30, 2)
    whole = finish_population(Population(shape, members, train, monitored))
    for stop in (5, 45):
        population = Population(shape, members, train, monitored)
        for _ in range(stop):
            population.run_epoch()
        save_checkpoint(Training(population, 0.0), tmp_path / "population.sealed")
        continued = finish_population(load_checkpoint(tmp_path / "population.sealed", train, monitored).population)
        for one, other in zip(whole, continued, strict=True):
            assert one.failure == other.failure
            for mine, theirs in zip(one.network.weights, other.network.weights, strict=True):
                assert mine.tobytes() == theirs.tobytes()
            for mine, theirs in zip(one.history.curves().values(), other.history.curves().values(), strict=True):
                assert mine.tobytes() == theirs.tobytes()


def test_going_on_trains_only_what_is_left(tmp_path: Path) -> None:
    """Stacks that are done aren't trained again, whichever of their seeds are asked for, and a new seed is trained.

    They are announced once, so that progress is complete.
    """
    shape = Shape("relu", "bce_with_logits", "Adam", 1)
    members = [Member(seed, (6,), 0.01, 25) for seed in range(4)]
    rows = make_rows("bce_with_logits", 60, 1), make_rows("bce_with_logits", 30, 2)
    epochs: list[int] = []

    def train(asked: list[Member]) -> list[Ended]:
        epochs.clear()
        return train_kept(shape, asked, *rows, tmp_path, announce=lambda population: epochs.append(population.epoch))

    begun = time.time()
    first = train(members)
    assert begun <= first[0].started_at <= time.time()
    assert epochs == list(range(1, 26))
    fewer = train([members[3], members[1]])
    assert epochs == [25]
    assert [bits(one) for one in fewer] == [bits(first[3]), bits(first[1])]
    assert [one.started_at for one in fewer] == [first[0].started_at] * 2
    assert [one.seconds for one in fewer] == [one.seconds for one in first[:2]]
    more = train([*members, Member(9, (6,), 0.01, 7)])
    assert epochs == [25, *range(1, 8)]
    assert [bits(one) for one in more[:4]] == [bits(one) for one in first]


STACKS = [Member(seed, (6,), 0.01, 20) for seed in (0, 1)], [Member(seed, (4, 4), 0.01, 8) for seed in (2, 3, 4)]


class Clock:
    """Stands for the module `time`: every time that it is looked at, an epoch's seconds have gone by."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self.epoch, self.now = 1.0, 0.0

    def perf_counter(self) -> float:
        self.now += self.epoch
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("pipeline.training.checkpoints.time", clock)
    return clock


def train_recorded(
    members: list[Member], folder: Path | None, stop: int | None = None
) -> tuple[list[list[bytes]], list[int], list[float]]:
    """Train with a recorder; return networks, curves and frames, the epochs announced, and each member's seconds."""
    made = make_split(2)
    rows = [population_rows(made, part) for part in ("train", "validation")]
    recorder = Recorder(made)
    epochs: list[int] = []

    def announce(population: Population) -> None:
        epochs.append(population.epoch)
        if len(epochs) == stop:
            raise KeyboardInterrupt

    ended = train_kept(shape_for(made), members, *rows, folder, recorder=recorder, announce=announce)
    snapshots = [recorder.snapshots(member.seed) for member in members]
    frames = [[seen.epochs.tobytes(), seen.codes.tobytes()] for seen in snapshots]
    seconds = [one.seconds for one in ended]
    return [bits(one) + own for one, own in zip(ended, frames, strict=True)], epochs, seconds


def test_what_was_stopped_goes_on(tmp_path: Path, clock: Clock) -> None:
    """Kept once a minute, training goes on after the epoch that was kept, and so does what was recorded.

    The seconds of a stack are those of all its beginnings, and its members share them.
    """
    members, folder = [*STACKS[0], *STACKS[1]], tmp_path / "not" / "there"
    whole, *_ = train_recorded(members, None)
    for clock.epoch in (1.0, 60.0):
        assert not folder.exists()
        with pytest.raises(KeyboardInterrupt):
            train_recorded(members, folder, stop=12)
    again, epochs, seconds = train_recorded(members, folder)
    assert again == whole
    assert epochs == [*range(12, 21), *range(1, 9)]
    assert seconds == [60 * 20 / 2] * 2 + [60 * 8 / 3] * 3
    again, epochs, _ = train_recorded(members, folder)
    assert again == whole
    assert sorted(epochs) == [8, 20]


def test_what_is_done_goes_before_what_is_in_work(tmp_path: Path, clock: Clock) -> None:
    """A stack in work is left aside once one of its members is done in another stack, and others in work go on."""
    clock.epoch = 60.0
    for some in STACKS:
        with pytest.raises(KeyboardInterrupt):
            train_recorded(some, tmp_path, stop=6)
    alone, epochs, _ = train_recorded(STACKS[0][1:], tmp_path)
    assert epochs == list(range(1, 21))
    members = [*STACKS[0], *STACKS[1]]
    together, epochs, _ = train_recorded(members, tmp_path)
    assert together == train_recorded(members, None)[0]
    assert together[1:2] == alone
    assert epochs == [20, *range(6, 9), *range(1, 21)]


def test_other_members_are_trained_anew(tmp_path: Path) -> None:
    """A checkpoint serves only the members and the device it was made by; others need their own memory."""
    shape = Shape("relu", "bce_with_logits", "SGD", 1)
    rows = make_rows("bce_with_logits", 60, 1), make_rows("bce_with_logits", 30, 2)
    train_kept(shape, [Member(0, (6,), 0.01, 5)], *rows, tmp_path)
    other, double = [Member(0, (6,), 0.02, 5)], replace(shape, double=True)
    (fresh,), (kept,) = train_kept(shape, other, *rows, None), train_kept(shape, other, *rows, tmp_path)
    assert bits(kept) == bits(fresh)
    (fresh,), (kept,) = train_kept(double, other, *rows, None), train_kept(double, other, *rows, tmp_path)
    assert bits(kept) == bits(fresh)
    with pytest.raises(BadInput, match="0 MiB are too few"):
        train_kept(shape, [Member(1, (6,), 0.02, 5)], *rows, tmp_path, memory=1)


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """A checkpoint cut short, with a bit flipped, of another kind or version, or missing is refused."""
    rows = make_rows("bce_with_logits", 20, 1)
    path = tmp_path / "population.sealed"
    population = Population(Shape("relu", "bce_with_logits", "SGD", 1), [Member(0, (4,), 0.1, 3)], rows, rows)
    save_checkpoint(Training(population, 0.0), path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-40], b"", whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"population\.sealed"):
            load_checkpoint(path, rows, rows)
    write_sealed(path, {}, {})
    with pytest.raises(StoreError, match="no checkpoint of a population"):
        load_checkpoint(path, rows, rows)
    write_sealed(path, {}, {"format": "another"})
    with pytest.raises(StoreError, match=r"population\.sealed has format another; this version reads photofinish-"):
        load_checkpoint(path, rows, rows)
    path.write_bytes(damaged)
    (line,) = discard_damaged(tmp_path)
    assert "population.sealed is damaged" in line
    assert not path.exists()
    with pytest.raises(StoreError, match=r"population\.sealed can't be read: .*No such file"):
        load_checkpoint(path, rows, rows)


def bits(ended: Ended) -> list[bytes]:
    outcome = ended.outcome
    arrays = [*outcome.network.weights, *outcome.network.biases, *outcome.history.curves().values()]
    return [str(outcome.network.activation).encode(), *(array.tobytes() for array in arrays)]
