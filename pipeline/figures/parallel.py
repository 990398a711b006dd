"""Parallel coordinates: every trial of a search as one line across its hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from pipeline.artifacts import Floats, Search, Trial
from pipeline.figures.canvas import (
    TICK,
    TITLE,
    absent_note,
    balanced,
    caption,
    legend_below,
    legend_height,
    line,
    panels,
    plain,
    present,
    tidy,
    title,
)
from pipeline.figures.palette import INK, QUIET, rank_colours
from pipeline.figures.tuning import is_log, is_range, place_of
from pipeline.units import value_text

COLUMNS = ["model", "trial", "state", "axis", "value", "place", "rank"]
MOST_STRONG = 20  # best trials drawn with strong lines; more of them would be a tangle
_AXIS, _HEIGHT = 1.05, 2.9  # inches from an axis to the next, and of a panel
_STOPPED = "#C3C9D1"
_BETWEEN = 0.9  # of the way to the next axis, for a label beside an axis
_STROKE = [withStroke(linewidth=2.5, foreground="white")]
_CASED = [withStroke(linewidth=5.5, foreground="white")]


def parallel_frame(searches: Sequence[Search]) -> pd.DataFrame:
    """Place every trial on an axis for each hyperparameter, and on a last one for the objective.

    Returns
    -------
    pandas.DataFrame
        model, trial (its number), state, axis (the hyperparameter, or the objective's name), value, place (0 … 1 from
        the lower end of the axis to the upper; logarithmic where the space is; choices side by side; the objective
        from the worst value of the search to its best, logarithmic where they are a factor of 100 apart), rank (1 is
        the best complete trial of the search; NaN for those that were stopped or failed, which have no place on the
        objective's axis). A hyperparameter that a trial doesn't have is left out.
    """
    rows = [row for search in searches for row in _search_rows(search)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _search_rows(search: Search) -> list[dict[str, Any]]:
    """One search's trials, those without rank first and the best one last."""
    complete = [trial for trial in search.trials if trial.value is not None]
    complete.sort(key=lambda trial: (_cost(trial, search), trial is not search.best, trial.number))
    ranks = {trial.number: place + 1 for place, trial in enumerate(complete)}
    places = _objective_places(np.array([trial.value for trial in complete], dtype=float))
    rows = []
    for trial in [*(trial for trial in search.trials if trial.value is None), *reversed(complete)]:
        rank = ranks.get(trial.number)
        own = {"model": search.model, "trial": trial.number, "state": trial.state, "rank": rank or math.nan}
        for key, entry in search.space.items():
            if key in trial.params:
                value = trial.params[key]
                rows.append({**own, "axis": key, "value": value, "place": place_of(value, entry)})
        if rank is not None:
            rows.append({**own, "axis": search.objective, "value": trial.value, "place": places[rank - 1]})
    return rows


def _cost(trial: Trial, search: Search) -> float:
    """A trial's value, so that lower is better."""
    assert trial.value is not None
    return trial.value if search.minimizes else -trial.value


def _objective_places(values: Floats) -> Floats:
    """Places of values between the last of them, 0, and the first, 1."""
    if is_objective_log(values):
        values = np.log(values)
    worst, best = values[-1], values[0]
    places: Floats = (values - worst) / (best - worst) if best != worst else np.full_like(values, 0.5)
    return places


def is_objective_log(values: Floats) -> bool:
    """Whether an objective's values are so far apart that their axis has to be logarithmic."""
    return bool(values.min() > 0 and values.max() > 100 * values.min())


def draw_parallel(searches: Sequence[Search], models: Sequence[str]) -> Figure:
    """Draw a panel for each search of one dataset, an axis for each hyperparameter, and a line for each trial.

    Lines are coloured by rank, the better the darker; the best has its values written beside it. Trials that were
    stopped or failed have no final value, so their lines are grey and end before the last axis.

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
    frame = parallel_frame(searches)
    shown = present(frame, models)
    by_model = {search.model: search for search in searches}
    axes_each = 1 + max(len(search.space) for search in searches)
    width = _AXIS * axes_each + 0.5
    across = balanced(len(shown), max(1, int(12 / width)))
    symbols, labels = _legend()
    margin = (0.2, 0.45 + legend_height(across * width, labels))
    figure, axes = panels(len(shown), size=(width, _HEIGHT), across=across, margin=margin)
    for panel, model in zip(axes, shown, strict=True):
        search, rows = by_model[model], frame[frame["model"] == model]
        _draw_search(panel, search, rows)
        title(panel, plain(model, width - 0.5, size=TITLE, bold=True), _detail(search, rows))
    caption(figure, *_caption(searches), absent_note(models, shown, "search"))
    legend_below(figure, symbols, labels)
    return figure


def _draw_search(axes: Axes, search: Search, rows: pd.DataFrame) -> None:
    """Draw one search."""
    keys = [*search.space, search.objective]
    tidy(axes, grid=False)
    axes.set(xlim=(-0.3, len(keys) - 0.2), ylim=(-0.12, 1.12), yticks=[])
    axes.set_xticks(range(len(keys)), [_axis_name(key, search, rows) for key in keys])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.vlines(range(len(keys)), 0, 1, color=QUIET, linewidth=1, zorder=3)
    _draw_lines(axes, rows, keys)
    for place, (key, entry) in enumerate(search.space.items()):
        if is_range(entry):
            _write_ends(axes, place, value_text(entry[0]), value_text(entry[1]))
        else:
            _write_choices(axes, place, entry, search.best.params.get(key))
    values = rows.loc[rows["axis"] == search.objective].sort_values("rank")["value"]
    _write_ends(axes, len(keys) - 1, f"{values.iloc[-1]:.4g}", f"{values.iloc[0]:.4g}")
    _write_best(axes, search, rows, keys)


def _draw_lines(axes: Axes, rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Draw a line for each trial, the best on top."""
    lines = rows.pivot_table(index="trial", columns="axis", values="place", sort=False).reindex(columns=list(keys))
    ranks = rows.groupby("trial", sort=False)["rank"].first()
    points = np.stack([np.broadcast_to(np.arange(len(keys)), lines.shape), lines.to_numpy(float)], axis=-1)
    is_ranked = ranks.notna().to_numpy()
    ranked = ranks[is_ranked].to_numpy(float)
    widths = np.where(ranked <= MOST_STRONG, 1.3, 0.5)
    axes.add_collection(LineCollection(list(points[~is_ranked]), colors=_STOPPED, linewidths=0.5, zorder=1))
    axes.add_collection(
        LineCollection(list(points[is_ranked]), colors=rank_colours(ranked), linewidths=widths, zorder=2)
    )
    axes.plot(*points[-1].T, color=rank_colours(ranked)[-1], linewidth=3.2, path_effects=_CASED, zorder=4)


def _write_ends(axes: Axes, place: int, low: str, high: str) -> None:
    for y, text, side in ((-0.03, low, "top"), (1.03, high, "bottom")):
        axes.text(place, y, plain(text, _AXIS, size=TICK), ha="center", va=side, fontsize=TICK, color=QUIET)


def _write_choices(axes: Axes, place: int, entry: Sequence[object], best: object) -> None:
    """Write every choice beside its axis, the best one bold."""
    for choice in entry:
        _beside(axes, place, place_of(choice, entry), value_text(choice), bold=choice == best)


def _write_best(axes: Axes, search: Search, rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Write the best trial's numbers beside its line."""
    own = rows[rows["rank"] == 1]
    for key, y, value in zip(own["axis"], own["place"], own["value"], strict=True):
        if key in search.space and is_range(search.space[key]):
            _beside(axes, keys.index(key), min(max(y, 0.04), 0.96), value_text(value), bold=True)


def _beside(axes: Axes, place: int, y: float, text: str, *, bold: bool) -> None:
    axes.annotate(
        plain(text, _AXIS * _BETWEEN - 0.1, size=TICK, bold=bold),
        (place, y),
        (6, 0),
        textcoords="offset points",
        va="center",
        fontsize=TICK,
        fontweight="bold" if bold else "normal",
        color=INK,
        path_effects=_STROKE,
        zorder=5,
    )


def _axis_name(key: str, search: Search, rows: pd.DataFrame) -> str:
    """Name of an axis, and whether it is logarithmic."""
    if key == search.objective:
        values = rows.loc[rows["axis"] == key, "value"].to_numpy(float)
        name, log = _objective_name(key), is_objective_log(values)
    else:
        name, log = key, is_log(search.space[key])
    return f"{plain(name, _AXIS - 0.1, size=TICK)}\n{'logarithmic' if log else ''}"


def _objective_name(objective: str) -> str:
    return objective.rpartition("/")[2].replace("_", " ")


def _detail(search: Search, rows: pd.DataFrame) -> str:
    """Say which trial was best, and how many have no final value."""
    count = rows["trial"].nunique()
    stopped = rows.loc[rows["rank"].isna(), "trial"].nunique()
    best = f"best: trial {search.best.number}, {_objective_name(search.objective)} {search.best.value:.4g}"
    return f"{best}; {count} trials{f', {stopped} stopped or failed' if stopped else ''}"


def _legend() -> tuple[list[Any], list[str]]:
    best, better, middle, worse = rank_colours(np.array([1.0, 2.0, 3.0, 4.0]))
    symbols = [line(best, width=3.2), *(line(colour, width=1.6) for colour in (better, middle, worse))]
    return [*symbols, line(_STOPPED, width=1)], ["the best trial", "better", "middling", "worse", "stopped or failed"]


def _caption(searches: Sequence[Search]) -> tuple[str, str]:
    objective = searches[0].objective.replace("/", " ").replace("_", " ")
    lower = "lower" if searches[0].minimizes else "higher"
    return "a line is a trial, coloured by its rank", f"{objective}: {lower} is better, the best at the top"
