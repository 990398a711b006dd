"""What is logged, as values: parameters, tags and metrics by the contract's names. No MLflow here."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.artifacts import (
    Dataset,
    EvaluatedModel,
    FittedEstimator,
    History,
    Search,
    Split,
    Threshold,
    TrainedModel,
    Trial,
    describe,
)
from pipeline.comparison.comparability import Terms, rows_digest, short
from pipeline.comparison.outcome import Outcome
from pipeline.experiment import Experiment
from pipeline.stages.checks import Finding
from pipeline.stages.metrics import METRICS_VERSION
from pipeline.stages.promote import Contender, Ruling
from pipeline.tracking.descriptions import comparison_note, escaped, model_note

ROLE = "photofinish.role"
EXPERIMENT = "photofinish.experiment"
FINGERPRINT = "photofinish.fingerprint"
STATUS = "photofinish.status"
IDENTITY = "photofinish.identity"  # SHA-256 over all that a comparison is to do; one that was interrupted goes on by it
DESCRIBED = "photofinish.described"  # where a comparison comes from is written down
CONTINUED_IN = "photofinish.continued_in"  # the comparison that took this one's model runs over
REUSED_FROM = "photofinish.reused_from"  # the model run that was trained; curves, weights and predictions lie there
OWNER = "photofinish.owner"  # the process that is, or was, at a comparison, and the token of its lease
REASON = "photofinish.reason"
WRITER = "photofinish.writer"  # which execution made a run
REMARKS = "photofinish.notes"  # what to know of a model of scikit-learn
BEST = "photofinish.best"
MONITORED_ROWS = "photofinish.monitored_rows"
FINAL_ROWS = "photofinish.final_rows"
DATA = "photofinish.data"  # SHA-256 of the data's content
ROWS = "photofinish.rows"  # SHA-256 over that, part and row ids of the final rows
METRICS = "photofinish.metrics"  # version of the metric definitions
THRESHOLD = "photofinish.threshold"  # how labels are made from probabilities
THRESHOLD_REACHED = "photofinish.threshold_reached"
FINDINGS = "photofinish.findings"  # how many checks of the data found something; the page says what
COMPARED = "photofinish.compared"
PROMOTED = "photofinish.promoted"  # name/version under which a model run was last promoted
RUN_ID = "photofinish.run_id"
VERDICT = "photofinish.verdict"
DECISION = "photofinish.decision"
CHAMPION_BEFORE = "photofinish.champion_before"  # version; empty where there was none
STUDY = "photofinish.study"
STORAGE = "photofinish.storage"
STATE = "photofinish.trial_state"
NOTE = "mlflow.note.content"  # what the UI shows as a run's description
RUN_NAME = "mlflow.runName"
PARENT = "mlflow.parentRunId"  # what the UI nests by
SOURCE_NAME = "mlflow.source.name"
SOURCE_COMMIT = "mlflow.source.git.commit"
USER = "mlflow.user"
OBJECTIVE = "objective"

LOOK_DIGITS = 16  # of a digest of rows, in the name of the tag that a look at them leaves
TRIAL_CURVE_POINTS = 20  # enough to see how a trial went; there are many of them


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


def comparison_record(
    experiment: Experiment, file: str, command: str, commit: str, findings: Sequence[Finding]
) -> Record:
    """Return what a parent run says of its experiment, and how many findings there are in its data."""
    tags = {
        ROLE: "comparison",
        EXPERIMENT: experiment.name,
        "photofinish.file": file,
        "photofinish.command": command,
        "photofinish.seeds": json.dumps(list(experiment.seeds)),
        "photofinish.resamples": str(experiment.resamples),
        FINDINGS: str(len(findings)),
        SOURCE_NAME: file,
    }
    if commit:
        tags[SOURCE_COMMIT] = commit
    if experiment.question:
        tags[NOTE] = escaped(experiment.question)
    return Record(tags=tags)


def training_record(trained: TrainedModel, split: Split, experiment: Experiment, parent: str) -> Record:
    """Parameters and thinned curves of a model run, spread over the time its training took."""
    points = _curves(trained.history, trained.started_at, trained.seconds, experiment.tracking.curve_points)
    resample = f" · resample {trained.resample}" if experiment.resamples > 1 else ""
    tags = {
        RUN_NAME: f"{trained.dataset} · {trained.model} · seed {trained.seed}{resample}",
        PARENT: parent,
        ROLE: "model",
        EXPERIMENT: experiment.name,
        FINGERPRINT: trained.fingerprint,
        MONITORED_ROWS: split.monitored,
        FINAL_ROWS: split.final,
        DATA: split.dataset.digest,
        ROWS: rows_digest(split),
        METRICS: METRICS_VERSION,
    }
    if split.dataset.task != "regression":
        tags[THRESHOLD] = experiment.threshold.rule if split.dataset.task == "binary" else "argmax"
    if trained.failure:
        tags[REASON] = trained.failure
    if isinstance(trained.network, FittedEstimator) and trained.network.notes:
        tags[REMARKS] = "; ".join(trained.network.notes)
    params = {key: str(value) for key, value in trained.params.items()}
    return Record(params=params, tags=tags, metrics=points)


def terms_of(tags: Mapping[str, str], params: Mapping[str, str]) -> Terms:
    """Return what a model run's numbers rest on, as `training_record` says it; empty where it says nothing."""
    data, rows, metrics, threshold, part = (tags.get(key, "") for key in (DATA, ROWS, METRICS, THRESHOLD, FINAL_ROWS))
    return Terms(data, rows, metrics, threshold, part, int(params.get("resample", 0)))


