"""The page: everything a report shows, gathered for its template."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.comparison.comparability import look_notes, looks_words
from pipeline.planes import is_plane
from pipeline.stages.reporting.input_table import input_rows
from pipeline.stages.reporting.learning import SIDE, learning
from pipeline.stages.reporting.moving_threshold import moving_threshold
from pipeline.stages.reporting.notes import notes, resample_notes
from pipeline.stages.reporting.picture import PageImage, Picture, labelled
from pipeline.stages.reporting.pictures import Pictures
from pipeline.stages.reporting.reading import columns, readings
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

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(source: ReportInput, pictures: Pictures, images: Mapping[str, PageImage]) -> str:
    """Return the page: one file that needs nothing beside it; what comes from data is escaped.

    Parameters
    ----------
    source:
        What to report.
    pictures:
        Those of `all_pictures`.
    images:
        Each of them by name, as it was drawn.
    """
    return page(
        "report.html",
        images,
        source=source,
        verdict=_verdict(source),
        scores=score_table(source),
        headline=pictures.headline,
        forests=pictures.verdict,
        noise=pictures.noise,
        sections=[_section(source, name, pictures.datasets.get(name, [])) for name in source.splits],
        tuning=_tuning(source, pictures.tuning),
        made=_made(source),
        side=SIDE,
        notes=[
            *(finding.sentence for finding in source.findings),
            *notes(source.splits, source.runs, source.goal),
            *resample_notes(source.searches, source.shared_tables, source.resamples),
            *look_notes(source.splits, source.looks),
        ],
    )


def page(template: str, images: Mapping[str, PageImage], **values: Any) -> str:
    """Fill a template in; `name | inline` gives one of the images as an address that holds all of it.

    `name | finding` says what there is to see in it.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["webp"] = _webp
    environment.filters["inline"] = lambda name: _webp(images[name].webp)
    environment.filters["finding"] = lambda name: images[name].finding
    environment.globals["metric_name"] = metric_name
    return environment.get_template(template).render(**values)


def _webp(image: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(image).decode('ascii')}"


def _verdict(source: ReportInput) -> dict[str, Any]:
    """Gather what the page says first."""
    decisions = [verdict.decision for verdict in source.outcome.primary()]
    return {
        "said": list(zip(sentences(source.outcome), decisions, strict=False)),  # none when there are too many to say
        "conclusions": conclusions(source.outcome),
        "rows": verdict_rows(source.outcome.primary()),
    }


def _section(source: ReportInput, name: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Gather what the page says of one dataset."""
    split = source.splits[name]
    return {
        "name": name,
        "place": list(source.splits).index(name),  # for ids, which names with spaces would break
        "split": split,
        "sizes": {part: len(split.rows(part)) for part in ("train", "validation", "test")},
        "pictures": {picture.kind: picture for picture in pictures},
        "metrics": metric_table(source, name),
        "classes": class_table(source, name),
        "plane": is_plane(split),
        "unlabelled": len(split.dataset.target) - len(split.dataset.labelled),
        "inputs": input_rows(split),
        "threshold": moving_threshold(source, name),
        "reading_columns": columns(split),
        "readings": readings(source, name),
        "learning": learning(source, name),
        "labelled": labelled(source, name),
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


def _tuning(source: ReportInput, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Gather what the page says of the searches, dataset by dataset."""
    return [
        {
            "name": name,
            "pictures": [picture for picture in pictures if picture.dataset == name],
            **tuned_table(source.searches, name),
        }
        for name in dict.fromkeys(search.dataset for search in source.searches)
    ]


def _made(source: ReportInput) -> dict[str, Any]:
    """Gather what numbers rest on: data, median runs, all runs."""
    data = []
    for name, split in source.splits.items():
        sizes = (len(split.rows(part)) for part in ("train", "validation", "test"))
        data.append((name, *sizes, source.looks.get(name, "not counted"), split.dataset.digest))
    runs = source.runs[["dataset", "model", "seed", "run_id", "status", "reused_from"]]
    return {
        "data": data,
        "representatives": [(*key, one.seed, one.run_id) for key, one in source.representatives.items()],
        "reused": int((runs["reused_from"] != "").sum()),
        "runs": list(runs.itertuples(index=False, name=None)),
    }
