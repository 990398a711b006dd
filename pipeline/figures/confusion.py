"""Confusion matrices: what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from pipeline.artifacts import Floats, Integers
from pipeline.figures.canvas import (
    TICK,
    TITLE,
    absent_note,
    balanced,
    caption,
    panels,
    plain,
    present,
    text_width,
    tidy,
    title,
)
from pipeline.figures.ledger import Member, members
from pipeline.figures.palette import COUNTS


def confusion_frame(ledger: pd.DataFrame, class_names: Sequence[str], part: str) -> pd.DataFrame:
    """Count true against predicted classes for every model run.

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
        model, seed, truth, predicted (class names), count, share (of the truth's rows, 0…1; NaN when it has none).

    Raises
    ------
    ValueError
        When the ledger has no rows of this part.
    """
    return pd.concat(
        [_member_frame(member, class_names) for member in members(ledger, len(class_names), part)], ignore_index=True
    )


def _member_frame(member: Member, class_names: Sequence[str]) -> pd.DataFrame:
    """One model run's matrix in long form."""
    size = len(class_names)
    counts: Integers = confusion_matrix(member.labels, member.predicted, labels=np.arange(size))
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.full((size, size), np.nan), where=support > 0)
    return pd.DataFrame(
        {
            "model": member.model,
            "seed": member.seed,
            "truth": np.repeat(np.array(class_names, dtype=object), size),
            "predicted": np.tile(np.array(class_names, dtype=object), size),
            "count": counts.ravel(),
            "share": shares.ravel(),
        }
    )


def draw_confusion(
    frame: pd.DataFrame, models: Sequence[str], class_names: Sequence[str], *, seeds: Mapping[str, int], part: str
) -> Figure:
    """Draw each model's counts, and beside them the shares of each true class, for one seed.

    All models share one colour scale for counts and one, 0…100 %, for shares.

    Parameters
    ----------
    frame:
        From `confusion_frame`.
    models:
        Models in their fixed order; those without rows are left out.
    class_names:
        Names of all classes, by index.
    seeds:
        Each model's representative seed.
    part:
        Rows that were counted.

    Raises
    ------
    ValueError
        When no model has rows.
    """
    size = len(class_names)
    shown = present(frame, models)
    chosen = {model: frame[(frame["model"] == model) & (frame["seed"] == seeds[model])] for model in shown}
    most = max(int(rows["count"].max()) for rows in chosen.values())
    side = max(2.1, 0.44 * size)
    names = [plain(name, 1.3, size=TICK) for name in class_names]
    room = max(text_width(name, TICK) for name in names)
    slant = 40 if room > 0.85 * side / size else 0
    wide, high = (0.9 * room, 0.64 * room) if slant else (0.5 * room, 0.0)
    across = 2 * balanced(len(shown), 2 if size <= 5 else 1)
    figure, axes = panels(2 * len(shown), size=(side + 0.35 + wide, side + 1.05 + high), across=across)
    for place, (model, rows) in enumerate(chosen.items()):
        counts, shares = (_square(rows, column, size) for column in ("count", "share"))
        left, right = axes[2 * place : 2 * place + 2]
        _matrix(left, counts, [f"{value:,.0f}" for value in counts.flat], names, most, slant)
        _matrix(right, shares, [_share(value) for value in shares.flat], names, 1.0, slant)
        title(left, plain(model, 2 * side, size=TITLE, bold=True), f"seed {seeds[model]}: counts of {part} rows")
        title(right, "", "in % of each true class")
        left.set_ylabel("true class")
        right.set_yticklabels([])
    caption(figure, absent_note(models, shown))
    return figure


def _square(rows: pd.DataFrame, column: str, size: int) -> Floats:
    """One value of every cell, shape (truth, predicted); rows stand in that order already."""
    return rows[column].to_numpy(np.float64).reshape(size, size)


def _share(value: float) -> str:
    """A share in per cent; never 0 or 100 unless it is exactly that."""
    if np.isnan(value):
        return "–"
    percent = 100 * value
    if 0 < percent < 0.5:
        return "<1"
    return ">99" if 99.5 <= percent < 100 else f"{percent:.0f}"


def _matrix(axes: Axes, values: Floats, texts: Sequence[str], names: Sequence[str], most: float, slant: int) -> None:
    """Draw one square matrix with a text in every cell."""
    size = len(names)
    sns.heatmap(
        np.nan_to_num(values),  # seaborn would leave the text of a NaN cell out
        ax=axes,
        vmin=0,
        vmax=most,
        cmap=COUNTS,
        cbar=False,
        linewidths=1,
        linecolor="white",
        annot=np.array(texts, dtype=object).reshape(values.shape),
        fmt="",
        annot_kws={"fontsize": 11 if size <= 4 else 9.5 if size <= 6 else 8},
        xticklabels=False,
        yticklabels=False,
    )
    tidy(axes, x="predicted class", grid=False)
    places = np.arange(size) + 0.5
    axes.set_xticks(places, names, rotation=slant, ha="right" if slant else "center", rotation_mode="anchor")
    axes.set_yticks(places, names, rotation=0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
