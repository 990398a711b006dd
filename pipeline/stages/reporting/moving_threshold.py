"""The threshold that a reader moves: what stands there to begin with, and the counts that the page's script shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.artifacts import Floats
from pipeline.figures.palette import model_colours
from pipeline.labels import threshold_text
from pipeline.stages.reporting.operating_points import STEPS, THRESHOLDS, OperatingPoints, operating_points
from pipeline.stages.reporting.source import ReportInput

OWN = -1  # the place of a model's own threshold among its operating points
Point = tuple[float, float]


@dataclass(frozen=True)
class ModelRow:
    """One model at its own threshold: a row of the table, and its lines and marks in the two plots."""

    name: str
    seed: int
    colour: str
    cells: tuple[str, ...]  # threshold, found, missed, false alarms, cleared, precision, recall, F1, accuracy, cost
    roc: str  # an SVG path, false positive rate to the right, true positive rate upwards
    f1: str  # another, threshold to the right, F1 upwards
    roc_mark: Point
    f1_mark: Point


@dataclass(frozen=True)
class MovingThreshold:
    """What the page shows of one dataset with two classes."""

    models: list[ModelRow]
    positives: int  # rows of class 1
    negatives: int
    fp_cost: str
    fn_cost: str
    start: float  # where the slider stands
    shared: str  # the threshold that all models have; empty where they differ
    data: dict[str, Any]  # what the script is given


def moving_threshold(source: ReportInput, name: str) -> MovingThreshold | None:
    """Gather what the page shows of thresholds on a dataset; None unless it has two classes and a finished run."""
    points = operating_points(source, name)
    if not points:
        return None
    colours, goal, own = model_colours(source.models), source.goal, [one.threshold for one in points]
    return MovingThreshold(
        [_row(one, colours[one.model], goal.fp, goal.fn) for one in points],
        points[0].positives,
        points[0].negatives,
        plain(goal.fp),
        plain(goal.fn),
        round(float(np.median(own)) * STEPS) / STEPS,
        threshold_text(own[0]) if len(set(own)) == 1 else "",
        {
            "steps": STEPS,
            "positives": points[0].positives,
            "negatives": points[0].negatives,
            "models": [_data(one) for one in points],
        },
    )


def _row(points: OperatingPoints, colour: str, fp_cost: float, fn_cost: float) -> ModelRow:
    true, false = int(points.true_positives[OWN]), int(points.false_positives[OWN])
    missed = points.positives - true
    scores = [float(score[OWN]) for score in (points.precision, points.recall, points.f1, points.accuracy)]
    counts = (true, missed, false, points.negatives - false)
    cost = plain(false * fp_cost + missed * fn_cost)
    return ModelRow(
        points.model,
        points.seed,
        colour,
        (threshold_text(points.threshold), *map(str, counts), *(f"{score:.3f}" for score in scores), cost),
        roc=_roc(points),
        f1=_path(THRESHOLDS, points.f1[:OWN]),
        roc_mark=(false / points.negatives, scores[1]),
        f1_mark=(points.threshold, scores[2]),
    )


def _data(points: OperatingPoints) -> dict[str, Any]:
    return {
        "name": points.model,
        "threshold": points.threshold,
        "text": threshold_text(points.threshold),
        "tp": points.true_positives.tolist(),
        "fp": points.false_positives.tolist(),
    }


def _roc(points: OperatingPoints) -> str:
    """Draw the whole curve: scores crowd near 0 and 1, where evenly spaced thresholds pass most of them by."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(points.truth, points.scores)
    return _path(fpr, tpr)


def _path(x: Floats, y: Floats) -> str:
    """Write a line as an SVG path, to a thousandth."""
    corners = (f"{right:.3f} {up:.3f}" for right, up in zip(x, y, strict=True))
    return "M" + "L".join(dict.fromkeys(corners))


def plain(number: float) -> str:
    """Write a number with at most three decimals, 1.0 as 1."""
    return f"{number:.3f}".rstrip("0").rstrip(".")
