"""Train: every dataset × model × resample × seed, the seeds of one dataset × model × resample as one population."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import Split, TrainedModel
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.stages.baselines.fitting import Baseline, baseline_fingerprint, baseline_params, fit_baseline
from pipeline.stages.baselines.storage import load_fits
from pipeline.stages.identity import data_identity
from pipeline.stages.ledger import RunKey
from pipeline.stages.populations import population_member, population_rows, population_shape, training_rows
from pipeline.stages.tune import Candidate
from pipeline.training.sealed import SUFFIX
from pipeline.whole_files import set_aside

if TYPE_CHECKING:
    from pipeline.training.checkpoints import Ended
    from pipeline.training.population import Member, Population, Shape

STAGE_VERSION = 1  # part of every fingerprint: raise it when the same input would train to other values


@dataclass(frozen=True, eq=False)
class TrainTask:
    """One population to train, or one baseline to fit; small enough to hand to another process."""

    split: Split
    candidate: Candidate | Baseline
    seeds: tuple[int, ...]
    device: str  # "cpu" or "cuda"
    memory: int | None = None  # bytes for the buffers of a stack of networks; None: a share of what is free
    goal: Goal = HALF  # of the threshold: changes no weight, but what is measured at it
    checkpoints: Path | None = None  # folder to keep this population in while it trains, and to go on from


def train(task: TrainTask, announce: Callable[[Population], None] | None = None) -> list[TrainedModel]:
    """Train one population, or fit a baseline; one model run a seed, those that failed among them.

    Only training and monitored rows are read. Of resample 0, networks on the plane are recorded as they learn. What the
    task's checkpoints hold isn't trained again.

    Raises
    ------
    StoreError
        When checkpoints can't be written, or are damaged.
    """
    candidate = task.candidate
    if isinstance(candidate, Baseline):
        return fit_baseline(task.split, candidate, task.seeds, task.goal, load_fits(task.checkpoints))
    from pipeline.training.checkpoints import train_kept
    from pipeline.training.snapshots import Recorder, is_recordable

    recorder = Recorder(task.split) if task.split.resample == 0 and is_recordable(task.split) else None
    ended = train_kept(
        _shape(task, candidate),
        _members(task, candidate),
        training_rows(task.split, candidate.spec),
        population_rows(task.split, task.split.monitored),
        task.checkpoints,
        recorder=recorder,
        memory=task.memory,
        announce=announce,
    )
    models = [_trained(task, candidate, seed, one) for seed, one in zip(task.seeds, ended, strict=True)]
    if recorder is None:
        return models
    return [model if model.failure else replace(model, snapshots=recorder.snapshots(model.seed)) for model in models]


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


def _shape(task: TrainTask, candidate: Candidate) -> Shape:
    return population_shape(candidate.spec, candidate.loss, task.split, task.device)


def _members(task: TrainTask, candidate: Candidate) -> list[Member]:
    """Return the networks of a task, one a seed."""
    return [population_member(candidate.spec, seed) for seed in task.seeds]


def fingerprint(split: Split, candidate: Candidate, seed: int, goal: Goal = HALF) -> str:
    """SHA-256 over everything that determines a model run's values, final numbers included."""
    identity = {
        "stage_version": STAGE_VERSION,
        **data_identity(split, goal),
        "model": candidate.spec.identity(),
        "loss": candidate.loss,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def task_key(task: TrainTask, seed: int) -> RunKey:
    """Return what tells one of a task's model runs from the others of its comparison."""
    return task.candidate.dataset, task.candidate.model, seed, task.split.resample


def task_fingerprint(task: TrainTask, seed: int) -> str:
    """Return the fingerprint of one of a task's model runs, known before it is trained."""
    if isinstance(task.candidate, Baseline):
        return baseline_fingerprint(task.split, task.candidate, seed, task.goal)
    return fingerprint(task.split, task.candidate, seed, task.goal)


def task_params(task: TrainTask, seed: int) -> dict[str, Any]:
    """Return the parameters of one of a task's model runs."""
    if isinstance(task.candidate, Baseline):
        return baseline_params(task.candidate, seed, task.split.resample)
    return run_params(task.candidate, seed, task.split.resample)


def population_identity(task: TrainTask) -> str:
    """SHA-256 over a task's names and everything that determines the values of its model runs but for their seeds."""
    named = [task.candidate.dataset, task.candidate.model, task_fingerprint(task, seed=0)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def check_memory(task: TrainTask) -> None:
    """Make sure that the networks of a task, if it has any, can be trained in the memory that they may take.

    Raises
    ------
    BadInput
        When a single network needs more.
    """
    if isinstance(task.candidate, Baseline):
        return
    from pipeline.training.population import stacks

    n_monitored = len(task.split.rows(task.split.monitored))
    stacks(
        _shape(task, task.candidate), _members(task, task.candidate), len(task.split.train), n_monitored, task.memory
    )


def choose_device(asked: str) -> str:
    """Resolve `auto` to CUDA where there is a device, else to the processor.

    Raises
    ------
    BadInput
        When CUDA is asked for and there is none.
    """
    import torch

    from pipeline.errors import BadInput

    if asked == "cuda" and not torch.cuda.is_available():
        raise BadInput("no CUDA device is available", field="--device", remedy="use --device cpu or auto")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def run_params(candidate: Candidate, seed: int, resample: int) -> dict[str, Any]:
    """Parameters of a model run, under the contract's names."""
    training = candidate.spec.training
    hidden_units: Sequence[int] = candidate.spec.hidden_units
    return {
        "dataset": candidate.dataset,
        "model": candidate.model,
        "seed": seed,
        "resample": resample,
        "hidden_units": list(hidden_units),
        "depth": len(hidden_units),
        "width": max(hidden_units, default=0),
        "activation": candidate.spec.activation,
        "optimizer": training.optimizer,
        "lr": training.lr,
        "momentum": training.momentum,
        "weight_decay": training.weight_decay,
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "loss": candidate.loss,
        "class_weight": training.class_weight,
    }


def _trained(task: TrainTask, candidate: Candidate, seed: int, ended: Ended) -> TrainedModel:
    return TrainedModel(
        dataset=candidate.dataset,
        model=candidate.model,
        seed=seed,
        params=run_params(candidate, seed, task.split.resample),
        network=ended.outcome.network,
        history=ended.outcome.history,
        fingerprint=fingerprint(task.split, candidate, seed, task.goal),
        started_at=ended.started_at,
        seconds=ended.seconds,
        failure=ended.outcome.failure,
        resample=task.split.resample,
    )
