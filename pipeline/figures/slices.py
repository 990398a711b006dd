"""Slices: what networks say over two features at a time, while all the others are held at what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.artifacts import Floats, Integers, Split
from pipeline.figures.boundaries import Boundary, draw_blank, draw_plane, plane_frame, points_legend
from pipeline.figures.canvas import (
    LABEL,
    TITLE,
    dot,
    legend_below,
    legend_height,
    plain,
    plain_class,
    tidy,
    title,
    wrapped,
)
from pipeline.figures.palette import INK, class_colours
from pipeline.planes import grid, grid_points

MOST_NEAREST = 60  # rows beside a slice; with more of them, many would be far from it
_WIDEST = 12.0  # inches for all panels of a row


@dataclass(frozen=True, eq=False)
class Slice:
    """Networks over two features, in original units, with every other feature as in `usual_values`."""

    features: tuple[str, str]  # names of the x and the y axis
    boundaries: Mapping[str, Boundary | None]  # by model: what it says over the slice; None for one that failed
    points: pd.DataFrame  # rows beside the slice, from `nearest_frame`
    held: int  # number of the other features
    are_days: tuple[bool, bool] = (False, False)  # whether an axis counts days since 1970
    usual: str = "median"  # what the others are held at, of `usual_kind`


def slice_grid(split: Split, pair: tuple[int, int], points: int = 150) -> tuple[Floats, Floats, Floats]:
    """Span the range of two features, with every other feature at what is usual among the train rows.

    Parameters
    ----------
    split:
        The data, and which rows train.
    pair:
        Columns of the features on the x and the y axis: amounts, each with a value in some train row.
    points:
        Grid points along each axis.

    Returns
    -------
    tuple
        Ascending values of the first and of the second feature, (points,) each, and the features to evaluate networks
        at, (points * points, features), row by row of the plane from the lowest y; all in original units.
    """
    x, y = grid(split.dataset.features[:, list(pair)], points)
    table: Floats = np.tile(usual_values(split), (points * points, 1))
    table[:, list(pair)] = grid_points(x, y)
    return x, y, table


def usual_values(split: Split) -> Floats:
    """Return each feature's median over the train rows, or its commonest value where it is no amount, (features,).

    To be missing may be the commonest; an amount that every train row misses has no median: both are NaN.
    """
    are_amounts, usual = split.dataset.are_amounts, np.empty(split.dataset.n_features)
    for column in range(len(usual)):
        values = split.dataset.features[split.train, column]
        known = values[~np.isnan(values)]
        if are_amounts[column]:
            usual[column] = np.median(known) if len(known) else np.nan
        else:
            found, counts = np.unique(values, return_counts=True)
            usual[column] = found[counts.argmax()]
    return usual


def nearest_frame(split: Split, pair: tuple[int, int], count: int = MOST_NEAREST) -> pd.DataFrame:
    """Find the train and final rows nearest to a slice.

    Returns
    -------
    pandas.DataFrame
        x, y (the two features, original units; rows that miss one of them have no place and are left out), label,
        part, distance, the nearest first. It is the root mean square over the other features of how many standard
        deviations of the train rows a row is from the median; one for any other value of what is no amount, and for a
        missing one.
    """
    rows = np.concatenate([split.train, split.rows(split.final)])
    part = np.repeat(["train", split.final], [len(split.train), len(rows) - len(split.train)])
    usual, others = usual_values(split), sorted(set(range(split.dataset.n_features)) - set(pair))
    squares = np.zeros(len(rows))
    for column in others:  # one by one: all at once would be several more tables in memory
        squares += np.square(_away(split, column, rows, usual[column]))
    x, y = (split.dataset.features[rows, column] for column in pair)
    label = split.dataset.target[rows].astype(np.int64)
    distance = np.sqrt(squares / len(others))
    frame = pd.DataFrame({"x": x, "y": y, "label": label, "part": part, "distance": distance})
    return frame.dropna().sort_values("distance", kind="stable", ignore_index=True).head(count)


def _away(split: Split, column: int, rows: Integers, usual: float) -> Floats:
    """How far rows are from what is usual of one feature."""
    values, train = split.dataset.features[rows, column], split.dataset.features[split.train, column]
    is_missing = np.isnan(values)
    if not split.dataset.are_amounts[column]:
        is_other = (values != usual) & ~(is_missing & np.isnan(usual))
        return np.where(is_other, 1.0, 0.0)
    spread = train[~np.isnan(train)].std() if not np.isnan(usual) else 0.0
    away: Floats = np.where(is_missing, 1.0, (values - usual) / (spread if spread > 0 else 1.0))
    return away


def slices_frame(slices: Sequence[Slice]) -> pd.DataFrame:
    """Probabilities over every slice: feature_x, feature_y (their names), then as in `plane_frame`."""
    frames = []
    for one in slices:
        frame = plane_frame(one.boundaries)
        frame.insert(0, "feature_x", one.features[0])
        frame.insert(1, "feature_y", one.features[1])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def draw_slices(
    dataset: str,
    slices: Sequence[Slice],
    models: Sequence[str],
    *,
    class_names: Sequence[str],
    part: str,
    undrawn: Sequence[str] = (),
) -> Figure:
    """Draw slices down and models across, as boundaries are drawn, and call them what they are.

    Parameters
    ----------
    dataset:
        Its name, for the heading.
    slices:
        One for each pair of features, the most important first; of more than three, the page is hardly read.
    models:
        Models in their fixed order.
    class_names:
        Names of all classes, by index.
    part:
        The rows that are outlined, ``"test"`` or ``"validation"``.
    undrawn:
        Features that matter more than some that are drawn, but can't be: they are no amounts.

    Raises
    ------
    ValueError
        When there are no slices.
    """
    if not slices:
        raise ValueError(f"no slices of {dataset} to draw")
    names = [plain_class(name, 1.8) for name in class_names]
    symbols, wording = points_legend(slices[0].points, part)
    labels = [*names, *wording[:-1], "the predicted class changes"]
    width = float(np.clip(_WIDEST / len(models), 1.6, 3.0))
    wide = max(len(models) * width + 0.6, 4.6)
    height = min(width + 0.35, 2.9)
    explained = wrapped(wide, _explained(slices, undrawn, wide))
    figure = Figure(
        (wide, len(slices) * height + 0.75 + legend_height(wide, labels) + 0.2 * (1 + explained.count("\n"))),
        layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.06),
        facecolor="white",
    )
    grid_of_axes = figure.subplots(len(slices), len(models), squeeze=False)
    for row, one in zip(grid_of_axes, slices, strict=True):
        for panel, model in zip(row, models, strict=True):
            _panel(panel, one, model, part, height, is_first=model == models[0])
    for panel, model in zip(grid_of_axes[0], models, strict=True):
        boundary = slices[0].boundaries.get(model)
        seed = f"seed {boundary.seed}" if boundary is not None else "no finished run"
        title(panel, plain(model, width - 0.35, size=TITLE, bold=True), seed)
    heading = f"{plain(dataset, 2.2, size=TITLE + 2, bold=True)}: slices"
    figure.suptitle(heading, fontsize=TITLE + 2, fontweight="bold", color=INK)
    legend_below(figure, [*(dot(colour, 8) for colour in class_colours(len(names))), *symbols], labels, explained)
    return figure


def _panel(axes: Axes, one: Slice, model: str, part: str, height: float, *, is_first: bool) -> None:
    """Draw one model over one slice."""
    boundary = one.boundaries.get(model)
    x, y = (plain(name, height - 0.7) for name in one.features)
    if boundary is None:
        tidy(axes, grid=False)
        axes.set(xticks=[], yticks=[])
        draw_blank(axes, "failed")
    else:
        draw_plane(axes, boundary, one.points, part, scale=0.8)
        tidy(axes, x=x, grid=False)
        axes.locator_params(nbins=4)
        for axis, is_days in zip((axes.xaxis, axes.yaxis), one.are_days, strict=True):
            if is_days:
                _write_dates(axis)
    if is_first:
        axes.set_ylabel(y)
    else:
        axes.set_yticklabels([])


def _write_dates(axis: Axis) -> None:
    """Write days since 1970, which matplotlib's dates are too, as dates."""
    # With fewer ticks at most, matplotlib finds no interval for 20 months, or 40 hours, and warns.
    locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def usual_kind(split: Split) -> str:
    """Name what features are held at in slices over two amounts, in the singular."""
    held_amounts = int(split.dataset.are_amounts.sum()) - 2
    kinds = ["median"] * (held_amounts > 0) + ["commonest value"] * (not split.dataset.are_amounts.all())
    return " or ".join(kinds)


def held_at(held: int, usual: str) -> str:
    """Say where the features that don't vary in a slice are."""
    if held == 1:
        return f"the other one is held at its {usual}"
    return f"the other {held} are held at their {usual.replace('median', 'medians').replace('value', 'values')}"


def _explained(slices: Sequence[Slice], undrawn: Sequence[str], wide: float) -> tuple[str, ...]:
    """Say what a slice is, and what it is not."""
    held, dots = slices[0].held, max(len(one.points) for one in slices)
    others = held_at(held, slices[0].usual)
    named = plain(", ".join(undrawn), wide - 3.0, size=LABEL - 0.5)
    return (
        "in a slice two features vary",
        others,
        f"dots: the {dots} rows nearest to it",
        f"the boundary itself lies in {held + 2} dimensions",
        f"also important, but no number to draw: {named}" if undrawn else "",
    )
