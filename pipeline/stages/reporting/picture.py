"""One picture of a report: how it is drawn, the data behind it, and the words around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.stages.reporting.source import ReportInput

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110


@dataclass(frozen=True)
class Picture:
    """One figure to draw, its data, and the words around it."""

    name: str  # of its files, without the ending: "moons_roc"
    kind: str  # "roc"
    dataset: str  # "moons"; empty when it shows all of them
    title: str
    caption: str  # how to read it
    finding: Callable[[], str]  # what there is to see, for those who can't
    frame: Callable[[], pd.DataFrame]  # what is drawn, as a table
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class PageImage:
    """A picture that was drawn, as a page holds it."""

    webp: bytes
    finding: str


def save(figure: Figure, file: Path) -> None:
    """Write a figure, as all of a report are written: the same figure gives the same bytes.

    Words in an SVG stay words, which an editor can change and a search finds.
    """
    import matplotlib as mpl

    # matplotlib stamps a vector graphic with the time and with random ids unless told not to.
    with mpl.rc_context({"svg.hashsalt": file.stem, "svg.fonttype": "none"}):
        figure.savefig(file, dpi=DOTS_PER_INCH, metadata={"Date": None} if file.suffix == ".svg" else None)


def labelled(source: ReportInput, name: str) -> str:
    """Say under a picture how labels are made, where it isn't as everybody expects."""
    if source.splits[name].dataset.task != "binary" or source.goal.is_default:
        return ""
    if source.goal.is_fixed:
        return f" Labels are made at the threshold {source.goal.rule}."
    return f" Each run has its own threshold for labels, chosen on validation rows for {source.goal.rule}."
