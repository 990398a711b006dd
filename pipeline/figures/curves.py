"""Learning curves: loss and accuracy over the epochs, summarised over the seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.canvas import (
    absent_note,
    caption,
    legend_below,
    legend_height,
    line,
    panels,
    plain,
    present,
    seeds_note,
    tidy,
    title,
)
from pipeline.figures.palette import QUIET, model_colours

MOST_POINTS = 400  # epochs drawn of a model: more than a panel has pixels to tell apart
_COLUMNS = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
_DASHED = (0, (3, 1.6))


def curve_frame(history: pd.DataFrame, points: int = MOST_POINTS) -> pd.DataFrame:
    """Summarise each model's curves over its seeds, at no more than `points` epochs.

    Parameters
    ----------
    history:
        One dataset's curves: model, seed, epoch, and train_/validation_ loss and accuracy.
    points:
        Most epochs kept of each model, evenly spread, the first and the last among them.

    Returns
    -------
    pandas.DataFrame
        model, epoch, curve ("train_loss", …), low, median, high: the 10th, 50th and 90th percentile of the seeds.
        Values that are not finite are left out.
    """
    frames = [_summary(str(model), rows, points) for model, rows in history.groupby("model", sort=False)]
    return pd.concat(frames, ignore_index=True).dropna(subset="median")


def _summary(model: str, rows: pd.DataFrame, points: int) -> pd.DataFrame:
    """One model's percentiles in long form."""
    epochs = np.sort(rows["epoch"].unique())
    kept = epochs[np.unique(np.linspace(0, len(epochs) - 1, points).round().astype(int))]
    finite = rows[rows["epoch"].isin(kept)].replace([np.inf, -np.inf], np.nan)
    values = finite.groupby("epoch")[_COLUMNS].quantile(np.array([0.1, 0.5, 0.9])).unstack()
    parts = [
        pd.DataFrame({"curve": curve} | {name: values[(curve, q)] for name, q in _LEVELS.items()}) for curve in _COLUMNS
    ]
    frame = pd.concat(parts).rename_axis("epoch").reset_index()
    frame.insert(0, "model", model)
    return frame


_LEVELS = {"low": 0.1, "median": 0.5, "high": 0.9}


def draw_curves(history: pd.DataFrame, models: Sequence[str], monitored: str) -> Figure:
    """Draw loss, and for classes accuracy, over the epochs: a colour a model, train dashed, monitored rows solid.

    Parameters
    ----------
    history:
        One dataset's curves, accuracy NaN throughout for a regression.
    models:
        All models in their fixed order; those without rows are left out.
    monitored:
        Rows behind the columns `validation_*`: ``"validation"`` or ``"test"``.

    Raises
    ------
    ValueError
        When no model has a finite value.
    """
    frame = curve_frame(history)
    shown, colours = present(frame, models), model_colours(models)
    measures = [name for name in ("loss", "accuracy") if frame["curve"].str.endswith(name).any()]
    labels = [*(plain(model) for model in shown), "train rows"]
    handles = [*(line(colours[model]) for model in shown), line(QUIET, "--", 1.6)]
    if frame["curve"].str.startswith("validation").any():
        labels, handles = [*labels, f"{monitored} rows"], [*handles, line(QUIET)]
    width = 4.4 if len(measures) > 1 else 6.0
    margin = (0.2, 0.25 + legend_height(width * len(measures), labels))
    figure, axes = panels(len(measures), size=(width, 3.0), across=len(measures), margin=margin)
    for panel, measure in zip(axes, measures, strict=True):
        for model in shown:
            _model_lines(panel, frame[frame["model"] == model], measure, colours[model])
        tidy(panel, x="epoch", y=_axis(measure, classes=len(measures) > 1))
        title(panel, measure)
        _scale(panel, frame, measure)
    caption(figure, _caption(history), absent_note(models, shown, "curve"))
    legend_below(figure, handles, labels)
    return figure


def _model_lines(axes: Axes, frame: pd.DataFrame, measure: str, colour: str) -> None:
    """Draw one model's train and monitored curve."""
    for part, style, width in (("train", _DASHED, 1.3), ("validation", "-", 2.0)):
        rows = frame[frame["curve"] == f"{part}_{measure}"]
        alone = "o" if len(rows) == 1 else None  # a single epoch makes no line
        if part == "validation":
            axes.fill_between(rows["epoch"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        axes.plot(rows["epoch"], rows["median"], color=colour, linestyle=style, linewidth=width, marker=alone)


def _scale(axes: Axes, frame: pd.DataFrame, measure: str) -> None:
    """Put a loss that spans more than two decades on a logarithmic axis."""
    values = frame.loc[frame["curve"].str.endswith(measure), "median"]
    positive = values[values > 0]
    axes.margins(x=0.01)
    if measure == "loss" and len(positive) and positive.max() > 100 * positive.min():
        axes.set_yscale("log")
        title(axes, "loss, logarithmic")


def _axis(measure: str, *, classes: bool) -> str:
    """Name what is measured, with its unit."""
    if measure == "accuracy":
        return "share of rows right"
    return "cross-entropy, nats per row" if classes else "loss on the scaled target"


def _caption(history: pd.DataFrame) -> str:
    """Say what lines and bands are."""
    seeds = int(history.groupby("model")["seed"].nunique().max())
    return f"median of {seeds_note(seeds)}, bands: their middle 80 %" if seeds > 1 else "1 seed"
