"""What each threshold buys: precision, recall, F1 and accuracy from 0 to 1."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artifacts import Floats, Integers
from pipeline.figures.canvas import (
    TITLE,
    absent_note,
    balanced,
    caption,
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
from pipeline.figures.ledger import Contest, contests
from pipeline.figures.palette import INK, METRIC_COLOURS, QUIET
from pipeline.labels import threshold_text

MEASURES = tuple(METRIC_COLOURS)
COLUMNS = ["model", "seed", "class", "threshold", *MEASURES, "chosen"]


def threshold_frame(ledger: pd.DataFrame, class_names: Sequence[str], part: str, points: int = 201) -> pd.DataFrame:
    """Measure one class against the rest at evenly spaced thresholds, for each model run.

    Returns
    -------
    pandas.DataFrame
        model, seed, class (of two classes the second alone), threshold (`points` of them from 0 to 1), precision,
        recall, f1, accuracy, chosen (the threshold of the run's labels, on every row). A row is positive when its
        probability lies above the threshold, as labels are made. Precision is NaN where nothing is positive, recall
        where no row is of the class.

    Raises
    ------
    ValueError
        When the ledger has no rows of this part.
    """
    grid: Floats = np.linspace(0, 1, points)
    return pd.concat([_measured(contest, grid) for contest in contests(ledger, class_names, part)], ignore_index=True)


def _measured(contest: Contest, grid: Floats) -> pd.DataFrame:
    """Count by bisection: of sorted scores, those after a threshold's place are positive."""
    hits, misses = (np.sort(contest.scores[contest.truth == value]) for value in (1, 0))
    true_positives = len(hits) - np.searchsorted(hits, grid, side="right")
    false_positives = len(misses) - np.searchsorted(misses, grid, side="right")
    positives = true_positives + false_positives
    right = true_positives + len(misses) - false_positives
    columns = {
        "threshold": grid,
        "precision": _ratio(true_positives, positives),
        "recall": _ratio(true_positives, np.full_like(positives, len(hits))),
        "f1": _ratio(2 * true_positives, positives + len(hits)),
        "accuracy": right / len(contest.truth),
        "chosen": contest.threshold,
    }
    keys = {"model": contest.model, "seed": contest.seed, "class": contest.class_name}
    return pd.DataFrame(keys | columns)[COLUMNS]


def _ratio(part: Integers, whole: Integers) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratio


def draw_thresholds(
    frame: pd.DataFrame,
    models: Sequence[str],
    class_names: Sequence[str],
    *,
    seeds: Mapping[str, int],
    intervals: Mapping[str, tuple[float, float]],
    part: str,
) -> Figure:
    """Draw models down and classes across: one seed as lines, the middle 80 % of all seeds as bands.

    Of two classes, an upright line stands at the seed's own threshold, with its interval as a grey band.

    Parameters
    ----------
    frame:
        From `threshold_frame`.
    models:
        Models in their fixed order; those without rows are left out.
    class_names:
        Names of all classes, by index.
    seeds:
        Each model's representative seed.
    intervals:
        Of two classes: the interval of that seed's threshold, lower and upper end.
    part:
        Rows that were counted.

    Raises
    ------
    ValueError
        When no model has rows.
    """
    shown = present(frame, models)
    labels = [measure if measure != "f1" else "F1" for measure in MEASURES]
    if len(class_names) == 2:
        figure = _draw_two(frame, shown, class_names, seeds, intervals, labels)
    else:
        figure = _draw_many(frame, shown, class_names, seeds, labels)
    caption(figure, *_caption(frame, part, intervals), absent_note(models, shown))
    legend_below(figure, [line(METRIC_COLOURS[measure]) for measure in MEASURES], labels)
    return figure


def _draw_two(
    frame: pd.DataFrame,
    shown: Sequence[str],
    class_names: Sequence[str],
    seeds: Mapping[str, int],
    intervals: Mapping[str, tuple[float, float]],
    labels: list[str],
) -> Figure:
    """Draw a panel for each model: of two classes, only the second has thresholds."""
    across = balanced(len(shown), 3)
    width = 3.4 if len(shown) > 1 else 5.0
    margin = (0.2, legend_height(across * width, labels) + 0.55)
    own = frame[frame["seed"] == frame["model"].map(seeds)].groupby("model")["chosen"].first()
    details = {model: _details(seeds[model], own[model], intervals[model]) for model in shown}
    height = 2.5 + 0.2 * max(map(len, details.values()))
    figure, axes = panels(len(shown), size=(width, height), across=across, margin=margin, share=True)
    tidy_shared(axes, across, x=f"threshold on P({plain_class(class_names[1], 1.4)})", y="score")
    for ax, model in zip(axes, shown, strict=True):
        _draw_chosen(ax, own[model], intervals[model])
        _draw_panel(ax, frame[frame["model"] == model], seeds[model])
        title(ax, plain(model, width - 0.5, size=TITLE, bold=True), "\n".join(details[model]))
    return figure


def _draw_chosen(ax: Axes, chosen: float, interval: tuple[float, float]) -> None:
    """Draw the threshold of a run's labels, with its interval where it was chosen."""
    low, high = interval
    if low < high:
        ax.axvspan(low, high, color=QUIET, alpha=0.14, linewidth=0)
    is_default = chosen == low == high == 0.5
    ax.axvline(chosen, color=QUIET if is_default else INK, linewidth=1 if is_default else 1.3, linestyle="--")


def _details(seed: int, chosen: float, interval: tuple[float, float]) -> list[str]:
    """Say which seed the lines are, and its threshold where that isn't what everybody expects."""
    low, high = interval
    if low < high:
        chosen_text = f"threshold {threshold_text(chosen)} ({threshold_text(low)} to {threshold_text(high)})"
        return [f"line: seed {seed}", chosen_text]
    return [f"line: seed {seed}", *([] if chosen == 0.5 else [f"threshold {threshold_text(chosen)}"])]


def _draw_many(
    frame: pd.DataFrame, shown: Sequence[str], class_names: Sequence[str], seeds: Mapping[str, int], labels: list[str]
) -> Figure:
    """Draw classes across, at most five in a row, and models down; every model starts a row."""
    across = balanced(len(class_names), 5)
    width = max(2.2, 8.0 / across)
    cells = [*class_names, *[None] * (-len(class_names) % across)]
    margin = (0.2, legend_height(across * width, labels) + 0.55)
    figure, axes = panels(len(shown) * len(cells), size=(width, 2.2), across=across, margin=margin, share=True)
    tidy_shared(axes, across, x="threshold", y="score")
    for ax, (model, name) in zip(axes, itertools.product(shown, cells), strict=True):
        if name is None:
            ax.remove()
            continue
        _draw_panel(ax, frame[(frame["model"] == model) & (frame["class"] == name)], seeds[model])
        heading = f"{plain(model, 4.0, size=TITLE, bold=True)} (seed {seeds[model]})" if name == cells[0] else ""
        title(ax, heading, f"P({plain_class(name, width - 0.6)})")
    return figure


def _draw_panel(ax: Axes, curves: pd.DataFrame, seed: int) -> None:
    ax.set(xlim=(0, 1), ylim=(-0.02, 1.04), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"], yticks=[0, 0.5, 1])
    values = curves.groupby("threshold")[list(MEASURES)]
    band = values.quantile(np.array([0.1, 0.9])).unstack()
    complete = values.count() == curves["seed"].nunique()  # no band where some seeds have no precision
    front = curves[curves["seed"] == seed]
    for measure, colour in METRIC_COLOURS.items():
        edges = band[measure][complete[measure]]
        ax.fill_between(edges.index, edges[0.1], edges[0.9], color=colour, alpha=0.15, linewidth=0)
        ax.plot(front["threshold"], front[measure], color=colour, linewidth=1.8)


def _caption(frame: pd.DataFrame, part: str, intervals: Mapping[str, tuple[float, float]]) -> list[str]:
    """Say what lines and bands are."""
    n_seeds = int(frame.groupby("model")["seed"].nunique().max())
    bands = f", bands: middle 80 % of {seeds_note(n_seeds)}" if n_seeds > 1 else ""
    sentences = [f"scores on {part} rows{bands}"]
    if any(low < high for low, high in intervals.values()):
        sentences.append("dashed and grey: that seed's threshold with its 95 % interval")
    return sentences