def look_tag(digest: str) -> str:
    """Name the tag that a look at some rows leaves on the run that looks; its value is the dataset's name."""
    return f"photofinish.look.{digest[:LOOK_DIGITS]}"


def looks_metric(dataset: str) -> str:
    """Name the metric that holds how often a dataset's final rows had been looked at."""
    return metric_key(f"looks/{dataset}")


def looks_record(looks: Mapping[str, int], time: float) -> Record:
    """How often each dataset's final rows have been looked at, this time included."""
    return Record(metrics=tuple(MetricPoint(looks_metric(name), float(looks[name]), 0, time) for name in looks))


def compare_record(
    experiment: str, run_ids: Sequence[str], rows: Mapping[str, Iterable[str]], looks: Mapping[str, int], time: float
) -> Record:
    """Return what the run of a `compare` says: whom it compared, and which rows it looked at.

    Parameters
    ----------
    experiment:
        The first comparison's.
    run_ids:
        The runs compared.
    rows:
        Dataset → digests of its final rows.
    looks:
        Dataset → looks at these rows, this one included.
    time:
        Seconds since 1970.
    """
    tags = {
        RUN_NAME: " · ".join(["compare", *map(short, run_ids)]),
        ROLE: "compare",
        EXPERIMENT: experiment,
        COMPARED: json.dumps(list(run_ids)),
        **{look_tag(digest): name for name, digests in rows.items() for digest in digests},
    }
    return Record(tags=tags, metrics=looks_record(looks, time).metrics)


def version_tags(candidate: Contender, ruling: Ruling, before: str) -> dict[str, str]:
    """Return what a version in the model registry says of itself: whence it comes, and why it is champion.

    Parameters
    ----------
    candidate:
        The model run that it comes from.
    ruling:
        Why.
    before:
        Version of the champion until then; empty where there was none.
    """
    return {
        RUN_ID: candidate.run_id,
        DATA: candidate.data,
        DECISION: ruling.decision,
        VERDICT: ruling.sentence,
        CHAMPION_BEFORE: before,
    }


def search_record(study: str, dataset: str, model: str, experiment: Experiment, parent: str) -> Record:
    """Return what the run of a search says before its first trial."""
    tags = {
        RUN_NAME: f"tuning · {dataset} · {model}",
        PARENT: parent,
        ROLE: "study",
        EXPERIMENT: experiment.name,
        STUDY: study,
    }
    return Record(params={"dataset": dataset, "model": model}, tags=tags)


def found_record(search: Search, time: float) -> Record:
    """Return what a search has found: its best hyperparameters, and how many trials came to what end."""
    states = [trial.state for trial in search.trials]
    counts = {f"trials/{state}": float(states.count(state)) for state in ("complete", "pruned", "failed")}
    values = {
        OBJECTIVE: float(search.best.value or 0.0),
        **counts,
        "seconds/train": sum(trial.seconds for trial in search.trials),
        **{f"importance/{key}": value for key, value in search.importances.items()},
    }
    params = {f"best/{key}": str(value) for key, value in search.best.params.items()}
    tags = {
        STORAGE: search.storage,
        "photofinish.objective": search.objective,
        "photofinish.best_trial": str(search.best.number),
    }
    if search.best.run_id:
        tags["photofinish.best_trial_run"] = search.best.run_id
    if search.edges:
        tags[NOTE] = f"Best value at an end of its range: {', '.join(search.edges)}."
    return Record(params, tags, tuple(MetricPoint(key, value, 0, time) for key, value in values.items()))


