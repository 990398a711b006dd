"""Small pictures of one model run each, quick enough to draw for every run of a comparison.

Most of a picture's time goes into setting it up. So each class here sets one figure up for all runs of a dataset, and
`draw` changes in it what differs from run to run: the figure it returns is the same one every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline.artifacts import Integers
from pipeline.figures.boundaries import Boundary, draw_field, draw_points
from pipeline.figures.canvas import LABEL, TICK, TITLE, dot, legend, plain, text_width
from pipeline.figures.palette import COUNTS, INK, QUIET, class_colours

SIDE = 3.6  # inches, of a square picture; of more for many classes
_CELL = 0.42  # inches that a count of four digits takes
_SCALE = 0.8  # of markers and lines, against those of a report's boundaries
_MARGIN, _TOP = 0.1, 0.62  # inches around the panel, and above it for the heading


class SmallBoundary:
    """What one network after the other says over the plane of one dataset.

    Parameters
    ----------
    points:
        From `boundaries.points_frame`.
    class_names:
        Names of all classes, by index.
    part:
        Rows that are outlined.
    """

    def __init__(self, points: pd.DataFrame, class_names: Sequence[str], part: str) -> None:
        self._figure, self._axes, self._heading = _prepared(left=0.1, bottom=0.34)
        self._axes.set(xticks=[], yticks=[])
        draw_points(self._axes, points, part, len(class_names), _SCALE)
        self._lasting = set(self._axes.get_children())
        _name_classes(self._figure, class_names)

    def draw(self, boundary: Boundary, name: str, detail: str) -> Figure:
        """Show a network, under its name and a quieter line."""
        for artist in set(self._axes.get_children()) - self._lasting:
            artist.remove()
        draw_field(self._axes, boundary, _SCALE)
        self._heading.show(name, detail)
        return self._figure


class SmallConfusion:
    """What one model run after the other took for what, as counts.

    Parameters
    ----------
    class_names:
        Names of all classes, by index.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        size = len(class_names)
        names = [plain(name, 1.0, size=TICK) for name in class_names]
        room = max(text_width(name, TICK) for name in names)
        slant = 40 if room > 2.6 / size else 0
        left, bottom = 0.45 + room, 0.32 + (0.66 * room if slant else 0.15)
        side = max(SIDE, left + size * _CELL + _MARGIN)
        self._figure, self._axes, self._heading = _prepared(left, bottom, side)
        self._image = self._axes.imshow(np.zeros((size, size)), cmap=COUNTS, vmin=0, aspect="auto")
        places = np.arange(size)
        self._axes.set_xticks(places, names, rotation=slant, ha="right" if slant else "center", rotation_mode="anchor")
        self._axes.set_yticks(places, names)
        self._axes.tick_params(length=0, labelsize=TICK, labelcolor=INK)
        self._axes.spines[:].set_visible(False)
        self._axes.set_xlabel("predicted class", fontsize=LABEL, color=INK)
        self._axes.set_ylabel("true class", fontsize=LABEL, color=INK)
        self._cells = [
            self._axes.text(float(column), float(row), "", ha="center", va="center", fontsize=13 if size <= 4 else 9)
            for row in places
            for column in places
        ]

    def draw(self, counts: Integers, name: str, detail: str) -> Figure:
        """Show a matrix, shape (truth, predicted), under a name and a quieter line.

        Colours go up to all rows of the largest class, so that they mean the same in every run on the same rows.
        """
        self._heading.show(name, detail)
        self._image.set_data(counts)
        most = max(int(counts.sum(axis=1).max()), 1)
        self._image.set_clim(0, most)
        for cell, count in zip(self._cells, counts.flat, strict=True):
            cell.set(text=f"{count:,}", color="white" if count > 0.6 * most else INK)
        return self._figure


@dataclass(frozen=True)
class _Heading:
    """A bold line over a quieter one."""

    name: Text
    detail: Text

    def show(self, name: str, detail: str) -> None:
        self.name.set_text(plain(name, SIDE - 2 * _MARGIN, size=TITLE, bold=True))
        self.detail.set_text(plain(detail, SIDE - 2 * _MARGIN))


def _prepared(left: float, bottom: float, side: float = SIDE) -> tuple[Figure, Axes, _Heading]:
    """Make a square figure of one panel, with so many inches left of it and below."""
    figure = Figure((side, side), facecolor="white")
    # Placed by hand: a layout engine would measure every text again for each run.
    size = (side - left - _MARGIN, side - bottom - _TOP)
    axes = figure.add_axes((left / side, bottom / side, size[0] / side, size[1] / side))
    axes.spines[:].set_visible(False)
    lines = (
        figure.text(_MARGIN / side, 1 - 0.29 / side, "", fontsize=TITLE, fontweight="bold", color=INK),
        figure.text(_MARGIN / side, 1 - 0.51 / side, "", fontsize=LABEL, color=QUIET),
    )
    return figure, axes, _Heading(*lines)


def _name_classes(figure: Figure, class_names: Sequence[str]) -> None:
    """Name the classes' colours in a line under the panel, where they fit into one."""
    names = [plain(name, 1.0, size=TICK) for name in class_names]
    if sum(text_width(name, TICK) + 0.33 for name in names) < SIDE:
        symbols = [dot(colour, 6) for colour in class_colours(len(names))]
        spaces = {"handletextpad": 0.0, "columnspacing": 1.0, "borderaxespad": 0.1}
        legend(figure, symbols, names, loc="lower left", ncols=len(names), fontsize=TICK, **spaces)
