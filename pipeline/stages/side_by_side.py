"""Side by side: two comparisons on one page, with a verdict as far as they can be compared; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.comparison.comparability import short
from pipeline.comparison.verdict import Verdict
from pipeline.stages.compare import CompareInput, forests, names, verdicts_json, write_into
from pipeline.stages.report import Spread, as_webp, draw, draw_tasks
from pipeline.stages.reporting.page import page
from pipeline.stages.reporting.picture import PageImage, Picture
from pipeline.stages.reporting.pictures import all_pictures
from pipeline.stages.reporting.settings import ABSENT, origins_that_differ, settings_that_differ
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.reporting.tables import cell, runs_of
from pipeline.stages.reporting.verdict_tables import conclusions, sentences, verdict_rows
from pipeline.units import metric_name
from pipeline.whole_files import folder_set_aside

SHOWN = (
    "headline",
    "importance",
    "boundaries",
    "slices",
    "fit",
    "curves",
    "confusion",
)  # kinds of pictures, in the order of the page


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Two comparisons, and what of them can be held against one another."""

    sides: tuple[ReportInput, ReportInput]
    settings: tuple[Mapping[str, Any], Mapping[str, Any]]  # their experiments, every default filled in
    compared: CompareInput | None  # None where nothing can
    reasons: Mapping[str, str]  # dataset that both have → why it can't

    @property
    def name(self) -> str:
        """Name of its folder, which is that of `compare`."""
        return "-".join(["compare", *(short(side.run_id) for side in self.sides)])

    @property
    def labels(self) -> tuple[str, str]:
        """What the sides are called: experiment and the beginning of the run id, `linear_vs_relu@1a2b3c4d`."""
        first, second = (f"{side.name}@{short(side.run_id)}" for side in self.sides)
        return first, second

    @cached_property
    def pictures(self) -> tuple[list[Picture], list[Picture]]:
        """Pictures of either side: the headline, and those of the datasets that both have."""
        shared = {"", *(name for name in self.sides[0].splits if name in self.sides[1].splits)}
        first, second = (
            [picture for picture in all_pictures(side) if picture.kind in SHOWN and picture.dataset in shared]
            for side in self.sides
        )
        return first, second

    def notes(self, looks: Mapping[str, int]) -> list[str]:
        """Say what can't be compared, and what to bear in mind of the rest."""
        refused = [f"{name}: no verdict: {reason}." for name, reason in self.reasons.items()]
        return [*refused, *(self.compared.notes(looks) if self.compared else [])]


def side_by_side(
    source: SideBySide,
    looks: Mapping[str, int],
    folder: Path,
    *,
    svg: bool,
    spread: Spread,
    advance: Callable[[float], None],
) -> Path:
    """Write what `compare` writes, and a page with pictures of both sides.

    Parameters
    ----------
    source:
        The two comparisons.
    looks:
        Dataset → looks at its final rows, this one included, of those that are compared.
    folder:
        Made when it isn't there; pictures of an earlier page in it are removed.
    svg, spread, advance:
        As in `report`.

    Returns
    -------
    Path
        The folder, with `index.html`, `figures/RUN/*.png` and `*.csv` for either side, and, where something can be
        compared, `verdicts.json` and `forest.png`.
    """
    verdicts = verdicts_json(source.compared, looks) if source.compared else ""
    with folder_set_aside(folder) as aside:
        images: dict[str, PageImage] = {}
        differences: list[Picture] = []
        if source.compared:
            write_into(source.compared, verdicts, aside)
            differences = list(forests(source.compared))
            images |= {
                picture.name: PageImage(as_webp(aside / f"{picture.name}.png"), picture.finding())
                for picture in differences
            }
        tasks = []
        for side, pictures in zip(source.sides, source.pictures, strict=True):
            own = aside / "figures" / short(side.run_id)
            own.mkdir(parents=True)
            tasks += draw_tasks(side, pictures, own, svg=svg)
        for drawn in spread(draw, tasks):
            images |= {f"{drawn.run_id}/{name}": image for name, image in drawn.images.items()}
            advance(len(drawn.images))
        (aside / "index.html").write_text(_render(source, looks, differences, images), encoding="utf-8")
    return folder


