"""Verdicts: how far each model is from the baseline, with intervals and what they allow to say."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.figures.canvas import (
    LABEL,
    TICK,
    TITLE,
    balanced,
    caption,
    panels,
    plain,
    text_width,
    tidy,
    title,
)
from pipeline.figures.palette import DECISION_COLOURS, FAINT, INK, QUIET
from pipeline.units import factor, lower_is_better, metric_name, unit, written

_MARKERS = {"better": "^", "worse": "v", "equivalent": "D", "not separable": "o"}
_ROW, _HEAD = 0.29, 0.72  # inches of a model's row, and of a panel's title with its tick labels
_PLOT = 3.4  # inches of a panel's axes, about
_TALLEST = 8.0  # inches of panels one under the other; more of them go into two columns
_GAP = 0.14  # inches between columns of text


def draw_forest(
    frame: pd.DataFrame, *, metric: str, baseline: str, equivalence: Mapping[str, float], confidence: float = 0.95
) -> Figure:
    """Draw every model's difference to the baseline: a panel for each dataset, a row for each model.

    Each panel has its own scale and holds zero, so that an interval of half a point can be read beside one of ten.
    Decisions have a colour, a marker and a word each. A difference without a finite interval has no whiskers, and
    a model without a difference has no point; both are said in words.

    Parameters
    ----------
    frame:
        Rows in the order to draw: dataset, model, baseline, difference (the model's metric minus the baseline's),
        low, high (all in the metric's own unit, so accuracies in 0…1), decision (``"better"``, ``"worse"``,
        ``"equivalent"`` or ``"not separable"``). Rows with another baseline are left out.
    metric:
        Name of the metric; shares such as accuracy are drawn in points.
    baseline:
        Model that the others are measured against.
    equivalence:
        For each dataset the difference that wouldn't matter, in the metric's own unit; shaded on either side of zero.
    confidence:
        Coverage of the intervals, 0…1.

    Raises
    ------
    ValueError
        When no row has this baseline.
    """
    rows = frame[frame["baseline"] == baseline]
    if rows.empty:
        raise ValueError(f"no rows with the baseline {baseline!r} to draw")
    rows = rows.assign(**{name: rows[name] * factor(metric) for name in ("difference", "low", "high")})
    blocks = {name: rows[rows["dataset"] == name] for name in rows["dataset"].unique()}
    most = max(len(block) for block in blocks.values())
    height = _HEAD + _ROW * most
    across = balanced(len(blocks), 2 if len(blocks) * height > _TALLEST else 1)
    columns = _columns(rows, metric)
    width = _PLOT + columns[0] + columns[1] + columns[2] + 4 * _GAP
    figure, axes = panels(len(blocks), size=(width, height), across=across, margin=(0.2, 0.7))
    # Decisions keep away from the names of the next column.
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.05))
    for panel, (dataset, block) in zip(axes, blocks.items(), strict=True):
        _zone(panel, block, equivalence[dataset] * factor(metric))
        _points(panel, block)
        _rows(panel, block, most)
        _values(panel, block, metric, columns)
        tidy(panel)
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.locator_params(axis="x", nbins=7)
        title(panel, plain(dataset, _PLOT, size=TITLE, bold=True))
    for lowest in axes[-across:]:
        lowest.set_xlabel(_axis(metric), fontsize=LABEL, color=INK)
    margins = {equivalence[dataset] * factor(metric) for dataset in blocks}
    caption(figure, *_caption(metric, baseline, margins, confidence, several=len(blocks) > 1))
    return figure


def _columns(rows: pd.DataFrame, metric: str) -> tuple[float, float, float]:
    """Inches of the names at the left, and of values and decisions at the right."""
    names = [text_width(plain(model, 2.2, size=TICK), TICK) for model in rows["model"]]
    values = [text_width(_value(row, metric), TICK) for _, row in rows.iterrows()]
    words = [text_width(word, TICK, bold=True) for word in rows["decision"]]
    return max(names), max(values), max(words)


def _zone(axes: Axes, block: pd.DataFrame, equivalence: float) -> None:
    """Shade what wouldn't matter, draw zero, and make room for every interval."""
    drawn = block[["difference", "low", "high"]].to_numpy().ravel()
    ends = [0.0, -equivalence, equivalence, *(float(value) for value in drawn if math.isfinite(value))]
    reach = (max(ends) - min(ends)) or 1.0
    axes.set_xlim(min(ends) - 0.07 * reach, max(ends) + 0.07 * reach)
    axes.axvspan(-equivalence, equivalence, color=FAINT, linewidth=0, zorder=0.5)
    axes.axvline(0, color=QUIET, linewidth=1.1, zorder=1)


