"""Which pictures a report has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain

from pipeline.figures import parallel, tuning
from pipeline.planes import is_plane
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.boundary_pictures import headline, plane_pictures
from pipeline.stages.reporting.importance_pictures import importance_pictures, importances
from pipeline.stages.reporting.picture import Picture
from pipeline.stages.reporting.score_pictures import (
    calibration_pictures,
    class_pictures,
    curve_pictures,
    regression_pictures,
    threshold_pictures,
)
from pipeline.stages.reporting.slice_pictures import slice_pictures
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.reporting.verdict_pictures import noise_pictures, verdict_pictures


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report, by the section that shows them."""

    headline: list[Picture]
    verdict: list[Picture]
    datasets: dict[str, list[Picture]]
    tuning: list[Picture]
    noise: list[Picture]

    def __iter__(self) -> Iterator[Picture]:
        """Go through all of them, in the order of the page."""
        return chain(self.headline, self.verdict, *self.datasets.values(), self.tuning, self.noise)


def all_pictures(source: ReportInput) -> Pictures:
    """Say which pictures a report has; nothing is drawn."""
    return Pictures(
        _naming_resample(source, headline(source)),
        verdict_pictures(source),
        {name: _naming_resample(source, _dataset_pictures(source, name)) for name in source.drawable},
        [picture for name in source.drawable for picture in _naming_resample(source, _tuning(source, name))],
        noise_pictures(source),
    )


def _dataset_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    found = cache(lambda: importances(source, name))
    yield from importance_pictures(source, name, found)
    if source.splits[name].dataset.task == "regression":
        yield from regression_pictures(source, name)
        yield from curve_pictures(source, name)
        return
    if is_plane(source.splits[name]):
        yield from plane_pictures(source, name)
    yield from slice_pictures(source, name, found)
    yield from curve_pictures(source, name)
    yield from class_pictures(source, name)
    yield from threshold_pictures(source, name)
    yield from calibration_pictures(source, name)


def _naming_resample(source: ReportInput, pictures: Iterable[Picture]) -> list[Picture]:
    """Say in each caption which resample the picture is of, where there are several."""
    of = f" Resample 0 of {source.resamples}." if source.resamples > 1 else ""
    return [replace(picture, caption=picture.caption + of) for picture in pictures]


def _tuning(source: ReportInput, name: str) -> Iterator[Picture]:
    searches = [search for search in source.searches if search.dataset == name]
    if not searches:
        return
    yield Picture(
        f"{name}_tuning",
        "tuning",
        name,
        "What tuning bought",
        "Expected best value on validation rows for a budget of trials, and of seconds; how much each hyperparameter"
        " matters for being among the best trials; and where the best trial lies in the space.",
        lambda: findings.tuning(searches),
        lambda: tuning.budget_frame(searches),
        partial(tuning.draw_tuning, searches, source.models),
    )
    yield Picture(
        f"{name}_trials",
        "trials",
        name,
        "Every trial",
        "A line a trial, from hyperparameter to hyperparameter to its value on validation rows; the best in front.",
        lambda: findings.best_hyperparameters(searches),
        lambda: parallel.parallel_frame(searches),
        partial(parallel.draw_parallel, searches, source.models),
    )
