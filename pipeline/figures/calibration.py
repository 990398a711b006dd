"""Calibration: whether what a model calls 70 % likely is true in 70 % of the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import norm

from pipeline.artifacts import Floats, Integers
from pipeline.figures.canvas import (
    MOST_LINES,
    TITLE,
    absent_note,
    balanced,
    caption,
    dot,
    legend_below,
    legend_height,
    line,
    panels,
    plain,
    plain_class,
    present,
    seeds_note,
    tidy_shared,
    title,
)
from pipeline.figures.ledger import Member, members
from pipeline.figures.palette import FAINT, QUIET, model_colours

BINS = 10
COLUMNS = ["model", "seed", "bin", "predicted", "observed", "low", "high", "rows", "brier"]
_WIDTH, _HEIGHT = 2.75, 3.5  # inches of a panel
_STRIP = 0.18  # height of the tallest bar under a panel, in units of its y axis
_FLOOR = -0.26  # where those bars stand


def calibration_frame(ledger: pd.DataFrame, class_names: Sequence[str], part: str) -> pd.DataFrame:
    """Hold predicted probabilities against how often they came true, in bins of equal width.

    Of two classes, that is the probability of class 1 against the share of rows of class 1. Of more classes, it is the
    probability of the predicted class against the share of rows where that class is right (Guo et al. 2017, "On
    Calibration of Modern Neural Networks", ICML). A bin with its upper edge holds what lies on it, as in
    `sklearn.calibration.calibration_curve`.

    Returns
    -------
    pandas.DataFrame
        model, seed, bin (0 … `BINS` - 1; empty ones are left out), predicted (mean probability), observed (share that
        came true), low, high (its 95 % interval; Wilson 1927, "Probable Inference", JASA 22), rows, brier (the whole
        run's Brier score, on every row: the mean square of what probabilities lack of the truth, 0 … 1 for class 1 of
        two, and 0 … 2 summed over more classes).

    Raises
    ------
    ValueError
        When the ledger has no rows of this part.
    """
    frames = [_member_frame(member) for member in members(ledger, len(class_names), part)]
    return pd.concat(frames, ignore_index=True)


def _member_frame(member: Member) -> pd.DataFrame:
    """One model run's bins."""
    scores, truth = _claims(member)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores)
    rows = np.bincount(bins, minlength=BINS)
    filled = np.flatnonzero(rows)
    rows = rows[filled]
    true = np.bincount(bins, truth, minlength=BINS)[filled].astype(np.float64)
    low, high = wilson(true, rows)
    columns = {
        "bin": filled,
        "predicted": np.bincount(bins, scores, minlength=BINS)[filled] / rows,
        "observed": true / rows,
        "low": low,
        "high": high,
        "rows": rows,
        "brier": _brier(member),
    }
    return pd.DataFrame({"model": member.model, "seed": member.seed} | columns)[COLUMNS]


def _claims(member: Member) -> tuple[Floats, Integers]:
    """What a run says of each row, and whether it is so: (rows,) each."""
    if member.probabilities.shape[1] == 2:
        return member.probabilities[:, 1], member.labels
    right: Integers = (member.predicted == member.labels).astype(np.int64)
    return member.probabilities.max(axis=1), right


def _brier(member: Member) -> float:
    """Brier score (Brier 1950, "Verification of Forecasts", Monthly Weather Review 78); of two classes half of it."""
    n_classes = member.probabilities.shape[1]
    square = float(np.square(member.probabilities - np.eye(n_classes)[member.labels]).sum(axis=1).mean())
    return square / 2 if n_classes == 2 else square


