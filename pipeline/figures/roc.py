"""ROC curves, one class against the rest, with thresholds marked along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from sklearn.metrics import auc, roc_curve

from pipeline.artifacts import Floats
from pipeline.figures.canvas import (
    MOST_LINES,
    TICK,
    TITLE,
    absent_note,
    balanced,
    caption,
    legend,
    line,
    panels,
    plain,
    plain_class,
    present,
    seeds_note,
    text_width,
    tidy,
    title,
)
from pipeline.figures.ledger import Contest, contests
from pipeline.figures.palette import INK, QUIET, class_colours, model_colours
from pipeline.labels import threshold_text

Point = tuple[float, float]  # false and true positive rate

MARKED = (0.1, 0.25, 0.5, 0.75, 0.9)  # thresholds with a dot
COLUMNS = ["model", "seed", "class", "threshold", "fpr", "tpr", "chosen"]
MOST_SPREAD = 4  # classes whose other seeds are drawn; of more classes they would hide one another
NEAR = 0.06  # dots nearer than this share of an axis get one label
SIDE = 3.6  # inches of a panel
INNER = 2.85  # inches of a panel's axes, about
GAP = 0.03  # of an axis, between a dot and its label
# Where a label may stand, in gaps to the right of its dot and above it: below the curve first, far away last.
PLACES = [(1, -0.4), (-1, -0.4), (1, 0.4), (-1, 0.4), (-1, -2.6), (1, -2.6), (1, 2.6), (-1, 2.6)]


def roc_frame(ledger: pd.DataFrame, class_names: Sequence[str], part: str) -> pd.DataFrame:
    """Rates of false and true positives of every model run and class, at every threshold.

    Returns
    -------
    pandas.DataFrame
        model, seed, class, threshold, fpr, tpr, chosen (the threshold of the run's labels, on every row), thresholds
        falling along a curve; a row is positive when its probability is at least the threshold. A class that all rows
        or none belong to has no curve.

    Raises
    ------
    ValueError
        When the ledger has no rows of this part.
    """
    frames = [_curve(contest) for contest in contests(ledger, class_names, part)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


def _curve(contest: Contest) -> pd.DataFrame:
    if contest.truth.min() == contest.truth.max():
        return pd.DataFrame(columns=COLUMNS)
    fpr, tpr, thresholds = roc_curve(contest.truth, contest.scores, drop_intermediate=False)
    keys = {"model": contest.model, "seed": contest.seed, "class": contest.class_name}
    return pd.DataFrame(keys | {"threshold": thresholds, "fpr": fpr, "tpr": tpr, "chosen": contest.threshold})


def auc_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Area under each curve of a `roc_frame`: model, seed, class, auc."""
    rows = [
        {"model": model, "seed": seed, "class": name, "auc": auc(curve["fpr"], curve["tpr"])}
        for (model, seed, name), curve in frame.groupby(["model", "seed", "class"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["model", "seed", "class", "auc"])


def band_frame(frame: pd.DataFrame, points: int = 201) -> pd.DataFrame:
    """Where the middle 80 % of the seeds' curves lie, at evenly spaced false positive rates.

    Vertical averaging (Fawcett 2006, "An introduction to ROC analysis", Pattern Recognition Letters 27), with
    percentiles for the mean; where a curve rises at just such a rate, its upper end counts.

    Returns
    -------
    pandas.DataFrame
        model, class, fpr (`points` of them from 0 to 1), low, high: 10th and 90th percentile of the true positive rate.
    """
    grid = np.linspace(0, 1, points)
    frames = []
    for (model, name), curves in frame.groupby(["model", "class"], sort=False):
        rates = [np.interp(grid, curve["fpr"], curve["tpr"]) for _, curve in curves.groupby("seed")]
        low, high = np.quantile(rates, [0.1, 0.9], axis=0)
        frames.append(pd.DataFrame({"model": model, "class": name, "fpr": grid, "low": low, "high": high}))
    return pd.concat(frames, ignore_index=True)


def draw_roc(
    frame: pd.DataFrame, models: Sequence[str], class_names: Sequence[str], *, seeds: Mapping[str, int], part: str
) -> Figure:
    """Draw a panel for each model: one seed as a strong line with its thresholds, the other seeds pale behind it.

    From `MOST_LINES` other seeds on these are a band; of more than `MOST_SPREAD` classes they are left out.

    Parameters
    ----------
    frame:
        From `roc_frame`.
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
    shown, areas = present(frame, models), auc_frame(frame)
    two = len(class_names) == 2
    tables = {} if two else {model: _table(areas[areas["model"] == model], class_names) for model in shown}
    beside = max((text_width(text, TICK) for table in tables.values() for text in table), default=-0.5) + 0.5
    across = balanced(len(shown), 3 if two else 2)
    figure, axes = panels(len(shown), size=(SIDE + beside, SIDE + 0.45), across=across, margin=(0.2, 0.5))
    for ax, model in zip(axes, shown, strict=True):
        colours = _colours(model, models, class_names)
        _draw_curves(ax, frame[frame["model"] == model], colours, seeds[model])
        tidy(ax, x="false positive rate", y="true positive rate")
        detail = f"line: seed {seeds[model]}"
        if two:
            detail = f"AUC {_area(areas.loc[areas['model'] == model, 'auc'])}\n{detail}"
        else:
            symbols = [line(colour) for colour in colours.values()]
            legend(ax, symbols, tables[model], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=TICK)
        title(ax, plain(model, SIDE - 0.6, size=TITLE, bold=True), detail)
    caption(figure, *_caption(frame, class_names, part), absent_note(models, shown))
    return figure


def _colours(model: str, models: Sequence[str], class_names: Sequence[str]) -> dict[str, str]:
    """Return the colour of each curve: the model's for two classes, else each class's own."""
    if len(class_names) == 2:
        return {class_names[1]: model_colours(models)[model]}
    return dict(zip(class_names, class_colours(len(class_names)), strict=True))


def _draw_curves(ax: Axes, curves: pd.DataFrame, colours: Mapping[str, str], seed: int) -> None:
    """Draw every class's curves of one model into its panel."""
    ax.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
    for name, colour in colours.items():
        of_class = curves[curves["class"] == name]
        if len(colours) <= MOST_SPREAD:
            _draw_others(ax, of_class[of_class["seed"] != seed], colour)
        front = of_class[of_class["seed"] == seed]
        if not front.empty:
            _draw_front(ax, front, colour, alone=len(colours) == 1)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _draw_others(ax: Axes, curves: pd.DataFrame, colour: str) -> None:
    """Draw the other seeds as lines, or as a band when there are too many."""
    if curves["seed"].nunique() < MOST_LINES:
        for _, curve in curves.groupby("seed"):
            ax.plot(curve["fpr"], curve["tpr"], color=colour, linewidth=0.7, alpha=0.25)
        return
    band = band_frame(curves)
    ax.fill_between(band["fpr"], band["low"], band["high"], color=colour, alpha=0.2, linewidth=0)


def _draw_front(ax: Axes, curve: pd.DataFrame, colour: str, *, alone: bool) -> None:
    """Draw one seed's curve with its thresholds, written out where the curve has the panel to itself.

    Such a curve is that of two classes, so the threshold of the run's labels is ringed, unless it is 0.5, which has a
    dot anyway.
    """
    points = {threshold: _at(curve, threshold) for threshold in MARKED}
    size = 5.5 if alone else 4.0
    ax.plot(curve["fpr"], curve["tpr"], color=colour, linewidth=2, zorder=3)
    ax.plot(*zip(*points.values(), strict=True), "o", color=colour, markersize=size, markeredgecolor="white", zorder=4)
    if not alone:
        return
    chosen = float(curve["chosen"].iloc[0])
    ringed = {} if chosen == 0.5 else {chosen: _at(curve, np.nextafter(chosen, 1))}  # labels are 1 above, not at it
    for x, y in ringed.values():
        ax.plot(x, y, "o", color="white", markersize=8, markeredgecolor=INK, markeredgewidth=2, zorder=4, clip_on=False)
    _label(ax, points, ringed)


def _at(curve: pd.DataFrame, threshold: float) -> Point:
    """Point of a curve at a threshold: where just the rows of at least that probability are positive."""
    thresholds: Floats = curve["threshold"].to_numpy(np.float64)
    place = int(np.searchsorted(-thresholds, -threshold, side="right")) - 1
    return float(curve["fpr"].iloc[place]), float(curve["tpr"].iloc[place])


def _label(ax: Axes, points: Mapping[float, Point], ringed: Mapping[float, Point]) -> None:
    """Write thresholds beside their dots and rings, each in the first place around it that is free."""
    taken = [Bbox.from_extents(x - 0.015, y - 0.015, x + 0.015, y + 0.015) for x, y in points.values()]
    taken += [Bbox.from_extents(x - 0.025, y - 0.025, x + 0.025, y + 0.025) for x, y in ringed.values()]
    labels = [(x, y, threshold_text(chosen), "bold") for chosen, (x, y) in ringed.items()]
    for group in _groups(points):
        x, y = (float(np.mean([points[threshold][axis] for threshold in group])) for axis in (0, 1))
        labels.append((x, y, f"{group[0]:g}" if len(group) == 1 else f"{group[0]:g}–{group[-1]:g}", "normal"))
    for x, y, text, weight in labels:
        places = [_Place.beside(x, y, text, *place) for place in PLACES]
        place = next((place for place in places if place.free(taken)), places[0])
        taken.append(place.box)
        ax.text(
            place.box.x0,
            place.box.y0,
            text,
            va="bottom",
            fontsize=TICK,
            fontweight=weight,
            color=INK,
            zorder=5,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _groups(points: Mapping[float, Point]) -> list[list[float]]:
    """Put thresholds together whose dots are too near to tell apart."""
    groups: list[list[float]] = []
    for threshold, point in points.items():
        if groups and max(abs(a - b) for a, b in zip(points[groups[-1][0]], point, strict=True)) < NEAR:
            groups[-1].append(threshold)
        else:
            groups.append([threshold])
    return groups


@dataclass(frozen=True)
class _Place:
    """Room for a label, in units of the axes."""

    box: Bbox

    @classmethod
    def beside(cls, x: float, y: float, text: str, right: float, up: float) -> _Place:
        """Return the place that lies so many gaps to the right and above of a dot, or to the left and below."""
        width, height = text_width(text, TICK) / INNER, 1.15 * TICK / 72 / INNER
        left = x + GAP * right if right > 0 else x + GAP * right - width
        bottom = y + GAP * up if up > 0 else y + GAP * up - height
        return cls(Bbox.from_bounds(left, bottom, width, height))

    def free(self, taken: Sequence[Bbox]) -> bool:
        """Whether a label here would lie within the panel and on nothing else."""
        inside = min(self.box.x0, self.box.y0) > -0.02 and max(self.box.x1, self.box.y1) < 1.02
        return inside and not any(self.box.overlaps(other) for other in taken)


def _table(areas: pd.DataFrame, class_names: Sequence[str]) -> list[str]:
    """Legend of one model's panel: each class with the area under its curve."""
    return [
        f"{plain_class(name, 1.3, size=TICK)}:  {_area(areas.loc[areas['class'] == name, 'auc'])}"
        for name in class_names
    ]


def _area(values: pd.Series[float]) -> str:
    """Mean ± standard deviation over seeds."""
    if values.empty:
        return "–"
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def _caption(frame: pd.DataFrame, class_names: Sequence[str], part: str) -> tuple[str, ...]:
    """Say what curves, dots and areas are."""
    n_seeds = int(frame.groupby("model")["seed"].nunique().max())
    compared = (
        f"threshold on P({plain_class(class_names[1], 1.4)})"
        if len(class_names) == 2
        else "each class against the rest"
    )
    dots = f"dots: thresholds {', '.join(f'{value:g}' for value in MARKED)}"
    spread = f"AUC ± standard deviation over {seeds_note(n_seeds)}" if n_seeds > 1 else ""
    is_moved = bool((frame["chosen"].dropna() != 0.5).any())
    ring = "ring: the threshold of that seed's labels" if is_moved else ""
    is_banded = n_seeds > MOST_LINES and len(class_names) <= MOST_SPREAD
    bands = "bands: their middle 80 %" if is_banded else ""
    return f"{compared}, {part} rows", spread, bands, dots, ring
