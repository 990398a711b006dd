"""Tuning: what a budget of trials buys, which hyperparameters matter, and where the best ones lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pipeline.artifacts import Floats, Search, Trial
from pipeline.figures.canvas import (
    LABEL,
    TICK,
    absent_note,
    caption,
    dot,
    legend_below,
    legend_height,
    panels,
    plain,
    present,
    tidy,
    title,
)
from pipeline.figures.palette import FAINT, INK, QUIET, model_colours
from pipeline.units import value_text


def budget_frame(searches: Sequence[Search]) -> pd.DataFrame:
    """Expected best value of each search after 1, 2, … trials, had they come in any order.

    Dodge et al. 2019, "Show Your Work", EMNLP, equation 3: with the values seen as draws from one distribution, the
    best of n has the distribution function F^n, F being the empirical one. A sampler that learns gets better as it
    goes, so for it the curve is that of its trials in random order.

    Returns
    -------
    pandas.DataFrame
        model, trials (n), seconds (n times the mean of a trial), expected.
    """
    frames = []
    for search in searches:
        values = np.array([worth(trial, search.minimizes) for trial in search.trials], dtype=float)
        finite = values[np.isfinite(values)]
        worst = (finite.max() if search.minimizes else finite.min()) if len(finite) else np.nan
        seconds = float(np.mean([trial.seconds for trial in search.trials]))
        counts = np.arange(1, len(values) + 1)
        expected = expected_best(np.where(np.isfinite(values), values, worst), minimizes=search.minimizes)
        frame = pd.DataFrame({"trials": counts, "seconds": counts * seconds, "expected": expected})
        frame.insert(0, "model", search.model)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def expected_best(values: Floats, *, minimizes: bool) -> Floats:
    """Expected best of n draws, n = 1 … len(values), from the empirical distribution of some values, shape (n,)."""
    ordered = np.sort(values)[::-1] if minimizes else np.sort(values)  # the best last
    count = len(ordered)
    ranks = np.arange(1, count + 1) / count
    draws = np.arange(1, count + 1)[:, None]
    weights = ranks**draws - (ranks - 1 / count) ** draws
    expected: Floats = weights @ ordered
    return expected


def worth(trial: Trial, minimizes: bool) -> float:
    """A trial's value, or the last one known of a trial that was stopped; infinitely bad when there is none."""
    if trial.value is not None:
        return trial.value
    if trial.steps and not trial.failure:
        return trial.steps[max(trial.steps)]
    return math.inf if minimizes else -math.inf


def best_frame(searches: Sequence[Search]) -> pd.DataFrame:
    """Where each search's best hyperparameters lie: model, key, value, place (0 … 1 in the range), importance."""
    rows = [
        {
            "model": search.model,
            "key": key,
            "value": search.best.params[key],
            "place": place_of(search.best.params[key], entry),
            "importance": search.importances.get(key, np.nan),
        }
        for search in searches
        for key, entry in search.space.items()
    ]
    return pd.DataFrame(rows)


def draw_tuning(searches: Sequence[Search], models: Sequence[str]) -> Figure:
    """Draw one dataset's searches: expected best by trials and by seconds, importances, and the best's place.

    Parameters
    ----------
    searches:
        Those of one dataset.
    models:
        All models in their fixed order; those that weren't searched are left out.

    Raises
    ------
    ValueError
        When there are no searches.
    """
    budget, best = budget_frame(searches), best_frame(searches)
    shown, colours = present(budget, models), model_colours(models)
    keys = list(dict.fromkeys(best["key"]))
    labels = [plain(model) for model in shown]
    margin = (0.3, 0.3 + legend_height(9.2, labels))
    figure, axes = panels(4, size=(4.6, max(2.9, 0.9 + _row(len(shown)) * len(keys))), across=2, margin=margin)
    objective = searches[0].objective.removeprefix("validation/").replace("_", " ")
    for panel, x in zip(axes[:2], ("trials", "seconds"), strict=True):
        _budget(panel, budget, shown, colours, x, objective)
    _importances(axes[2], best, shown, colours, keys)
    _places(
        axes[3], best, shown, colours, keys, {key: search.space[key] for search in searches for key in search.space}
    )
    caption(figure, _caption(searches), absent_note(models, shown, "search"))
    legend_below(figure, [dot(colours[model], 7) for model in shown], labels)
    return figure


def _row(models: int) -> float:
    """Inches of a hyperparameter's row: more models need more room side by side."""
    return max(0.34, 0.05 * models + 0.08)


