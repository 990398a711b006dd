"""What every picture shares: sizes, titles, legends, and names made safe to write. No pyplot, no rcParams."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from pipeline.figures.palette import FAINT, INK, QUIET

TITLE, LABEL, TICK = 11.0, 9.5, 8.5  # font sizes in points
MOST_LINES = 20  # lines of other seeds behind the representative one; from as many on they are drawn as a band
_SYMBOL = 0.6  # inches that the symbol of a legend entry takes, with the gaps around it
_ENTRY = 0.21  # inches that an entry is high


def text_width(text: str, size: float = LABEL, *, bold: bool = False) -> float:
    """Width of a line of text in inches."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return width / 72


def plain(name: str, inches: float = 3.0, *, size: float = LABEL, bold: bool = False) -> str:
    """Write a name as it is: no formula between dollar signs, one line, and cut in the middle when too wide."""
    whole = shown = " ".join(str(name).split())
    length = len(whole)
    while text_width(shown, size, bold=bold) > inches and length > 3:
        length -= 1
        tail = (length - 1) // 3  # names often differ at their end: "model_with_dropout_0.1", "…_0.2"
        shown = whole[: length - 1 - tail].rstrip() + "…" + whole[len(whole) - tail :].lstrip()
    return shown.replace("$", r"\$")


def plain_class(name: str, inches: float = 3.0, *, size: float = LABEL) -> str:
    """Write the name of a class so that it reads as one: a bare number says nothing among other numbers."""
    return plain(f"class {name}" if name.isdecimal() else name, inches, size=size)


def balanced(count: int, most: int) -> int:
    """Panels in a row, at most so many, that leave the last row as full as can be."""
    return math.ceil(count / math.ceil(count / most))


def panels(
    count: int,
    *,
    size: tuple[float, float],
    across: int,
    margin: tuple[float, float] = (0.0, 0.0),
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Lay out panels in rows, outside pyplot.

    Parameters
    ----------
    count:
        Panels wanted.
    size:
        Width and height of a panel with its titles and tick labels, in inches.
    across:
        Panels in a row.
    margin:
        Width and height added once, for legends and long labels, in inches.
    share:
        Whether all panels have one x and one y range.

    Returns
    -------
    tuple
        The figure and its `count` axes in reading order.
    """
    down = math.ceil(count / across)
    figure = Figure(
        (across * size[0] + margin[0], down * size[1] + margin[1]),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
        facecolor="white",
    )
    axes: list[Axes] = list(figure.subplots(down, across, squeeze=False, sharex=share, sharey=share).flat)
    for spare in axes[count:]:
        spare.remove()
    for last in axes[max(0, count - across) : count]:
        last.tick_params(labelbottom=True)  # also above the gap that an unfinished last row leaves
    return figure, axes[:count]


def tidy(axes: Axes, *, x: str = "", y: str = "", grid: bool = True) -> None:
    """Take the clutter from a panel and name its axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=TICK, color=QUIET, labelcolor=INK, length=3)
    axes.set_xlabel(x, fontsize=LABEL, color=INK)
    axes.set_ylabel(y, fontsize=LABEL, color=INK)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(color=FAINT, linewidth=0.8)


def tidy_shared(axes: Sequence[Axes], across: int, *, x: str, y: str, grid: bool = True) -> None:
    """Tidy panels of one x and one y range: only the lowest of a column and the first of a row name an axis."""
    for place, panel in enumerate(axes):
        lowest, first = place + across >= len(axes), place % across == 0
        tidy(panel, x=x if lowest else "", y=y if first else "", grid=grid)


