"""From an interval to a word: better, worse, equivalent, or not separable, and what it would take to tell."""

from __future__ import annotations

import math
from typing import Literal

from pipeline.artifacts import Floats
from pipeline.comparison.contributions import Booleans
from pipeline.comparison.intervals import Spread

Decision = Literal["better", "worse", "equivalent", "not separable"]

POWER = 0.8  # chance with which the needed rows or seeds would separate two models, the usual one
MOST = 10_000_000  # needing more rows or seeds than this is the same as never


def holm(p_values: Floats) -> Floats:
    """Adjust p-values for their number, so that one false alarm among all of them is as rare as `alpha` (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    if not len(p_values):
        return p_values
    adjusted: Floats = multipletests(p_values, method="holm")[1]
    return adjusted


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
    """About how many rows, or how many seeds, would separate two models that differ as much as they seem to.

    The other number stays as it is; None where no number would do. Normal approximation, 80 % power.

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
    from scipy.special import ndtri

    floor = -math.log(alpha) * float(spread.row_effect) / abs(difference)  # rows that the rule of three asks for
    allowed = (difference / float(ndtri(1 - alpha / 2) + ndtri(POWER))) ** 2
    interaction = float(spread.interaction)
    rows, seeds = float(spread.rows), max(float(spread.seeds) - interaction, 0.0)
    by_rows = _times(spread.n_rows, varying=rows + interaction, fixed=seeds, allowed=allowed)
    by_seeds = _times(runs, varying=seeds + interaction, fixed=rows, allowed=allowed)
    return (
        None if by_rows is None else max(by_rows, math.ceil(floor)),
        by_seeds if spread.n_rows > floor else None,
    )


def _times(count: int, *, varying: float, fixed: float, allowed: float) -> int | None:
    """Count at which a variance that falls as 1 / count is small enough beside the one that doesn't."""
    if allowed <= fixed:
        return None
    wanted = math.ceil(count * varying / (allowed - fixed))
    return max(wanted, count + 1) if wanted <= MOST else None


def rounded(count: int) -> int:
    """Round up to two digits: it is an estimate."""
    unit: int = 10 ** max(len(str(count)) - 2, 0)
    return math.ceil(count / unit) * unit


def mcnemar(first_right: Booleans, second_right: Booleans) -> float:
    """Exact p-value of two single networks being right on different numbers of the same rows (McNemar 1947)."""
    from statsmodels.stats.contingency_tables import mcnemar as exact

    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    return float(exact([[0, only_first], [only_second, 0]], exact=True).pvalue)
