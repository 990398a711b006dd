"""Pictures of the verdict: differences with their intervals, noise taken apart, mean ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.figures import forest, noise, ranks
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.verdict import forest_frame, noise_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def verdict_pictures(source: ReportInput) -> list[Picture]:
    """Return differences with their intervals, one for every metric shown first, and the mean ranks."""
    pictures = [picture for metric, suffix in _suffixes(source).items() for picture in _forest(source, metric, suffix)]
    return [*pictures, *_ranks(source)]


def noise_pictures(source: ReportInput) -> list[Picture]:
    """Return the noise taken apart, one picture for every metric shown first."""
    return [picture for metric, suffix in _suffixes(source).items() for picture in _noise(source, metric, suffix)]


def _suffixes(source: ReportInput) -> dict[str, str]:
    """What the names of pictures of each metric end in: nothing for the first."""
    metrics = list(dict.fromkeys(source.metrics.values()))
    return {metric: f"_{metric}" if place else "" for place, metric in enumerate(metrics)}


def _forest(source: ReportInput, metric: str, suffix: str) -> Iterator[Picture]:
    frame, spec, baseline = forest_frame(source.outcome, metric), source.spec, source.outcome.baseline
    if not (frame["baseline"] == baseline).any():
        return
    yield Picture(
        f"forest{suffix}",
        "forest",
        "",
        "Differences",
        f"{100 * (1 - spec.alpha):g} % intervals that account for {_accounted(source)}. Decisions are corrected for the"
        " number of pairs (Holm); intervals are not.",
        lambda: findings.differences(source.outcome, metric),
        lambda: frame,
        lambda: draw_differences(frame, metric, baseline, spec.alpha),
    )


def draw_differences(frame: pd.DataFrame, metric: str, baseline: str, alpha: float) -> Figure:
    """Draw a `forest_frame`, each dataset with its own margin of what wouldn't matter."""
    margins = dict(zip(frame["dataset"], frame["margin"], strict=True))
    return forest.draw_forest(frame, metric=metric, baseline=baseline, equivalence=margins, confidence=1 - alpha)


def _accounted(source: ReportInput) -> str:
    if source.resamples > 1:
        return "the split, the seeds and the choice of test rows"
    one = min((min(verdict.seeds) for verdict in source.outcome.primary()), default=1) < 2
    return "the choice of test rows, not for the luck of the one seed" if one else "seeds and the choice of test rows"


def _noise(source: ReportInput, metric: str, suffix: str) -> Iterator[Picture]:
    frame = noise_frame(source.outcome, source.metrics, metric)
    if frame["deviation"].notna().any():
        yield Picture(
            f"noise{suffix}",
            "noise",
            "",
            "Noise taken apart",
            "How much a score would move (one standard deviation) if only the seed, only the test rows, or only the"
            " split were drawn anew.",
            lambda: findings.noise(frame, metric),
            lambda: frame,
            lambda: noise.draw_noise(frame, metric=metric),
        )


def _ranks(source: ReportInput) -> Iterator[Picture]:
    ranking = source.outcome.ranking
    if ranking is not None and len(ranking.models) > 2:
        mean_ranks = pd.Series(ranking.mean_ranks, index=list(ranking.models))
        yield Picture(
            "ranks",
            "ranks",
            "",
            "Mean ranks",
            "Over the datasets, 1 being the best; models under one bar can't be told apart by their ranks.",
            lambda: ranking.sentence,
            lambda: mean_ranks.rename_axis("model").rename("mean_rank").reset_index(),
            lambda: ranks.draw_ranks(
                mean_ranks,
                ranking.critical_difference,
                datasets=ranking.datasets,
                groups=[list(group) for group in ranking.groups],
            ),
        )