def title(axes: Axes, name: str, detail: str = "") -> None:
    """Head a panel with a bold name, and a quieter line or two under it."""
    small = LABEL - 0.5
    if not name:
        axes.set_title(detail, loc="left", fontsize=small, color=QUIET, pad=6)
        return
    lines = detail.count("\n") + 1 if detail else 0
    axes.set_title(name, loc="left", fontsize=TITLE, fontweight="bold", color=INK, pad=6 + 13 * lines)
    if detail:
        below = axes.annotate(
            detail,
            (0, 1),
            (0, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=small,
            color=QUIET,
            va="bottom" if lines > 1 else "baseline",
            annotation_clip=False,
        )
        below.set_in_layout(False)  # the name's distance makes room for it; its width must not shrink the panel


def wrapped(width: float, sentences: Sequence[str]) -> str:
    """Put sentences side by side where a line of so many inches holds them; empty ones are left out."""
    lines: list[str] = []
    for sentence in filter(None, sentences):
        joined = f"{lines[-1]}; {sentence}" if lines else sentence
        fits = lines and text_width(joined, LABEL - 0.5) < width - 0.3
        lines = [*lines[:-1], joined] if fits else [*lines, sentence]
    return "\n".join(lines)


def folded(width: float, sentence: str) -> str:
    """Break a sentence between words where a line of so many inches doesn't hold it."""
    letters = int(len(sentence) * (width - 0.3) / text_width(sentence, LABEL - 0.5))
    return textwrap.fill(sentence, letters)


def caption(figure: Figure, *sentences: str) -> None:
    """Say above all panels what they don't say themselves; empty sentences are left out."""
    text = wrapped(figure.get_figwidth(), sentences)
    if text:
        figure.suptitle(text, fontsize=LABEL - 0.5, color=QUIET)


def legend(owner: Figure | Axes, handles: Sequence[Artist], labels: Sequence[str], **options: Any) -> Legend:
    """Put a legend without a frame; unlike matplotlib's, it also holds labels that begin with an underscore."""
    style: dict[str, Any] = {"frameon": False, "fontsize": LABEL, "labelcolor": INK, "handletextpad": 0.6}
    made = owner.legend(handles, [f"entry {place}" for place in range(len(labels))], **(style | options))
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set_text(label)
    return made


def legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], heading: str = "") -> Legend:
    """Put one legend under all panels, in as few rows as fit, to be read along them, each as full as can be."""
    columns = _columns(labels, figure.get_figwidth())
    order = _down(len(labels), columns)
    handles, labels = [handles[place] for place in order], [labels[place] for place in order]
    made = legend(figure, handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.4)
    if heading:
        made.set_title(heading, FontProperties(size=LABEL - 0.5))
        made.get_title().set(color=QUIET, multialignment="center")
    return made


def legend_height(figure_width: float, labels: Sequence[str]) -> float:
    """Inches that `legend_below` will take under a figure of this width."""
    return 0.15 + _ENTRY * math.ceil(len(labels) / _columns(labels, figure_width))


def _columns(labels: Sequence[str], width: float) -> int:
    """Fewest columns with which the rows are as few as fit; each column is as wide as its widest label."""
    widths = np.array([text_width(label) + _SYMBOL for label in labels])
    count = len(labels)

    def fits(columns: int) -> bool:
        filled = np.array_split(widths[_down(count, columns)], columns)
        return bool(sum(column.max() for column in filled) < width)

    fitting = [1, *filter(fits, range(2, count + 1))]
    return min(fitting, key=lambda columns: (math.ceil(count / columns), columns))


def _down(count: int, columns: int) -> list[int]:
    """Order in which entries that are read along rows fill columns from the top, as matplotlib does."""
    return [place for column in range(columns) for place in range(column, count, columns)]


def line(colour: str, style: Literal["-", "--"] = "-", width: float = 2.0) -> Line2D:
    """Legend symbol of a line."""
    return Line2D([], [], color=colour, linestyle=style, linewidth=width)


def dot(colour: str, size: float, *, edge: str = "none") -> Line2D:
    """Legend symbol of a point, with its diameter in points."""
    return Line2D([], [], linestyle="", marker="o", color=colour, markersize=size, markeredgecolor=edge)


def present(frame: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Models that have rows to draw, in the fixed order; those that failed have none.

    Raises
    ------
    ValueError
        When no model has any row.
    """
    having = set(frame["model"].unique())
    kept = [model for model in models if model in having]
    if not kept:
        raise ValueError(f"none of {list(models)} has rows to draw")
    return kept


def absent_note(models: Sequence[str], shown: Sequence[str], what: str = "finished run") -> str:
    """Name the models that a picture has to leave out, for want of what it shows."""
    absent = [plain(model) for model in models if model not in shown]
    return f"no {what} of {', '.join(absent)}" if absent else ""


def seeds_note(n_seeds: int) -> str:
    """Say how many seeds a summary stands on."""
    return f"{n_seeds} seeds" if n_seeds != 1 else "1 seed"
