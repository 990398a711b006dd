"""What is logged, as values: parameters, tags and metrics by the contract's names. No MLflow here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.artifacts import EvaluatedModel, History, Split, TrainedModel
from pipeline.experiment import Experiment

ROLE = "photofinish.role"
EXPERIMENT = "photofinish.experiment"
FINGERPRINT = "photofinish.fingerprint"
STATUS = "photofinish.status"
REASON = "photofinish.reason"
BEST = "photofinish.best"
MONITORED_ROWS = "photofinish.monitored_rows"
FINAL_ROWS = "photofinish.final_rows"
NOTE = "mlflow.note.content"  # what the UI shows as a run's description
RUN_NAME = "mlflow.runName"
PARENT = "mlflow.parentRunId"  # what the UI nests by
SOURCE_NAME = "mlflow.source.name"
SOURCE_COMMIT = "mlflow.source.git.commit"
USER = "mlflow.user"


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric; `time` in seconds since 1970."""

    key: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class Record:
    """Something to log to one run."""

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[MetricPoint, ...] = ()


def comparison_record(experiment: Experiment, file: str, command: str, commit: str) -> Record:
    """Return what a parent run says of its experiment."""
    tags = {
        ROLE: "comparison",
        EXPERIMENT: experiment.name,
        "photofinish.file": file,
        "photofinish.command": command,
        "photofinish.seeds": json.dumps(list(experiment.seeds)),
        SOURCE_NAME: file,
    }
    if commit:
        tags[SOURCE_COMMIT] = commit
    if experiment.question:
        tags[NOTE] = experiment.question
    return Record(tags=tags)


def training_record(trained: TrainedModel, split: Split, experiment: Experiment, parent: str) -> Record:
    """Parameters and thinned curves of a model run, spread over the time its training took."""
    per_epoch = trained.seconds / max(len(trained.history.train_loss), 1)
    points = tuple(
        MetricPoint(key, float(curve[epoch]), epoch, trained.started_at + epoch * per_epoch)
        for key, curve in trained.history.curves().items()
        for epoch in kept_epochs(trained.history, experiment.tracking.curve_points)
    )
    tags = {
        RUN_NAME: f"{trained.dataset} · {trained.model} · seed {trained.seed}",
        PARENT: parent,
        ROLE: "model",
        EXPERIMENT: experiment.name,
        FINGERPRINT: trained.fingerprint,
        MONITORED_ROWS: split.monitored,
        FINAL_ROWS: split.final,
    }
    if trained.failure:
        tags[REASON] = trained.failure
    params = {key: str(value) for key, value in trained.params.items()}
    return Record(params=params, tags=tags, metrics=points)


def kept_epochs(history: History, curve_points: int) -> list[int]:
    """Epochs whose values go to MLflow: evenly spaced by 1, 2, 5, 10, 20, … epochs, and the best and the last one.

    Round steps keep the epochs that people look for: 0, 100, 300, 900.
    """
    epochs = len(history.train_loss)
    steps = (base * 10**power for power in itertools.count() for base in (1, 2, 5))
    step = next(step for step in steps if step * curve_points >= epochs)
    kept = set(range(0, epochs, step))
    if epochs:
        kept.add(epochs - 1)
    if np.isfinite(history.validation_loss).any():
        kept.add(int(np.nanargmin(history.validation_loss)))
    return sorted(kept)


def evaluation_record(model: EvaluatedModel) -> Record:
    """Final numbers of a model run.

    They are called `test/…` by contract; where there are no test rows the tag `photofinish.final_rows` says so.
    """
    time = model.trained.started_at + model.trained.seconds
    step = max(len(model.trained.history.train_loss) - 1, 0)
    named = {key if "/" in key else f"test/{key}": value for key, value in model.metrics.items()}
    named["parameters"] = float(model.trained.network.parameter_count)
    named["seconds/train"] = model.trained.seconds
    return Record(metrics=tuple(MetricPoint(key, value, step, time) for key, value in named.items()))


def stage_seconds_record(seconds: Mapping[str, float], time: float) -> Record:
    """Wall time of each stage, on the parent."""
    return Record(metrics=tuple(MetricPoint(f"seconds/{stage}", value, 0, time) for stage, value in seconds.items()))
