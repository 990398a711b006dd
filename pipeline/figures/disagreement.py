"""Disagreement: where in the plane two trained networks differ, and which rows that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from pipeline.artifacts import Floats, Integers
from pipeline.figures.canvas import (
    TICK,
    TITLE,
    legend_below,
    legend_height,
    plain,
    tidy,
    title,
)
from pipeline.figures.palette import FAINT, INK, QUIET, model_colours

OUTCOMES = ("only a", "only b", "both right", "both wrong")
MOST_POINTS = 800  # rows in a map; more of them would hide the plane
_SAME, _DIFFERENT = "#F6F7F8", "#FBE3A2"  # plane where both predict one class, and where they don't
_TINT = 0.36  # of a model's colour, where only that model agrees with the Bayes rule
_MAP, _ROW = 3.7, 0.24  # inches of a map's side, and of a row of the table under it
_MARKERS = {"only a": "s", "only b": "o", "both right": ".", "both wrong": "x"}
_NAME, _COUNT, _BAR, _LONGEST = 0.06, 0.62, 0.66, 0.18  # columns of the table, in shares of its width


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Two models' representative networks over the plane, and all their seeds on the rows."""

    model_a: str
    model_b: str
    x: Floats  # (columns,) first feature, ascending and evenly spaced, original units
    y: Floats  # (rows,) second feature, likewise
    labels_a: Integers  # (rows, columns) class that the network of model a predicts
    labels_b: Integers  # (rows, columns) likewise
    truth: Integers | None  # (rows, columns) class of the Bayes rule, where the law of the data is known
    points: pd.DataFrame  # rows of the part: x, y (original units), right_a, right_b (whether that network is right)
    agreement: Mapping[str, float]  # share of rows, over all seeds, of each of `OUTCOMES`


def outcome_frame(maps: Sequence[Disagreement]) -> pd.DataFrame:
    """The rows on the planes: model_a, model_b, x, y (original units), outcome (one of `OUTCOMES`)."""
    frames = []
    for pair in maps:
        frame = pair.points[["x", "y"]].assign(outcome=_outcomes(pair))
        frame.insert(0, "model_a", pair.model_a)
        frame.insert(1, "model_b", pair.model_b)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def draw_disagreement(
    dataset: str, maps: Sequence[Disagreement], models: Sequence[str], *, feature_names: Sequence[str], part: str
) -> Figure:
    """Draw a map for each pair of models, and under it how often which of them is right.

    The plane is tinted where the two networks predict different classes: in the colour of the one that agrees with
    the Bayes rule where that is known, and in a colour of its own where it isn't. Rows that exactly one of them
    predicts right have that model's colour.

    Parameters
    ----------
    dataset:
        Its name, for the heading.
    maps:
        The pairs, at most four to a picture that is still read.
    models:
        All models in their fixed order, which gives them their colours.
    feature_names:
        Names of the two features.
    part:
        What the rows are, ``"test"`` or ``"validation"``.

    Raises
    ------
    ValueError
        When there are no pairs.
    """
    if not maps:
        raise ValueError(f"no pairs of models to draw for {dataset}")
    colours = model_colours(models)
    symbols, labels = _legend(maps, colours)
    wide = len(maps) * (_MAP + 0.4)
    figure = Figure(
        (wide, _MAP + 5 * _ROW + 1.2 + legend_height(wide, labels)),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
        facecolor="white",
    )
    planes, tables = figure.subplots(2, len(maps), squeeze=False, height_ratios=[_MAP, 5 * _ROW])
    x, y = (plain(name) for name in feature_names)
    for place, (plane, table, pair) in enumerate(zip(planes, tables, maps, strict=True)):
        _map(plane, pair, colours)
        tidy(plane, x=x, y=y if place == 0 else "", grid=False)
        names = [plain(name, 1.4, size=TITLE, bold=True) for name in (pair.model_a, pair.model_b)]
        title(plane, " and ".join(names), _drawn(pair, part))
        _table(table, pair, colours, part)
    figure.suptitle(plain(dataset, 3.5, size=TITLE + 2, bold=True), fontsize=TITLE + 2, fontweight="bold", color=INK)
    legend_below(figure, symbols, labels)
    return figure


def _map(axes: Axes, pair: Disagreement, colours: Mapping[str, str]) -> None:
    """Draw one pair's plane, and the rows on it: those that decide above the others."""
    x, y = pair.x, pair.y
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2  # a pixel's centre is its grid point
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    axes.imshow(_image(pair, colours), extent=extent, origin="lower", aspect="auto", zorder=0)
    neither = _neither(pair)
    if neither.any():
        hatched = axes.contourf(x, y, neither, [0.5, 1.5], colors="none", hatches=["////"], zorder=1)
        hatched.set_edgecolor(QUIET)
    points = pair.points.assign(outcome=_outcomes(pair))
    points = points if len(points) <= MOST_POINTS else points.sample(MOST_POINTS, random_state=0)
    for outcome in reversed(OUTCOMES):
        rows = points[points["outcome"] == outcome]
        axes.scatter(rows["x"], rows["y"], zorder=2 if "both" in outcome else 3, **_style(outcome, pair, colours))
    axes.locator_params(axis="x", nbins=6)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def _drawn(pair: Disagreement, part: str) -> str:
    """Confess the rows that a map leaves out."""
    rows = len(pair.points)
    return f"{MOST_POINTS:,} of {rows:,} {part} rows drawn" if rows > MOST_POINTS else ""


