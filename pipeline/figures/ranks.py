"""Ranks over several datasets: the critical-difference diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.figures.canvas import LABEL, TICK, absent_note, caption, plain, text_width
from pipeline.figures.palette import INK, QUIET

_LENGTH = 5.2  # inches of the axis of ranks, or of the critical difference where that is longer
_STEP, _BAR = 0.27, 0.14  # inches from a name to the next, and from a bar to the next
_OVER = 0.05  # inches that a bar reaches over its ends
_ARM = 0.2  # inches that a name's line goes beyond the axis


def draw_ranks(ranks: pd.Series, critical_difference: float, *, datasets: int, groups: list[list[str]]) -> Figure:
    """Draw models along an axis of mean ranks, and a bar under each group that can't be separated.

    Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, figure 1; here the best
    model stands at the left.

    Parameters
    ----------
    ranks:
        Mean rank of each model over the datasets, 1 being best; those with NaN are left out, and named.
    critical_difference:
        Mean ranks nearer than this aren't separable; drawn as a ruler from rank 1.
    datasets:
        How many datasets the ranks are means of.
    groups:
        Models that aren't separable from one another; a group of one gets no bar.

    Raises
    ------
    ValueError
        When no model has a rank.
    """
    ordered = ranks.dropna().sort_values(kind="stable")
    if ordered.empty:
        raise ValueError(f"none of {list(ranks.index)} has a rank to draw")
    left = (len(ordered) + 1) // 2
    names = [f"{plain(str(model), 2.2)}  {rank:.2f}" for model, rank in ordered.items()]
    last = max(len(ordered), math.ceil(ordered.max()), 2)
    per_rank = _LENGTH / max(last - 1, critical_difference)  # inches
    places = per_rank * (ordered - 1)  # inches from rank 1
    spans = _spans(places, groups)
    levels = _levels(spans)
    depth = 0.22 + _BAR * (max(levels, default=-1) + 1)  # inches from the axis to the first name
    ends = -_ARM, per_rank * (last - 1) + _ARM
    rooms = [max([text_width(name) for name in side], default=0.0) + 0.15 for side in (names[:left], names[left:])]
    wide = max(ends[1] + rooms[1], _LENGTH + 0.1) - ends[0] + rooms[0]
    figure = Figure((wide, 1.1 + depth + _STEP * left), layout=ConstrainedLayoutEngine(), facecolor="white")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set(xlim=(ends[0] - rooms[0], ends[0] - rooms[0] + wide), ylim=(-depth - _STEP * left, 0.75))  # inches
    _axis(axes, last, per_rank)
    _ruler(axes, critical_difference, per_rank)
    for (low, high), level in zip(spans, levels, strict=True):
        _bar(axes, low, high, -0.12 - _BAR * level)
    for place, (x, name) in enumerate(zip(places, names, strict=True)):
        at_left = place < left
        row = place if at_left else len(names) - 1 - place
        _name(axes, float(x), ends[0] if at_left else ends[1], -depth - _STEP * row, name)
    over = f"mean rank over {datasets} dataset{'s' if datasets != 1 else ''}, 1 is best"
    joined = "a bar joins models that aren't separable" if spans else ""
    caption(figure, over, joined, absent_note(list(ranks.index), list(ordered.index)))
    return figure


def _spans(places: pd.Series, groups: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Where the bar of each group of more than one model begins and ends, in inches, from the left.

    Bars reach a little over their ends, so that equal ranks have one too.
    """
    shown = [[float(places[model]) for model in group if model in places.index] for group in groups]
    return sorted((min(group) - _OVER, max(group) + _OVER) for group in shown if len(group) > 1)


def _levels(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Put each bar on the first level where it meets no other; spans come from the left."""
    ends: list[float] = []  # where the last bar of each level ends
    levels = []
    for low, high in spans:
        level = next((place for place, end in enumerate(ends) if end + 2 * _OVER < low), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def _axis(axes: Axes, last: int, per_rank: float) -> None:
    """Draw the axis with a tick for each rank."""
    axes.plot([0, per_rank * (last - 1)], [0, 0], color=INK, linewidth=1.2, solid_capstyle="projecting")
    for rank in range(1, last + 1):
        x = per_rank * (rank - 1)
        axes.plot([x, x], [0, 0.07], color=INK, linewidth=1.2)
        axes.text(x, 0.1, str(rank), ha="center", va="bottom", fontsize=TICK, color=INK)


def _ruler(axes: Axes, critical_difference: float, per_rank: float) -> None:
    """Draw the critical difference as a length above the axis."""
    end, y = per_rank * critical_difference, 0.42
    axes.plot([0, end], [y, y], color=QUIET, linewidth=1.6)
    for x in (0, end):
        axes.plot([x, x], [y - 0.05, y + 0.05], color=QUIET, linewidth=1.6)
    text = f"critical difference {critical_difference:.2f}"
    axes.text(0, y + 0.09, text, va="bottom", fontsize=LABEL, color=QUIET)


def _bar(axes: Axes, low: float, high: float, y: float) -> None:
    """Draw a group's bar."""
    axes.plot([low, high], [y, y], color=INK, linewidth=4, solid_capstyle="round", zorder=3)


def _name(axes: Axes, x: float, end: float, y: float, name: str) -> None:
    """Lead from a model's rank down and out to its name."""
    axes.plot([x, x, end], [0, y, y], color=QUIET, linewidth=1.1, zorder=1)
    axes.plot(x, 0, "o", color=INK, markersize=5, markeredgecolor="white", markeredgewidth=0.7, zorder=4)
    side, gap = ("right", -0.06) if end < 0 else ("left", 0.06)
    axes.text(end + gap, y, name, ha=side, va="center", fontsize=LABEL, color=INK)
