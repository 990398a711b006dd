"""What is to be trained: one dataset × model × resample with its seeds, and what tells its model runs from others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import Split
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.stages.baselines.fitting import Baseline, baseline_fingerprint, baseline_params
from pipeline.stages.identity import data_identity
from pipeline.stages.ledger import RunKey
from pipeline.stages.populations import population_member, population_shape
from pipeline.stages.tune import Candidate

if TYPE_CHECKING:
    from pipeline.training.population import Member, Shape

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


def task_shape(task: TrainTask, candidate: Candidate) -> Shape:
    """Return what a task's networks have in common."""
    return population_shape(candidate.spec, candidate.loss, task.split, task.device)


def task_members(task: TrainTask, candidate: Candidate) -> list[Member]:
    """Return a task's networks, one a seed."""
    return [population_member(candidate.spec, seed) for seed in task.seeds]


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
        task_shape(task, task.candidate),
        task_members(task, task.candidate),
        len(task.split.train),
        n_monitored,
        task.memory,
    )
