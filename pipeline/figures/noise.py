"""Noise: how far a score would move if only the seed, only the test rows, or only the split were drawn anew."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.figures.canvas import (
    LABEL,
    TICK,
    TITLE,
    balanced,
    caption,
    legend_below,
    legend_height,
    panels,
    plain,
    text_width,
    tidy,
    title,
)
from pipeline.figures.palette import INK, QUIET, SOURCE_COLOURS
from pipeline.units import factor, in_points, metric_name, unit, written

_BAR, _BETWEEN = 0.15, 0.13  # inches of a bar, and between two models
_SMALL = TICK - 1.0  # a value has to fit to its bar


def draw_noise(frame: pd.DataFrame, *, metric: str) -> Figure:
    """Draw bars grouped by model, one for each source of noise, in a panel for each dataset.

    A source that isn't known for any model, as the seed's noise isn't with one seed, takes no bars and is told above
    the panels; where it is unknown for some models only, their place says so.

    Parameters
    ----------
    frame:
        Rows in the order to draw: dataset, model, source (``"seed"``, ``"test rows"`` or ``"split"``), deviation:
        the standard deviation that this source alone gives a score, in the metric's own unit (accuracies in 0…1);
        NaN, or no row, where it isn't known.
    metric:
        Name of the metric; shares such as accuracy are drawn in points, and all datasets on one scale.

    Raises
    ------
    ValueError
        When no deviation is known.
    """
    rows = frame.assign(deviation=frame["deviation"] * factor(metric))
    known = set(rows.loc[rows["deviation"].notna(), "source"])
    sources = [source for source in SOURCE_COLOURS if source in known]
    if not sources:
        raise ValueError("no deviation is known, so there is no noise to draw")
    models, datasets = list(rows["model"].unique()), list(rows["dataset"].unique())
    names = [plain(model, 2.2, size=TICK) for model in models]
    across = balanced(len(datasets), 4)
    width = 3.0 if len(datasets) > 1 else 5.0
    height = 0.45 + len(models) * (len(sources) * _BAR + _BETWEEN)
    margin = (max(text_width(name, TICK) for name in names), 1.0 + legend_height(across * width, sources))
    figure, axes = panels(len(datasets), size=(width, height), across=across, margin=margin)
    longest = max(rows["deviation"].max(), 0.0) or 1.0
    for place, (panel, dataset) in enumerate(zip(axes, datasets, strict=True)):
        block = rows[rows["dataset"] == dataset]
        _bars(panel, block, models, sources, metric)
        reach = longest if in_points(metric) else max(block["deviation"].max(), 0.0) or 1.0
        panel.set_xlim(0, 1.3 * reach)  # values stand behind their bars
        _rows(panel, names if place % across == 0 else [""] * len(names))
        tidy(panel)
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.locator_params(axis="x", nbins=6)
        title(panel, plain(dataset, width - 0.4, size=TITLE, bold=True))
    for panel in axes[-across:]:
        panel.set_xlabel(f"standard deviation{unit(metric)}", fontsize=LABEL, color=INK)
    caption(
        figure,
        f"how far {metric_name(metric)} moves when one thing alone is drawn anew",
        *_unknown(sources),
        "each dataset has its own scale" if len(datasets) > 1 and not in_points(metric) else "",
    )
    legend_below(figure, [Patch(color=SOURCE_COLOURS[source]) for source in sources], sources)
    return figure


def _bars(axes: Axes, block: pd.DataFrame, models: Sequence[str], sources: Sequence[str], metric: str) -> None:
    """Draw one dataset's bars with their values; models down, sources under one another within a model."""
    known = block.set_index(["model", "source"])["deviation"].to_dict()
    step = _BAR / (len(sources) * _BAR + _BETWEEN)
    for place, model in enumerate(models):
        deviations = {source: known.get((model, source), math.nan) for source in sources}
        if all(math.isnan(deviation) for deviation in deviations.values()):
            _say(axes, place, "no finished run", QUIET)
            continue
        for number, (source, deviation) in enumerate(deviations.items()):
            at = place + (number - (len(sources) - 1) / 2) * step
            if math.isnan(deviation):
                _say(axes, at, f"{source}: not known", QUIET)
                continue
            axes.barh(at, deviation, 0.92 * step, color=SOURCE_COLOURS[source])
            _say(axes, at, written((deviation,), metric)[0], INK, deviation)


def _say(axes: Axes, place: float, text: str, colour: str, deviation: float = 0.0) -> None:
    axes.annotate(
        text,
        (deviation, place),
        (3, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=_SMALL,
        color=colour,
        annotation_clip=False,
    )


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)


def _unknown(sources: Sequence[str]) -> list[str]:
    """Name the sources that were drawn just once."""
    return [f"one {source}: not known" for source in SOURCE_COLOURS if source not in sources]
