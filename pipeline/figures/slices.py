"""Slices: what networks say over two features at a time, while all the others are held at their medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.artifacts import Floats, Split
from pipeline.figures.boundaries import Boundary, draw_blank, draw_plane, plane_frame, points_legend
from pipeline.figures.canvas import TITLE, dot, legend_below, legend_height, plain, plain_class, tidy, title, wrapped
from pipeline.figures.palette import INK, class_colours
from pipeline.planes import grid, grid_points

MOST_NEAREST = 60  # rows beside a slice; with more of them, many would be far from it
_WIDEST = 12.0  # inches for all panels of a row


@dataclass(frozen=True, eq=False)
class Slice:
    """Networks over two features, in original units, with every other feature at its median over the train rows."""

    features: tuple[str, str]  # names of the x and the y axis
    boundaries: Mapping[str, Boundary | None]  # by model: what it says over the slice; None for one that failed
    points: pd.DataFrame  # rows beside the slice, from `nearest_frame`
    held: int  # number of the features at their medians


def slice_grid(split: Split, pair: tuple[int, int], points: int = 150) -> tuple[Floats, Floats, Floats]:
    """Span the range of two features, with every other feature at its median over the train rows.

    Parameters
    ----------
    split:
        The data, and which rows train.
    pair:
        Columns of the features on the x and the y axis.
    points:
        Grid points along each axis.

    Returns
    -------
    tuple
        Ascending values of the first and of the second feature, (points,) each, and the features to evaluate networks
        at, (points * points, features), row by row of the plane from the lowest y; all in original units.
    """
    features = split.dataset.features
    x, y = grid(features[:, list(pair)], points)
    table: Floats = np.tile(np.median(features[split.train], axis=0), (points * points, 1))
    table[:, list(pair)] = grid_points(x, y)
    return x, y, table


def nearest_frame(split: Split, pair: tuple[int, int], count: int = MOST_NEAREST) -> pd.DataFrame:
    """Find the train and final rows nearest to a slice.

    Returns
    -------
    pandas.DataFrame
        x, y (the two features, original units), label, part, distance (root mean square over the other features of
        how many standard deviations of the train rows a row is from the median), the nearest first.
    """
    rows = np.concatenate([split.train, split.rows(split.final)])
    part = np.repeat(["train", split.final], [len(split.train), len(rows) - len(split.train)])
    features, train = split.dataset.features[rows], split.dataset.features[split.train]
    spread = train.std(axis=0)
    away = (features - np.median(train, axis=0)) / np.where(spread > 0, spread, 1)
    distance = np.sqrt(np.square(np.delete(away, pair, axis=1)).mean(axis=1))
    x, y = features[:, list(pair)].T
    label = split.dataset.target[rows].astype(np.int64)
    frame = pd.DataFrame({"x": x, "y": y, "label": label, "part": part, "distance": distance})
    return frame.sort_values("distance", kind="stable", ignore_index=True).head(count)


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
    dataset: str, slices: Sequence[Slice], models: Sequence[str], *, class_names: Sequence[str], part: str
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
    explained = wrapped(wide, _explained(slices))
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
    if is_first:
        axes.set_ylabel(y)
    else:
        axes.set_yticklabels([])


def _explained(slices: Sequence[Slice]) -> tuple[str, ...]:
    """Say what a slice is, and what it is not."""
    held, dots = slices[0].held, max(len(one.points) for one in slices)
    others = f"the other {held} are held at their medians" if held > 1 else "the other one is held at its median"
    return (
        f"in a slice two features vary, and {others}",
        f"dots: the {dots} rows nearest to it",
        f"the boundary itself lies in {held + 2} dimensions",
    )