def _budget(
    axes: Axes, frame: pd.DataFrame, models: Sequence[str], colours: dict[str, str], x: str, objective: str
) -> None:
    for model in models:
        rows = frame[frame["model"] == model]
        alone = "o" if len(rows) == 1 else None
        axes.plot(rows[x], rows["expected"], color=colours[model], linewidth=2, marker=alone)
    unit = ", nats" if objective == "log loss" else ""
    tidy(axes, x=x if x == "trials" else "seconds of training", y=f"expected best {objective}{unit}")
    if x == "seconds":
        _seconds_axis(axes, frame["seconds"])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title(axes, f"What a budget of {x} buys")


def _seconds_axis(axes: Axes, seconds: pd.Series[float]) -> None:
    """Make an axis logarithmic, with numbers as people write them and room between them."""
    axes.set_xscale("log")
    steps = (1, 2, 5) if seconds.max() < 200 * seconds.min() else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _importances(
    axes: Axes, frame: pd.DataFrame, models: Sequence[str], colours: dict[str, str], keys: Sequence[str]
) -> None:
    height = 0.8 / len(models)
    for place, model in enumerate(models):
        rows = frame[frame["model"] == model].set_index("key")["importance"].reindex(list(keys))
        offset = (place - (len(models) - 1) / 2) * height
        axes.barh(np.arange(len(keys)) + offset, rows.fillna(0), height * 0.9, color=colours[model])
    _rows(axes, keys)
    tidy(axes, x="share of importance (PED-ANOVA)")
    axes.set_xlim(0, 1)
    title(axes, "Which hyperparameters matter")
    if frame["importance"].isna().all():
        axes.text(0.5, 0.5, "too few trials to say", transform=axes.transAxes, ha="center", color=QUIET, fontsize=LABEL)


def _places(
    axes: Axes,
    frame: pd.DataFrame,
    models: Sequence[str],
    colours: dict[str, str],
    keys: Sequence[str],
    space: dict[str, Sequence[object]],
) -> None:
    for row, key in enumerate(keys):
        axes.plot([0, 1], [row, row], color=FAINT, linewidth=5, solid_capstyle="round", zorder=1)
        ends = _ends(space[key])
        for x, end, side in ((0, ends[0], "right"), (1, ends[1], "left")):
            offset = (-8 if x == 0 else 8, 0)
            axes.annotate(
                plain(end, 0.8),
                (x, row),
                offset,
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=TICK,
                color=QUIET,
            )
    for place, model in enumerate(models):
        rows = frame[frame["model"] == model].set_index("key").reindex(list(keys))
        shift = (place - (len(models) - 1) / 2) * min(0.16, 0.8 / len(models))  # never into the next row
        size = 46 if len(models) <= 4 else 26
        axes.scatter(
            rows["place"], np.arange(len(keys)) + shift, size, color=colours[model], edgecolor="white", zorder=3
        )
    _rows(axes, keys)
    tidy(axes, x="place of the best value in its range", grid=False)
    axes.set_xticks([])
    axes.set_xlim(-0.28, 1.28)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    title(axes, "Where the best lies")


def _rows(axes: Axes, keys: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(keys)), [plain(key, 1.2) for key in keys], color=INK)
    axes.set_ylim(len(keys) - 0.4, -0.6)


def _ends(entry: Sequence[object]) -> tuple[str, str]:
    """First and last value of a range or of choices."""
    first, last = entry[0], entry[1 if is_range(entry) else -1]
    return value_text(first), value_text(last)


def is_log(entry: Sequence[object]) -> bool:
    """Whether an entry of a space is a logarithmic range."""
    return len(entry) == 3 and entry[2] == "log"


def is_range(entry: Sequence[object]) -> bool:
    """Whether an entry of a space is a range, and not choices."""
    return is_log(entry) or (len(entry) == 2 and all(isinstance(end, int | float) for end in entry))


def place_of(value: object, entry: Sequence[object]) -> float:
    """Place of a value in its range, 0 to 1; choices stand side by side."""
    if not is_range(entry) or not isinstance(value, int | float):
        return list(entry).index(value) / max(len(entry) - 1, 1)
    numbers = [number for number in (*entry[:2], value) if isinstance(number, int | float)]
    low, high, at = (math.log(number) if is_log(entry) else number for number in numbers)
    return (at - low) / (high - low) if high > low else 0.5


def _caption(searches: Sequence[Search]) -> str:
    counts = sorted({len(search.trials) for search in searches})
    trials = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    objective = searches[0].objective.replace("/", " ").replace("_", " ")
    lower = "lower" if searches[0].minimizes else "higher"
    return f"{trials} trials a model by {objective}, {lower} is better; trials in random order (Dodge et al. 2019)"
