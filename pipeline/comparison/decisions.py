"""From an interval to a word: better, worse, equivalent, or not separable, and what it would take to tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from pipeline.artifacts import Floats
from pipeline.comparison.contributions import Booleans
from pipeline.comparison.intervals import Spread

Decision = Literal["better", "worse", "equivalent", "not separable"]

POWER = 0.8  # chance with which the needed rows or seeds would separate two models, the usual one
MOST = 10_000_000  # needing more rows or seeds than this is the same as never


def holm(p_values: Floats) -> Floats:
    """Adjust p-values for their number, so that one false alarm among all of them is as rare as `alpha` (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(adjusted, 1.0)


def decide(gain: float, low: float, high: float, adjusted_p: float, *, alpha: float, equivalence: float) -> Decision:
    """Name what an interval says of a model against its baseline.

    An interval within ±`equivalence` says that the difference, real or not, doesn't matter.

    Parameters
    ----------
    gain:
        The difference, positive where the model is the better one.
    low, high:
        Ends of its interval.
    adjusted_p:
        p-value, adjusted for the number of pairs.
    alpha, equivalence:
        From the experiment file.
    """
    if equivalence > 0 and max(abs(low), abs(high)) <= equivalence:
        return "equivalent"
    if adjusted_p < alpha:
        return "better" if gain > 0 else "worse"
    return "not separable"


def needed(difference: float, spread: Spread, runs: int, alpha: float) -> tuple[int | None, int | None]:
    """About how many rows (or groups), or how many seeds, would separate two models that differ as they seem to.

    The other number stays as it is; None where no number would do. With so many, the interval of four in five samples
    would leave 0 out.

    Parameters
    ----------
    difference:
        What was measured.
    spread:
        Of that one difference.
    runs:
        Seeds of each model.
    alpha:
        Rate of false alarms that may be spent on this pair.
    """
    return (
        cases_needed(difference, spread, alpha),
        _fewest(runs, lambda seeds: _separates(difference, _with_seeds(spread, runs, seeds), alpha)),
    )


def cases_needed(distance: float, spread: Spread, alpha: float) -> int | None:
    """About how many rows, or groups, would put the end of the interval short of something so far away, as `needed`."""
    return _fewest(spread.n_cases, lambda cases: _separates(distance, _with_cases(spread, cases), alpha))


def _with_cases(spread: Spread, n_cases: int) -> Spread:
    """Return what the spread would be with so many rows, or groups."""
    times = n_cases / spread.n_cases
    of_seeds = np.maximum(spread.seeds - spread.interaction, 0.0)
    return replace(
        spread,
        rows=spread.rows / times,
        seeds=of_seeds + spread.interaction / times,
        row_freedom=spread.row_freedom * times,
        n_cases=n_cases,
    )


def _with_seeds(spread: Spread, runs: int, seeds: int) -> Spread:
    """Return what the spread would be with so many seeds of each model instead of `runs`."""
    freedom = spread.seed_freedom * (seeds - 1) / (runs - 1)
    return replace(spread, seeds=spread.seeds * runs / seeds, seed_freedom=freedom)


def _separates(difference: float, spread: Spread, alpha: float) -> bool:
    """Whether the interval leaves 0 out with a chance of 80 %, the difference being what it seems to be."""
    from scipy.special import ndtri

    unlucky = float(ndtri(POWER)) * math.sqrt(float(spread.rows + spread.seeds))
    return abs(difference) >= float(spread.half_width(alpha)) + unlucky


def _fewest(count: int, enough: Callable[[int], bool]) -> int | None:
    """Smallest number above `count` that is enough, by doubling and halving; None where not even the most is."""
    if not enough(MOST):
        return None
    low, high = count, 2 * count
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def rounded(count: int) -> int:
    """Round up to two digits: it is an estimate."""
    unit: int = 10 ** max(len(str(count)) - 2, 0)
    return math.ceil(count / unit) * unit


def mcnemar(first_right: Booleans, second_right: Booleans, alpha: float) -> tuple[float, float, float]:
    """Compare two single networks exactly, by the rows that only one of them gets right (McNemar 1947).

    Parameters
    ----------
    first_right, second_right:
        Which rows each network labels right, (rows,).
    alpha:
        Share of intervals that may miss.

    Returns
    -------
    tuple
        p-value, and the ends of the interval of the difference of accuracies that goes with it: Clopper & Pearson's for
        the first network's share of those rows, their number being given.
    """
    from scipy.stats import binomtest

    only_first = int((first_right & ~second_right).sum())
    either = only_first + int((~first_right & second_right).sum())
    if not either:
        return 1.0, 0.0, 0.0
    test = binomtest(only_first, either)
    share = test.proportion_ci(1 - alpha)
    scale = either / len(first_right)
    return float(test.pvalue), (2 * share.low - 1) * scale, (2 * share.high - 1) * scale
