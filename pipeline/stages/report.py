"""Report: tables, pictures and a page, from the ledger, the history and the networks; nothing is trained here."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.comparison.comparability import look_notes, looks_words, rows_looked_at
from pipeline.comparison.outcome import outcome_json
from pipeline.stages.ledger import trials_frame
from pipeline.stages.reporting.notes import notes, resample_notes
from pipeline.stages.reporting.pictures import (
    all_pictures,
    dataset_pictures,
    headline,
    is_plane,
    save,
    verdict_pictures,
)
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.reporting.tables import class_table, metric_table, score_table, tuned_table
from pipeline.stages.reporting.verdict_tables import (
    agreement_rows,
    ceiling_lines,
    conclusions,
    sentences,
    standing_rows,
    verdict_rows,
)
from pipeline.units import metric_name


def report(source: ReportInput, folder: Path, advance: Callable[[float], None] = lambda _: None) -> Path:
    """Write a report's folder: tables, pictures, and a page that holds them all.

    Parameters
    ----------
    source:
        What to report.
    folder:
        Made when it isn't there; pictures of an earlier report in it are removed.
    advance:
        Told of each picture that is done.

    Returns
    -------
    Path
        The folder, with `index.html`, `metrics.csv`, `predictions.parquet`, `history.parquet`, `verdicts.json` and
        `figures/*.png`.
    """
    figures = folder / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)
    source.runs.to_csv(folder / "metrics.csv", index=False)
    source.ledger.to_parquet(folder / "predictions.parquet", index=False)
    source.history.to_parquet(folder / "history.parquet", index=False)
    (folder / "verdicts.json").write_text(verdicts_json(source), encoding="utf-8")
    if source.searches:
        trials_frame(source.searches).to_csv(folder / "trials.csv", index=False)
    for picture in all_pictures(source):
        save(picture.draw(), figures / picture.file)
        advance(1)
    (folder / "index.html").write_text(render(source, figures), encoding="utf-8")
    return folder


def verdicts_json(source: ReportInput) -> str:
    """Write the verdicts as JSON text; reports/README.md documents it."""
    named = {"experiment": source.name, "run_id": source.run_id, "threshold": source.goal.rule}
    plain = outcome_json(source.outcome, rows_looked_at(source.splits, source.looks))
    return json.dumps({**named, **plain}, indent=1, ensure_ascii=False) + "\n"


def render(source: ReportInput, figures: Path) -> str:
    """Return the page: one file that needs nothing beside it; what comes from data is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = lambda file: _inline(figures / file)
    return environment.get_template("report.html").render(
        source=source,
        metric_name=metric_name,
        verdict=_verdict_section(source),
        scores=score_table(source),
        headline=headline(source),
        sections=[_section(source, name) for name in source.splits],
        notes=[
            *notes(source.splits, source.runs, source.goal),
            *resample_notes(source.searches, source.shared_tables, source.resamples),
            *look_notes(source.splits, source.looks),
        ],
        tuned={name: tuned_table(source.searches, name) for name in source.splits},
    )


def _verdict_section(source: ReportInput) -> dict[str, Any]:
    """Gather what the page says first."""
    return {
        "sentences": sentences(source.outcome),
        "conclusions": conclusions(source.outcome),
        "rows": verdict_rows(source.outcome.primary()),
        "pictures": verdict_pictures(source),
    }


def _section(source: ReportInput, name: str) -> dict[str, Any]:
    split = source.splits[name]
    return {
        "name": name,
        "split": split,
        "sizes": {part: len(split.rows(part)) for part in ("train", "validation", "test")},
        "pictures": dataset_pictures(source, name) if source.seeds(name) else [],
        "metrics": metric_table(source, name),
        "classes": class_table(source, name),
        "plane": is_plane(split),
        "looks": looks_words(split.final, source.looks[name]) if name in source.looks else "",
        **_judged(source, name),
    }


def _judged(source: ReportInput, name: str) -> dict[str, Any]:
    """Gather what the verdict says of one dataset."""
    outcome = source.outcome
    return {
        "verdicts": verdict_rows([one for one in outcome.verdicts if one.dataset == name]),
        "standings": [row for one in outcome.recommendations if one.dataset == name for row in standing_rows(one)],
        "ceiling": [line for one in outcome.ceilings if one.dataset == name for line in ceiling_lines(one)],
        "agreement": agreement_rows(outcome, name),
    }


def _inline(file: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