def trial_record(trial: Trial, study: Record, parent: str, objective: str) -> Record:
    """Hyperparameters, state, objective and thinned curves of one trial, under the run of its search.

    The objective is there after each rung, at the step of the epoch before it, and once more as `objective`, which is
    the same key in every search and missing where the trial wasn't completed.
    """
    curves = trial.history.curves() if trial.history else {}
    points = _curves(trial.history, trial.started_at, trial.seconds, TRIAL_CURVE_POINTS) if trial.history else ()
    end = trial.started_at + trial.seconds
    if objective not in curves:
        points += tuple(MetricPoint(objective, value, step - 1, end) for step, value in trial.steps.items())
    if trial.value is not None:
        points += (MetricPoint(OBJECTIVE, trial.value, 0, end),)
    points += (MetricPoint("seconds/train", trial.seconds, 0, end),)
    tags = {**study.tags, RUN_NAME: f"trial {trial.number}", PARENT: parent, ROLE: "trial", STATE: trial.state}
    if trial.failure:
        tags[REASON] = trial.failure
    params = {**study.params, "trial": str(trial.number), **{key: str(value) for key, value in trial.params.items()}}
    return Record(params, tags, points)


def _curves(history: History, started_at: float, seconds: float, curve_points: int) -> tuple[MetricPoint, ...]:
    """Thinned curves, spread over the time that training took."""
    per_epoch = seconds / max(len(history.train_loss), 1)
    return tuple(
        MetricPoint(key, float(curve[epoch]), epoch, started_at + epoch * per_epoch)
        for key, curve in history.curves().items()
        for epoch in kept_epochs(history, curve_points)
    )


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


def evaluation_record(model: EvaluatedModel, split: Split) -> Record:
    """Final numbers of a model run, and the same in words.

    They are at step 0, since the UI draws numbers with a step as curves, and those without as bars beside each other.
    They are called `test/…` by contract; where there are no test rows the tag `photofinish.final_rows` says so. A
    threshold comes with its interval, under the names of `metrics.csv` (a name like `threshold/low` beside `threshold`
    couldn't be kept by MLflow's file store); a tag tells when no threshold reached the goal.
    """
    time = model.trained.started_at + model.trained.seconds
    named = {key if "/" in key else f"test/{key}": value for key, value in model.metrics.items()}
    if model.trained.network.parameter_count is not None:
        named["parameters"] = float(model.trained.network.parameter_count)
    named["seconds/train"] = model.trained.seconds
    if model.predict_seconds is not None:
        named["seconds/predict_one_row"] = model.predict_seconds
    tags = {NOTE: model_note(model, split)}
    if model.trained.failure:
        tags[REASON] = model.trained.failure  # it may have failed as late as that
    if model.threshold:
        named |= _threshold_metrics(model.threshold)
        if not model.threshold.reached:
            tags[THRESHOLD_REACHED] = "false"
    return Record(tags=tags, metrics=tuple(MetricPoint(key, value, 0, time) for key, value in named.items()))


def _threshold_metrics(threshold: Threshold) -> dict[str, float]:
    metrics = {"threshold": threshold.value, "threshold_low": threshold.low, "threshold_high": threshold.high}
    if threshold.validation_score is not None:
        metrics["threshold_validation_score"] = threshold.validation_score
    return metrics


def verdict_record(outcome: Outcome, question: str, time: float) -> Record:
    """Verdicts by the metric shown first: scalars as metrics, and in words as the run's description."""
    points = []
    for verdict in outcome.primary():
        key = metric_key(f"verdict/{verdict.dataset}/{verdict.model}_vs_{verdict.baseline}")
        values = {
            "difference": verdict.difference,
            "low": verdict.low,
            "high": verdict.high,
            "p_value": verdict.adjusted_p_value,
        }
        points += [MetricPoint(f"{key}/{name}", value, 0, time) for name, value in values.items()]
    return Record(tags={NOTE: comparison_note(question, outcome.primary())}, metrics=tuple(points))


def metric_key(name: str) -> str:
    """Write a name as MLflow's metric keys allow it: other characters than letters, digits, / _ - . and spaces as _."""
    return re.sub(r"[^\w/.\- ]", "_", name)


def stage_seconds_record(seconds: Mapping[str, float], time: float) -> Record:
    """Wall time of each stage, on the parent."""
    return Record(metrics=tuple(MetricPoint(f"seconds/{stage}", value, 0, time) for stage, value in seconds.items()))


def served_columns(dataset: Dataset) -> list[str]:
    """Name the columns that a served model gives: each class's probability and the label, or a prediction.

    A model of a file's table names them by the classes, the label first; others count the classes, the label last.
    """
    if dataset.task == "regression":
        return ["prediction"]
    if dataset.columns:
        return ["label", *(f"p_{name}" for name in dataset.class_names)]
    return [*(f"p_{label}" for label in range(len(dataset.class_names))), "label"]


def served_metadata(dataset: Dataset, threshold: Threshold | None) -> dict[str, object]:
    """Return what a served model says of itself: its columns, and with two classes how the label is made."""
    metadata: dict[str, object] = {
        "classes": list(dataset.class_names),
        "features": list(dataset.feature_names),
        "outputs": served_columns(dataset),
    }
    if dataset.columns:
        metadata |= {"columns": describe(dataset.columns), "reading": dict(dataset.reading)}
    return metadata | ({"threshold": threshold.value, "rule": threshold.goal} if threshold else {})