def _render(
    source: SideBySide, looks: Mapping[str, int], differences: list[Picture], images: Mapping[str, PageImage]
) -> str:
    outcome = source.compared.outcome if source.compared else None
    said = sentences(outcome) if outcome else []
    decisions = [verdict.decision for verdict in outcome.primary()] if outcome else []
    return page(
        "side_by_side.html",
        images,
        source=source,
        labels=source.labels,
        differing=[*settings_that_differ(*source.settings), *origins_that_differ(*source.sides)],
        notes=source.notes(looks),
        said=list(zip(said, decisions, strict=False)),  # none when there are too many to say
        conclusions=conclusions(outcome) if outcome else [],
        scores=list(_scores(source)),
        unmatched=verdict_rows(_unmatched(source)),
        differences=differences,
        pairs=list(_pairs(source)),
    )


def _scores(source: SideBySide) -> Iterator[dict[str, Any]]:
    """Yield a row for each dataset × model: both scores, and the verdict on models of one name."""
    first, second = source.sides
    judged = _judged(source)
    for dataset in dict.fromkeys([*first.splits, *second.splits]):
        metric = first.metrics.get(dataset) or second.metrics[dataset]
        for model in dict.fromkeys([*first.models, *second.models]):
            verdict = judged.get((dataset, model))
            yield {
                "dataset": dataset,
                "model": model,
                "metric": metric_name(metric),
                "scores": [_score(side, dataset, model, metric) for side in source.sides],
                "verdict": verdict_rows([verdict])[0] if verdict else None,
            }


def _score(side: ReportInput, dataset: str, model: str, metric: str) -> str:
    """Mean ± standard deviation over a side's runs; a dash where it has none."""
    runs = runs_of(side.runs, dataset, model)
    return ABSENT if runs.empty else cell(runs, metric)


def _judged(source: SideBySide) -> dict[tuple[str, str], Verdict]:
    """Verdicts on models of one name, the second's against the first's, by dataset and that name."""
    if source.compared is None:
        return {}
    first, second = (side.run_id for side in source.sides)
    named = names(source.compared.entries)
    pairs = {
        (name, named[first, model]): model
        for (run_id, model), name in named.items()
        if run_id == second and (first, model) in named
    }
    primary = source.compared.outcome.primary()
    return {(one.dataset, pairs[one.model, one.baseline]): one for one in primary if (one.model, one.baseline) in pairs}


def _unmatched(source: SideBySide) -> list[Verdict]:
    """Return the other verdicts: of models that only one side has, against the first side's baseline."""
    if source.compared is None:
        return []
    matched = {id(verdict) for verdict in _judged(source).values()}
    return [verdict for verdict in source.compared.outcome.primary() if id(verdict) not in matched]


def _pairs(source: SideBySide) -> Iterator[dict[str, Any]]:
    """Yield sections with both sides' pictures of a kind next to each other: the headline, then dataset by dataset."""
    every = [picture for pictures in source.pictures for picture in pictures]
    for dataset in dict.fromkeys(picture.dataset for picture in every):
        titles = {picture.kind: picture.title for picture in every if picture.dataset == dataset}
        rows = [{"title": titles[kind], "pictures": _pair(source, dataset, kind)} for kind in SHOWN if kind in titles]
        yield {"dataset": dataset, "rows": rows}


def _pair(source: SideBySide, dataset: str, kind: str) -> list[Picture | None]:
    """Both sides' picture of a kind; None where a side has none."""
    return [
        next((_named(one, side, label) for one in pictures if (one.dataset, one.kind) == (dataset, kind)), None)
        for side, label, pictures in zip(source.sides, source.labels, source.pictures, strict=True)
    ]


def _named(picture: Picture, side: ReportInput, label: str) -> Picture:
    """Name a picture as its image is called, and say in its title whose it is."""
    return replace(picture, name=f"{side.run_id}/{picture.name}", title=f"{picture.title}, {label}")
