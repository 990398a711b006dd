from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.training.population import Member, Population, Shape, finish_population
from tests.training.test_population import make_rows


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
        save_checkpoint(population, tmp_path / "population.safetensors")
        continued = finish_population(load_checkpoint(tmp_path / "population.safetensors", train, monitored))
        for one, other in zip(whole, continued, strict=True):
            assert one.failure == other.failure
            for mine, theirs in zip(one.network.weights, other.network.weights, strict=True):
                assert mine.tobytes() == theirs.tobytes()
            for mine, theirs in zip(one.history.curves().values(), other.history.curves().values(), strict=True):
                assert mine.tobytes() == theirs.tobytes()


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """A checkpoint cut short is refused with its path, not read as far as it goes."""
    rows = make_rows("bce_with_logits", 20, 1)
    path = tmp_path / "population.safetensors"
    save_checkpoint(Population(Shape("relu", "bce_with_logits", "SGD", 1), [Member(0, (4,), 0.1, 3)], rows, rows), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"population\.safetensors"):
        load_checkpoint(path, rows, rows)
