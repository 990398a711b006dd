from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from pipeline.artifacts import Dataset
from pipeline.stages.sending import receive, send, train_sent
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from tests.stages.test_train import bits, model, moons

__all__ = ["moons"]  # a fixture


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
