"""A long training in a process of its own, which may be killed: `main([FOLDER])` or `main([FOLDER, "die"])`.

Each epoch is written down as it ends; at the end a digest of all that came out. With `die` it kills itself in the midst
of its second write of a checkpoint.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.training import checkpoints
from pipeline.training.population import Population
from pipeline.training.spec import ModelSpec, TrainingSpec
from tests.making import dataset

MEMORY = 110_000  # bytes: two of the three networks share a stack


def make_task(folder: Path | None) -> TrainTask:
    """Three networks in two stacks, recorded on the plane as they learn."""
    made = split(dataset("d", make="moons", n_samples=150, noise=0.3), SplitSpec())
    training = TrainingSpec.model_validate({"epochs": 6000, "lr": 0.01, "optimizer": "Adam"})
    spec = ModelSpec(hidden_units=(16, 16), activation="tanh", training=training)
    return TrainTask(made, settle(made, "m", spec), (0, 1, 2), "cpu", MEMORY, checkpoints=folder)


def digest(task: TrainTask, epochs: Path) -> str:
    """Train, and return SHA-256 over all that came out; epochs are written down as `first seed:epoch`."""
    with epochs.open("a", encoding="utf-8") as log:

        def tell(population: Population) -> None:
            log.write(f"{population.members[0].seed}:{population.epoch}\n")
            log.flush()

        models = train(task, announce=tell)
    content = hashlib.sha256()
    for model in models:
        assert model.snapshots is not None
        arrays = [*model.network.weights, *model.network.biases, *model.history.curves().values()]
        for array in (*arrays, model.snapshots.epochs, model.snapshots.codes):
            content.update(array.tobytes())
    return content.hexdigest()


def die_in_the_write() -> None:
    """Have the second write of a checkpoint end half-way, by SIGKILL."""
    written = []

    def sync(file: int) -> None:
        written.append(file)
        if len(written) == 3:  # after a file and the folder that it lies in
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = sync


def main(arguments: Sequence[str]) -> int:
    place = Path(arguments[0])
    checkpoints.SECONDS_BETWEEN = 0.2
    if arguments[1:] == ["die"]:
        die_in_the_write()
    (place / "digest").write_text(digest(make_task(place / "kept"), place / "epochs"), encoding="utf-8")
    return 0
