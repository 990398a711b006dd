"""The first final rows from a network's raw output to its answer, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import FittedEstimator, Floats, Integers, Singles, Split
from pipeline.labels import predicted_labels, threshold_text
from pipeline.stages.inference import predict
from pipeline.stages.reporting.source import ReportInput, Representative

ROWS = 5
MOST_CLASSES = 4  # shown for each row; of more, the likeliest


@dataclass(frozen=True, eq=False)
class Output:
    """What one model run makes of some rows, step by step; of a regression there are raw output and prediction."""

    model: str
    seed: int
    threshold: float  # NaN unless there are two classes
    rows: Integers  # (rows,), their ids
    logits: Singles  # (rows, outputs), NaN of a model of scikit-learn, which has none
    probabilities: Floats  # (rows, classes); no columns for a regression
    predicted: Floats | Integers  # (rows,), class indices, or values in target units
    truth: Floats | Integers  # (rows,)


@dataclass(frozen=True)
class Line:
    """One row of the table: a row of data under one model."""

    row: int
    cells: tuple[str, ...]  # output and probabilities
    answer: str
    truth: str
    is_wrong: bool  # never, for a regression


@dataclass(frozen=True)
class Reading:
    """One model's part of the table."""

    model: str
    detail: str
    lines: list[Line]
    has_logits: bool = True  # a model of scikit-learn has none


def outputs(source: ReportInput, name: str) -> list[Output]:
    """Compute what each model's median network gives for a dataset's first final rows, model by model."""
    models = [model for model in source.models if (name, model) in source.representatives]
    return [_output(source, name, model, source.representatives[name, model]) for model in models]


def _output(source: ReportInput, name: str, model: str, chosen: Representative) -> Output:
    split, network = source.splits[name], chosen.network
    # All rows, as in evaluation: the last bits of a product depend on how many rows it is of.
    rows = split.rows(split.final)
    logits, answers = _logits(chosen, split, rows)[:ROWS], predict(network, split, rows)[:ROWS]
    rows = rows[:ROWS]
    truth = split.dataset.target[rows]
    if split.dataset.task == "regression":
        return Output(model, chosen.seed, np.nan, rows, logits, np.empty((len(rows), 0)), answers, truth)
    threshold = source.threshold(chosen)
    labels = predicted_labels(answers, threshold)
    return Output(model, chosen.seed, threshold, rows, logits, answers, labels, truth)


def _logits(chosen: Representative, split: Split, rows: Integers) -> Singles:
    if isinstance(chosen.network, FittedEstimator):
        return np.full((len(rows), split.dataset.n_outputs), np.nan, np.float32)
    from pipeline.training.networks import predict_logits

    return predict_logits(chosen.network, split.scaled_features(rows))


def columns(split: Split) -> tuple[str, ...]:
    """Head the cells between a row's id and its answer."""
    names = split.dataset.class_names
    match split.dataset.task:
        case "binary":
            return "logit", f"probability of “{names[1]}”"
        case "multiclass" if len(names) <= MOST_CLASSES:
            return tuple(f"“{name}”" for name in names)
        case "multiclass":
            return "likeliest", "second", "third"
        case _:
            return ("output",)


def readings(source: ReportInput, name: str) -> list[Reading]:
    """Write `outputs` as rows of a table."""
    split = source.splits[name]
    return [_reading(output, split) for output in outputs(source, name)]


def _reading(output: Output, split: Split) -> Reading:
    detail = f"seed {output.seed}"
    if not np.isnan(output.threshold):
        detail += f", threshold {threshold_text(output.threshold)}"
    has_logits = not np.isnan(output.logits).all()
    if not has_logits:
        detail += ", no network: scikit-learn gives its answer at once"
    lines = [_line(output, place, split) for place in range(len(output.rows))]
    return Reading(output.model, detail, lines, has_logits)


def _line(output: Output, place: int, split: Split) -> Line:
    row, names = int(output.rows[place]), split.dataset.class_names
    logits, shares = output.logits[place], output.probabilities[place]
    predicted, truth = output.predicted[place], output.truth[place]
    if split.dataset.task == "regression":
        return Line(row, (_number(logits[0]),), f"{predicted:.4g}", f"{truth:.4g}", is_wrong=False)
    if split.dataset.task == "binary":
        cells: tuple[str, ...] = (_number(logits[0]), f"{shares[1]:.3f}")
    elif len(names) <= MOST_CLASSES:
        cells = tuple(_step(logit, share) for logit, share in zip(logits, shares, strict=True))
    else:
        first = np.argsort(-shares, kind="stable")[:3]
        cells = tuple(f"“{names[label]}” {_step(logits[label], shares[label])}" for label in first)
    return Line(row, cells, names[int(predicted)], names[int(truth)], is_wrong=bool(predicted != truth))


def _step(logit: np.float32, share: np.float64) -> str:
    return f"{share:.3f}" if np.isnan(logit) else f"{_number(logit)} → {share:.3f}"


def _number(value: np.float32) -> str:
    return "–" if np.isnan(value) else f"{value:z.3f}".replace("-", "−")  # z: no minus before what rounds to 0
