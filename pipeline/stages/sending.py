"""Training on another machine: a task goes with what its folder of checkpoints holds, and comes back with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts import TrainedModel
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.training.sealed import SUFFIX
from pipeline.whole_files import set_aside

if TYPE_CHECKING:
    from pipeline.training.population import Population


@dataclass(frozen=True, eq=False)
class Sent:
    """A task as it goes to another machine, with what its folder of checkpoints holds."""

    task: TrainTask
    files: Mapping[str, bytes]  # by name


@dataclass(frozen=True, eq=False)
class Returned:
    """What comes back from another machine: model runs, and what is to be kept of them in the task's folder."""

    models: tuple[TrainedModel, ...]
    folder: Path
    files: Mapping[str, bytes]


def send(task: TrainTask) -> Sent:
    """Return a task with what its folder holds; the folder is made, for the machine that trains may see it."""
    assert task.checkpoints is not None
    task.checkpoints.mkdir(parents=True, exist_ok=True)
    return Sent(task, _files(task.checkpoints))


def train_sent(sent: Sent, announce: Callable[[Population], None] | None = None) -> Returned:
    """Train as `train` does, on a machine that sees the task's folder or doesn't: then its files come back instead."""
    folder = sent.task.checkpoints
    assert folder is not None
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Returned(tuple(train(sent.task, announce)), folder, {})
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        own = Path(name)
        _write(sent.files, own)
        models = train(replace(sent.task, checkpoints=own), announce)
        return Returned(tuple(models), folder, _files(own))


def receive(returned: Returned) -> list[TrainedModel]:
    """Return the model runs that came back, when what came with them lies in the task's folder."""
    _write(returned.files, returned.folder)
    return list(returned.models)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"*{SUFFIX}"))}


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with set_aside(folder / name) as aside:
            aside.write_bytes(content)
