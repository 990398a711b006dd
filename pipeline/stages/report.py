"""Report: tables, pictures and a page, from the ledger, the history and the networks; nothing is trained here."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.comparison.comparability import rows_looked_at
from pipeline.comparison.outcome import outcome_json
from pipeline.stages.ledger import trials_frame
from pipeline.stages.reporting.page import render
from pipeline.stages.reporting.picture import PageImage, Picture, save
from pipeline.stages.reporting.pictures import all_pictures
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.text_cells import with_text_cells
from pipeline.whole_files import folder_set_aside

IN_A_TASK = 4  # pictures: enough of them to outweigh handing their source to another process
SIGNIFICANT_DIGITS = "%.6g"  # of the numbers behind a picture: more than it shows


@dataclass(frozen=True, eq=False)
class DrawTask:
    """Some of a report's pictures to draw, by their names: a picture itself can't be handed to another process."""

    source: ReportInput
    names: tuple[str, ...]
    folder: Path
    svg: bool


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pictures of one comparison by their names."""

    run_id: str
    images: dict[str, PageImage]


class Spread(Protocol):
    """Applies a function to tasks, here or in other processes; results come in any order."""

    def __call__(self, function: Callable[[DrawTask], Drawn], tasks: Iterable[DrawTask], /) -> Iterable[Drawn]:
        """Apply it."""


def report(
    source: ReportInput,
    folder: Path,
    *,
    svg: bool = False,
    spread: Spread = map,
    advance: Callable[[float], None] = lambda _: None,
) -> Path:
    """Write a report's folder: tables, pictures, and a page that holds them all.

    Parameters
    ----------
    source:
        What to report.
    folder:
        Made when it isn't there; pictures of an earlier report in it are removed. It changes only when all is written.
    svg:
        Whether pictures are written as SVG too.
    spread:
        Where pictures are drawn.
    advance:
        Told how many more pictures are done.

    Returns
    -------
    Path
        The folder, with `index.html`, `metrics.csv`, `predictions.parquet`, `history.parquet`, `verdicts.json`, and of
        each picture `figures/*.png` and `figures/*.csv`.

    Raises
    ------
    DiskError
        When it can't be written; an earlier report is then left as it was.
    """
    with folder_set_aside(folder) as aside:
        figures = aside / "figures"
        figures.mkdir()
        _write_tables(source, aside)
        pictures = all_pictures(source)
        images: dict[str, PageImage] = {}
        for drawn in spread(draw, draw_tasks(source, pictures, figures, svg=svg)):
            images |= drawn.images
            advance(len(drawn.images))
        (aside / "index.html").write_text(render(source, pictures, images), encoding="utf-8")
    return folder


def _write_tables(source: ReportInput, folder: Path) -> None:
    source.runs.to_csv(folder / "metrics.csv", index=False)
    source.ledger.to_parquet(folder / "predictions.parquet", index=False)
    source.history.to_parquet(folder / "history.parquet", index=False)
    (folder / "verdicts.json").write_text(verdicts_json(source), encoding="utf-8")
    if source.searches:
        trials_frame(source.searches).to_csv(folder / "trials.csv", index=False)


def draw_tasks(source: ReportInput, pictures: Iterable[Picture], folder: Path, *, svg: bool) -> list[DrawTask]:
    """Part some of a report's pictures into pieces of work, neighbours together: they share some of theirs."""
    _ = source.outcome, source.planes, source.bayes_rules  # worked out here and handed on, not by each worker anew
    names = [picture.name for picture in pictures]
    folder = folder.absolute()  # a worker that has worked before may stand elsewhere
    return [
        DrawTask(source, tuple(names[start : start + IN_A_TASK]), folder, svg)
        for start in range(0, len(names), IN_A_TASK)
    ]


def draw(task: DrawTask) -> Drawn:
    """Draw a task's pictures, and write them with their data."""
    wanted = [picture for picture in all_pictures(task.source) if picture.name in task.names]
    return Drawn(task.source.run_id, dict(_drawn(task.folder, picture, task.svg) for picture in wanted))


def _drawn(folder: Path, picture: Picture, svg: bool) -> tuple[str, PageImage]:
    with_text_cells(picture.frame()).to_csv(
        folder / f"{picture.name}.csv", index=False, float_format=SIGNIFICANT_DIGITS
    )
    figure, file = picture.draw(), folder / f"{picture.name}.png"
    save(figure, file)
    if svg:
        save(figure, file.with_suffix(".svg"))
    return picture.name, PageImage(as_webp(file), picture.finding())


def as_webp(file: Path) -> bytes:
    """Return a picture as lossless WebP: smaller than the PNG, and the very same pixels."""
    from PIL import Image

    inline = io.BytesIO()
    with Image.open(file) as image:
        # Quality is the effort of packing here; more of it takes longer to save hardly a byte.
        image.convert("RGB").save(inline, "WEBP", lossless=True, method=2, quality=40)
    return inline.getvalue()


def verdicts_json(source: ReportInput) -> str:
    """Write the verdicts as JSON text; reports/README.md documents it."""
    named = {"experiment": source.name, "run_id": source.run_id, "threshold": source.goal.rule}
    plain = outcome_json(source.outcome, rows_looked_at(source.splits, source.looks))
    return json.dumps({**named, **plain}, indent=1, ensure_ascii=False) + "\n"
