"""Several datasets at once: mean ranks, and how far apart they must be (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import Floats
from pipeline.comparison.verdict import Measured

PERMUTATIONS = 9999
FEW_DATASETS = 6  # with fewer, the sign test can't reach 5 %: 2 / 2^5 = 0.0625


@dataclass(frozen=True)
class Ranking:
    """Models by their mean rank over datasets; 1 is the best rank."""

    models: tuple[str, ...]  # best mean rank first
    mean_ranks: tuple[float, ...]
    datasets: int
    p_value: float  # of all models being alike: Friedman's test by permutation; Wilcoxon's for two
    test: str
    critical_difference: float  # Nemenyi's
    groups: tuple[tuple[str, ...], ...]  # models that aren't separable, largest groups only
    sentence: str


def rank(measured: Sequence[Measured], alpha: float) -> Ranking | None:
    """Rank the models that were measured on every dataset, each dataset by the metric shown first.

    None for fewer than two datasets or models.
    """
    from scipy.stats import rankdata

    everywhere = (
        [model for model in measured[0].models if all(model in one.models for one in measured)] if measured else []
    )
    if len(measured) < 2 or len(everywhere) < 2 or any(np.isnan(one.values).any() for one in measured):
        return None
    gains = np.array(
        [
            [(-1 if one.lower_is_better else 1) * one.values[one.models.index(model)] for model in everywhere]
            for one in measured
        ]
    )
    shares = _rounded(gains)
    ranks = rankdata(-shares, axis=1)
    means = ranks.mean(axis=0)
    order = np.argsort(means, kind="stable")
    p_value, test = _two(gains[:, 0] - gains[:, 1]) if len(everywhere) == 2 else _many(shares)
    difference = critical_difference(len(everywhere), len(measured), alpha)
    models = tuple(everywhere[place] for place in order)
    groups = _groups(models, means[order], difference)
    return Ranking(
        models,
        tuple(float(mean) for mean in means[order]),
        len(measured),
        p_value,
        test,
        difference,
        groups,
        _sentence(models, means[order], p_value, test, len(measured), alpha),
    )


def _rounded(values: Floats) -> Floats:
    """Return shares of a row's largest, without the last bits: sums leave other ones to values that are equal."""
    largest = np.abs(values).max(axis=-1, keepdims=True)
    shares: Floats = np.round(values / np.where(largest > 0, largest, 1), 12)
    return shares


def critical_difference(models: int, datasets: int, alpha: float) -> float:
    """Nemenyi's: q / √2 · √(k (k + 1) / (6 N)), with q of the studentized range (Demšar 2006, equation 6)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - alpha, models, np.inf))
    return quantile / math.sqrt(2) * math.sqrt(models * (models + 1) / (6 * datasets))


def _many(gains: Floats) -> tuple[float, str]:
    """Friedman's test of (datasets, models) by exchanging models within datasets at random, or in all ways if few.

    Its usual approximations are wrong for few datasets, where Iman & Davenport's calls models different far too often.
    """
    from scipy.stats import permutation_test, rankdata

    def spread(*models: Floats, axis: int) -> Floats:
        ranks: Floats = rankdata(np.stack(models), axis=0)
        variance: Floats = ranks.mean(axis=axis).var(axis=0)
        return variance

    found = permutation_test(
        tuple(gains.T), spread, permutation_type="samples", alternative="greater", n_resamples=PERMUTATIONS, rng=0
    )
    return float(found.pvalue), "Friedman"


def _two(apart: Floats) -> tuple[float, str]:
    """Wilcoxon's signed ranks of the differences (datasets,), exact for few, also where they are equally large."""
    from scipy.stats import wilcoxon

    apart = _rounded(apart)
    if not apart.any():
        return 1.0, "Wilcoxon"
    return float(wilcoxon(apart[apart != 0]).pvalue), "Wilcoxon"


def _groups(models: Sequence[str], means: Floats, difference: float) -> tuple[tuple[str, ...], ...]:
    """Runs of neighbours closer than the critical difference that no larger such run holds."""
    found: list[range] = []
    for start in range(len(models)):
        end = int(np.searchsorted(means, means[start] + difference, side="left"))
        if end - start > 1 and (not found or end > found[-1].stop):
            found.append(range(start, end))
    return tuple(tuple(models[place] for place in group) for group in found)


def _sentence(models: Sequence[str], means: Floats, p_value: float, test: str, datasets: int, alpha: float) -> str:
    places = ", ".join(f"{model} {mean:.2f}" for model, mean in zip(models, means, strict=True))
    verdict = "the ranks differ" if p_value < alpha else "the ranks don't differ beyond chance"
    few = "; so few datasets could hardly show more" if datasets < FEW_DATASETS and p_value >= alpha else ""
    return f"Mean ranks over {datasets} datasets: {places}; {verdict} ({test} p = {p_value:.2g}){few}."