def _points(axes: Axes, block: pd.DataFrame) -> None:
    """Draw a point for each known difference, and whiskers where the interval is finite."""
    for place, (_, row) in enumerate(block.iterrows()):
        if not math.isfinite(row["difference"]):
            continue
        colour = DECISION_COLOURS[row["decision"]]
        if _bounded(row):
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2.2, zorder=3)
        axes.plot(
            row["difference"],
            place,
            marker=_MARKERS[row["decision"]],
            color=colour,
            markersize=6.5 if row["decision"] == "equivalent" else 8.5,
            markeredgecolor="white",
            markeredgewidth=0.8,
            linestyle="",
            zorder=4,
        )


def _bounded(row: pd.Series) -> bool:
    return math.isfinite(row["low"]) and math.isfinite(row["high"])


def _rows(axes: Axes, block: pd.DataFrame, most: int) -> None:
    """Give every model a row; panels of fewer models keep the height of a row."""
    axes.set_yticks(range(len(block)), [plain(model, 2.2, size=TICK) for model in block["model"]])
    axes.set_ylim(most - 0.4, -0.6)


def _values(axes: Axes, block: pd.DataFrame, metric: str, columns: tuple[float, float, float]) -> None:
    """Write value and decision of each row to the right of the panel."""
    for place, (_, row) in enumerate(block.iterrows()):
        known = math.isfinite(row["difference"])
        _write(axes, place, _GAP, _value(row, metric), INK if known else QUIET, "normal")
        if known:
            _write(axes, place, 2 * _GAP + columns[1], row["decision"], DECISION_COLOURS[row["decision"]], "bold")


def _write(axes: Axes, place: int, inches: float, text: str, colour: str, weight: str) -> None:
    axes.annotate(
        text,
        (1, place),
        (72 * inches, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        fontsize=TICK,
        fontweight=weight,
        color=colour,
        annotation_clip=False,
    )


def _value(row: pd.Series, metric: str) -> str:
    """Write a difference with its interval, in drawn units."""
    if not math.isfinite(row["difference"]):
        return "no finished run"
    if not _bounded(row):
        (difference,) = written((row["difference"],), metric)
        return f"{_signed(difference)}, no interval"
    difference, low, high = written((row["difference"], row["low"], row["high"]), metric)
    return f"{_signed(difference)} [{low}, {high}]"


def _signed(number: str) -> str:
    return number if number.startswith("−") or not number.strip("0.") else f"+{number}"


def _axis(metric: str) -> str:
    """Name the x axis, and say on which side a model is better than the baseline."""
    left, right = ("better", "worse") if lower_is_better(metric) else ("worse", "better")
    return f"← {left}     difference in {metric_name(metric)}{unit(metric)}     {right} →"


def _caption(metric: str, baseline: str, margins: set[float], confidence: float, *, several: bool) -> list[str]:
    """Say what is drawn; a zone of no width isn't worth a word, and its number only where it is one."""
    drawn = max(margins)
    points = f" {'point' if drawn == 1 else 'points'}" if unit(metric) else ""
    width = f"±{drawn:.3g}{points}, which" if len(margins) == 1 else "what"
    return [
        f"{metric_name(metric)} of a model minus that of {plain(baseline, 1.8)}",
        f"whiskers: {100 * confidence:g} % intervals",
        f"shaded: {width} wouldn't matter" if drawn else "",
        "each dataset has its own scale" if several else "",
    ]
