"""Precision, recall and F1 of each class, over the seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_fscore_support

from pipeline.figures.canvas import (
    TICK,
    absent_note,
    caption,
    dot,
    legend_below,
    legend_height,
    panels,
    plain,
    plain_class,
    present,
    seeds_note,
    text_width,
    tidy,
    title,
)
from pipeline.figures.ledger import Member, members
from pipeline.figures.palette import QUIET, model_colours

MACRO = "macro average"
SCORES = ("precision", "recall", "f1")


def class_frame(ledger: pd.DataFrame, class_names: Sequence[str], part: str) -> pd.DataFrame:
    """Score every class of every model run.

    As in `sklearn.metrics.classification_report`, the precision of a class that was never predicted counts as 0,
    so that the macro average agrees with the logged metrics.

    Parameters
    ----------
    ledger:
        One dataset's predictions.
    class_names:
        Names of all classes, by index.
    part:
        ``"test"`` or ``"validation"``.

    Returns
    -------
    pandas.DataFrame
        model, seed, class, precision, recall, f1 (0…1), support (rows); after the classes of a model run comes
        their plain mean as the class `MACRO`.

    Raises
    ------
    ValueError
        When the ledger has no rows of this part.
    """
    return pd.concat(
        [_member_frame(member, class_names) for member in members(ledger, len(class_names), part)], ignore_index=True
    )


def _member_frame(member: Member, class_names: Sequence[str]) -> pd.DataFrame:
    """One model run's scores, a row a class and one for their mean."""
    scores = precision_recall_fscore_support(
        member.labels, member.predicted, labels=np.arange(len(class_names)), zero_division=0
    )
    frame = pd.DataFrame(dict(zip((*SCORES, "support"), scores, strict=True)))
    frame.loc[len(frame)] = [*frame[list(SCORES)].mean(), len(member.labels)]
    frame.insert(0, "model", member.model)
    frame.insert(1, "seed", member.seed)
    frame.insert(2, "class", [*class_names, MACRO])
    return frame.astype({"support": np.int64})


def draw_classes(frame: pd.DataFrame, models: Sequence[str], *, part: str) -> Figure:
    """Draw a point per class and model in three panels: precision, recall, F1.

    A point is the mean over seeds, its whisker spans from the lowest seed to the highest.

    Parameters
    ----------
    frame:
        From `class_frame`.
    models:
        All models in their fixed order; those without rows are left out.
    part:
        Rows that were scored.

    Raises
    ------
    ValueError
        When no model has rows.
    """
    shown, colours = present(frame, models), model_colours(models)
    classes = list(frame["class"].unique())
    names = [plain_class(name, 1.8, size=TICK) for name in classes]
    labels = [plain(model) for model in shown]
    room = max(text_width(name, TICK) for name in names)
    lowest = max(0.0, float(np.floor(10 * frame[list(SCORES)].to_numpy().min() - 0.5)) / 10)
    height = len(classes) * max(0.34, 0.11 * len(shown) + 0.12)
    figure, axes = panels(3, size=(2.9, height), across=3, margin=(room, 1.0 + legend_height(8.7 + room, labels)))
    for panel, score, heading in zip(axes, SCORES, ("precision", "recall", "F1"), strict=True):
        for place, model in enumerate(shown):
            shift = 0.62 * ((place + 0.5) / len(shown) - 0.5)  # side by side within the class's row
            rows = frame[frame["model"] == model]
            _whiskers(panel, rows.groupby("class", sort=False)[score], classes, shift, colours[model])
        _rows(panel, names)
        panel.set_xlim(lowest, 1)
        title(panel, heading)
        tidy(panel, x=f"{heading} on {part} rows")
        panel.grid(visible=False, axis="y")
    for panel in axes[1:]:
        panel.set_yticklabels([])
    caption(figure, _caption(frame), absent_note(models, shown))
    legend_below(figure, [dot(colours[model], 7) for model in shown], labels)
    return figure


def _whiskers(axes: Axes, scores: object, classes: Sequence[str], shift: float, colour: str) -> None:
    """Draw one model's points with their whiskers."""
    summary = scores.agg(["mean", "min", "max"]).reindex(classes)  # type: ignore[attr-defined]
    spread = [summary["mean"] - summary["min"], summary["max"] - summary["mean"]]
    axes.errorbar(
        summary["mean"],
        np.arange(len(classes)) + shift,
        xerr=np.clip(spread, 0, None),
        fmt="o",
        color=colour,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        elinewidth=1.6,
        clip_on=False,
        zorder=3,
    )


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Set a row for each class, with the average set apart under a line."""
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axhline(len(names) - 1.5, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)))


def _caption(frame: pd.DataFrame) -> str:
    """Say what points and whiskers are."""
    seeds = int(frame.groupby("model")["seed"].nunique().max())
    return f"mean of {seeds_note(seeds)}, whiskers from the lowest seed to the highest" if seeds > 1 else "1 seed"