def _image(pair: Disagreement, colours: Mapping[str, str]) -> Floats:
    """Tint each point of the plane, shape (rows, columns, 3)."""
    image = np.full((*pair.labels_a.shape, 3), to_rgb(_SAME))
    image[pair.labels_a != pair.labels_b] = to_rgb(_DIFFERENT if pair.truth is None else _SAME)
    if pair.truth is not None:
        for model, right, other in (
            (pair.model_a, pair.labels_a, pair.labels_b),
            (pair.model_b, pair.labels_b, pair.labels_a),
        ):
            image[(right == pair.truth) & (other != pair.truth)] = to_rgb(_tint(colours[model]))
    return image


def _tint(colour: str) -> str:
    red, green, blue = (1 - _TINT * (1 - channel) for channel in to_rgb(colour))
    return to_hex((red, green, blue))


def _neither(pair: Disagreement) -> npt.NDArray[np.bool_]:
    """Where the two differ from one another and from the Bayes rule, shape (rows, columns); takes three classes."""
    differ = pair.labels_a != pair.labels_b
    if pair.truth is None:
        return np.zeros_like(differ)
    neither: npt.NDArray[np.bool_] = differ & (pair.labels_a != pair.truth) & (pair.labels_b != pair.truth)
    return neither


def _outcomes(pair: Disagreement) -> npt.NDArray[np.str_]:
    """Which of `OUTCOMES` each row of the part has, shape (rows,)."""
    right_a, right_b = (pair.points[name].to_numpy(bool) for name in ("right_a", "right_b"))
    return np.select([right_a & ~right_b, right_b & ~right_a, right_a], OUTCOMES[:3], OUTCOMES[3])


def _style(outcome: str, pair: Disagreement, colours: Mapping[str, str]) -> dict[str, Any]:
    """Marker of a row with this outcome."""
    if outcome == "both right":
        return {"marker": ".", "s": 14, "color": QUIET, "alpha": 0.45, "linewidths": 0}
    if outcome == "both wrong":
        return {"marker": "x", "s": 16, "color": QUIET, "alpha": 0.8, "linewidths": 1}
    model = pair.model_a if outcome == "only a" else pair.model_b
    return {"marker": _MARKERS[outcome], "s": 34, "color": colours[model], "edgecolors": "white", "linewidths": 0.9}


def _table(axes: Axes, pair: Disagreement, colours: Mapping[str, str], part: str) -> None:
    """Write under a map how many rows of it have each outcome, and what share over all seeds."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(OUTCOMES) - 0.5, -1.5))
    _cell(axes, 0, -1, f"right on {part} rows", QUIET, "left")
    _cell(axes, _COUNT, -1, "here", QUIET, "right")
    _cell(axes, _BAR, -1, "over all seeds", QUIET, "left")
    outcomes = _outcomes(pair)
    for place, outcome in enumerate(OUTCOMES):
        style = _style(outcome, pair, colours)
        axes.scatter([0.02], [place], clip_on=False, **style | {"alpha": 1})
        _cell(axes, _NAME, place, _wording(outcome, pair), INK, "left")
        _cell(axes, _COUNT, place, f"{int((outcomes == outcome).sum()):,}", INK, "right")
        share = pair.agreement[outcome]
        axes.barh(place, _LONGEST * share, 0.62, left=_BAR, color=style["color"])
        _cell(axes, _BAR + _LONGEST * share + 0.015, place, _percent(share), INK, "left")


def _cell(axes: Axes, x: float, place: int, text: str, colour: str, side: Literal["left", "right"]) -> None:
    axes.text(x, place, text, ha=side, va="center_baseline", fontsize=TICK, color=colour)


def _wording(outcome: str, pair: Disagreement) -> str:
    if outcome in ("both right", "both wrong"):
        return "both" if outcome == "both right" else "neither"
    return f"only {plain(pair.model_a if outcome == 'only a' else pair.model_b, 0.95, size=TICK)}"


def _percent(share: float) -> str:
    """A share as a percentage; 0 % and 100 % are kept for none and all."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    return f"{100 * min(max(share, 0.0005), 0.9994):.1f} %"


def _legend(maps: Sequence[Disagreement], colours: Mapping[str, str]) -> tuple[list[Artist], list[str]]:
    """Symbols and wording for the tints of the plane that occur."""
    entries: list[tuple[Artist, str]] = [(Patch(facecolor=_SAME, edgecolor=FAINT), "both predict the same class")]
    if any(pair.truth is None for pair in maps):
        entries.append((Patch(facecolor=_DIFFERENT), "they predict different classes"))
    known = [model for pair in maps if pair.truth is not None for model in (pair.model_a, pair.model_b)]
    entries += [
        (Patch(facecolor=_tint(colours[model])), f"only {plain(model, 1.3)} follows the Bayes rule")
        for model in dict.fromkeys(known)
    ]
    if any(_neither(pair).any() for pair in maps):
        hatched = Patch(facecolor=_SAME, edgecolor=QUIET, hatch="////")
        entries.append((hatched, "different, neither follows the Bayes rule"))
    return [symbol for symbol, _ in entries], [label for _, label in entries]