def wilson(true: Floats, rows: Integers, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Interval of each of several shares, lower and upper ends (Wilson 1927).

    scipy has it for one share at a time, which takes seconds for the bins of some hundred runs.
    """
    z = norm.ppf((1 + confidence) / 2)
    centre = (true + z**2 / 2) / (rows + z**2)
    half = z / (rows + z**2) * np.sqrt(true * (rows - true) / rows + z**2 / 4)
    shares = true / rows  # an interval holds its share; rounding alone could leave 0 or 1 outside
    return np.clip(centre - half, 0, shares), np.clip(centre + half, shares, 1)


def draw_calibration(
    frame: pd.DataFrame, models: Sequence[str], class_names: Sequence[str], *, seeds: Mapping[str, int], part: str
) -> Figure:
    """Draw a panel for each model: one seed's points with intervals, the other seeds behind, rows as bars below.

    Parameters
    ----------
    frame:
        From `calibration_frame`.
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
    shown, colours = present(frame, models), model_colours(models)
    x, y = _axes_names(class_names, part)
    n_seeds = int(frame.groupby("model")["seed"].nunique().max())
    symbols, labels = _legend(n_seeds, part)
    across = balanced(len(shown), 4)
    wide = max(across * _WIDTH, 5.4)
    margin = (wide - across * _WIDTH + 0.2, 0.6 + legend_height(wide, labels))
    figure, axes = panels(len(shown), size=(_WIDTH, _HEIGHT), across=across, margin=margin, share=True)
    tidy_shared(axes, across, x=x, y=y)
    for panel, model in zip(axes, shown, strict=True):
        rows = frame[frame["model"] == model]
        _model_panel(panel, rows, seeds[model], colours[model])
        brier = rows.groupby("seed")["brier"].first()
        spread = f" ± {brier.std():.3f}" if len(brier) > 1 else ""
        detail = f"Brier score {brier.mean():.3f}{spread}\npoints: seed {seeds[model]}"
        title(panel, plain(model, _WIDTH - 0.4, size=TITLE, bold=True), detail)
    caption(figure, *_caption(class_names, n_seeds), absent_note(models, shown))
    legend_below(figure, symbols, labels)
    return figure


def _model_panel(axes: Axes, rows: pd.DataFrame, seed: int, colour: str) -> None:
    """Draw one model."""
    own = rows[rows["seed"] == seed]
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--", zorder=1)
    _draw_others(axes, rows[rows["seed"] != seed], colour)
    axes.vlines(own["predicted"], own["low"], own["high"], color=colour, linewidth=1.2, zorder=2, clip_on=False)
    style: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.8, "zorder": 3, "clip_on": False}
    axes.scatter(own["predicted"], own["observed"], _areas(own["rows"]), color=colour, **style)
    _draw_rows(axes, own)
    axes.set(xlim=(-0.02, 1.02), ylim=(_FLOOR, 1.03), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    axes.spines["left"].set_bounds(0, 1)


def _draw_others(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw the other seeds as points, or as a band when there are too many, where half of them have rows."""
    n_seeds = rows["seed"].nunique()
    if n_seeds < MOST_LINES:
        areas = _areas(rows["rows"])
        axes.scatter(rows["predicted"], rows["observed"], areas, color=colour, alpha=0.22, linewidths=0, clip_on=False)
        return
    bins = rows[rows.groupby("bin")["seed"].transform("size") >= n_seeds / 2].groupby("bin")
    low, high = (bins["observed"].quantile(q) for q in (0.1, 0.9))
    axes.fill_between(bins["predicted"].mean(), low, high, color=colour, alpha=0.2, linewidth=0)


def _areas(rows: pd.Series[int]) -> pd.Series[float]:
    """Areas of points in square points; a single row among thousands is still seen."""
    return 14 + 60 * rows / rows.max()


def _draw_rows(axes: Axes, own: pd.DataFrame) -> None:
    """Draw how many rows each point stands on, as bars under the panel's zero."""
    heights = _STRIP * own["rows"] / own["rows"].max()
    axes.bar((own["bin"] + 0.5) / BINS, heights, 0.9 / BINS, bottom=_FLOOR, color=FAINT, zorder=1)
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 6.5, "color": QUIET, "ha": "center"}
    for place, height, count in zip(own["bin"], heights, own["rows"], strict=True):
        axes.annotate(_short(count), ((place + 0.5) / BINS, _FLOOR + height), (0, 1.5), **style)


def _short(count: int) -> str:
    """A count in at most four characters, as long as it is below a million."""
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"


def _axes_names(class_names: Sequence[str], part: str) -> tuple[str, str]:
    if len(class_names) == 2:
        name = plain_class(class_names[1], 1.3)
        return f"predicted P({name})", f"share of {part} rows that are {name}"
    return "probability of the predicted class", f"share of {part} rows where it is right"


def _legend(n_seeds: int, part: str) -> tuple[list[Artist], list[str]]:
    """Symbols and wording for points, bands and bars."""
    others: list[tuple[Artist, str]] = [(_pale_dot(), "the other seeds")]
    if n_seeds > MOST_LINES:
        others = [(Patch(color=QUIET, alpha=0.3), f"middle 80 % of {n_seeds} seeds")]
    entries: list[tuple[Artist, str]] = [
        (dot(QUIET, 7), "one seed, with 95 % intervals"),
        *(others if n_seeds > 1 else []),
        (line(QUIET, "--", 1.0), "perfectly calibrated"),
        (Patch(color=FAINT), f"{part} rows of that seed in each tenth"),
    ]
    return [symbol for symbol, _ in entries], [label for _, label in entries]


def _pale_dot() -> Artist:
    symbol = dot(QUIET, 7)
    symbol.set_alpha(0.35)
    return symbol


def _caption(class_names: Sequence[str], n_seeds: int) -> tuple[str, ...]:
    best = "0 is best" if len(class_names) == 2 else "0 is best, 2 the worst"
    spread = f", ± standard deviation over {seeds_note(n_seeds)}" if n_seeds > 1 else ""
    return "dashed: what is called 70 % likely is true in 70 % of cases", f"Brier score: {best}{spread}"
