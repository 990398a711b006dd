"""The paired interval: how far a difference may be off, by the luck of seeds and by the luck of test rows.

Seeds and rows are the two random effects of a multi-reader multi-case study: seeds are readers, nested in their model
(each network is drawn for itself), and test rows are cases that all networks see (Obuchowski & Rockette 1995; Hillis
2007, 2014). The difference of two models' mean scores varies by

    rows:  variance over rows of the difference of run means / n, less what runs × rows add to it, and
    seeds: sum over both models of the variance over runs of a run's score / runs.

Where rows come in groups, the groups are the cases (`clusters`), and all that is said of rows here holds for them.

The two parts are known to different degrees of freedom: n - 1 for rows (less where a few rows decide), and for seeds
Welch's, few when seeds are few. Their half-widths are therefore computed apart and added as squares (the method of
variance estimates recovery, Zou & Donner 2008, which for variances is Graybill & Wang's, 1980). One t with
Satterthwaite's or Hillis's degrees of freedom for the sum, the usual way, gives too many false alarms with few seeds;
benchmarks/verdict_calibration.py measures both.

The half-width of rows never falls below the rule of three (Hanley & Lippman-Hand 1983): two models that agree on all of
n rows may still differ on 3 in n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.comparison.clusters import by_group, group_freedom
from pipeline.comparison.contributions import Contributions

_BISECTIONS = 60
_ROUNDING = 1e-12  # values that differ by no more of their size differ by rounding


@dataclass(frozen=True, eq=False)
class Spread:
    """Variances of a mean score or of differences of mean scores; arrays of one shape (..., )."""

    rows: Floats  # by the choice of rows, runs being what they are on average
    seeds: Floats  # by the choice of seeds, what runs × rows add included
    interaction: Floats  # what runs × rows add
    seed_freedom: Floats  # degrees of freedom of `seeds`; infinite where seeds are no matter of chance
    row_freedom: Floats  # degrees of freedom of `rows`
    row_effect: Floats  # what one row gone wrong can change, as in Contributions
    n_cases: int  # different rows, or groups of rows

    def half_width(self, alpha: Floats | float) -> Floats:
        """Half of the interval that misses the truth in a share `alpha` of samples, of the shape of the spread."""
        return np.hypot(self._row_half_width(alpha), self._seed_half_width(alpha))

    def p_value(self, difference: Floats) -> Floats:
        """Smallest `alpha` whose interval leaves 0 out; by bisection, since two distributions are at work."""
        low, high = np.zeros(np.shape(difference)), np.ones(np.shape(difference))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            outside = np.abs(difference) > self.half_width(middle)
            low, high = np.where(outside, low, middle), np.where(outside, middle, high)
        return high

    def at(self, index: int) -> Spread:
        """Spread of one of many differences."""
        return replace(
            self,
            rows=self.rows[index],
            seeds=self.seeds[index],
            interaction=self.interaction[index],
            seed_freedom=self.seed_freedom[index],
            row_freedom=self.row_freedom[index],
            row_effect=self.row_effect[index],
        )

    def _row_half_width(self, alpha: Floats | float) -> Floats:
        floor = -np.log(alpha) * self.row_effect / self.n_cases
        width: Floats = np.maximum(_student(alpha, self.row_freedom) * np.sqrt(self.rows), floor)
        return width

    def _seed_half_width(self, alpha: Floats | float) -> Floats:
        width: Floats = _student(alpha, self.seed_freedom) * np.sqrt(self.seeds)
        return width


def _student(alpha: Floats | float, freedom: Floats | float) -> Floats:
    """Two-sided critical value of Student's t; the normal's for infinite degrees of freedom."""
    from scipy.special import stdtrit

    critical: Floats = -stdtrit(freedom, np.asarray(alpha) / 2)
    return critical


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of several models on the same rows, ready for any two of them to be compared.

    Attributes hold a value a model, but for `means_of_cases`, `covariance` and the last two. Cases are the rows
    themselves, or the groups that they come in.
    """

    values: Floats  # (models,) mean over runs of the metric
    runs: Integers  # (models,)
    means_of_cases: Floats  # (models, cases), mean over runs of the contributions
    covariance: Floats  # (models, models) of the above over cases
    seeds: Floats  # (models,) variance of the mean score by the choice of seeds; NaN for a single run
    interaction: Floats  # (models,) part of it, and of the covariance's diagonal / n, that runs × rows add
    row_effect: Floats  # (models,), as in Contributions
    n_rows: int
    case_freedom: float  # degrees of freedom of a variance over cases that are all alike

    @property
    def n_cases(self) -> int:
        """Number of rows, or of groups of rows."""
        return int(self.means_of_cases.shape[1])

    def differences(self, first: Integers, second: Integers) -> tuple[Floats, Spread]:
        """Score of each of `first` minus that of each of `second` (indices of models), with its spread.

        A single run tells nothing about seeds: with one on either side the spread is that of rows alone, and holds
        for just these runs.
        """
        single = (self.runs[first] < 2) | (self.runs[second] < 2)
        variance = np.diag(self.covariance)
        of_rows = (variance[first] + variance[second] - 2 * self.covariance[first, second]) / self.n_cases
        parts = np.stack([self.seeds[first], self.seeds[second]])
        parts = np.where(single, 0.0, parts)
        interaction = np.where(single, 0.0, self.interaction[first] + self.interaction[second])
        spread = Spread(
            rows=np.maximum(of_rows - interaction, 0.0),
            seeds=parts.sum(axis=0),
            interaction=interaction,
            seed_freedom=_welch(parts, np.stack([self.runs[first], self.runs[second]])),
            row_freedom=self._row_freedom(
                self.means_of_cases[a] - self.means_of_cases[b] for a, b in zip(first, second, strict=True)
            ),
            row_effect=np.maximum(self.row_effect[first], self.row_effect[second]),
            n_cases=self.n_cases,
        )
        return self.values[first] - self.values[second], spread

    def alone(self) -> Spread:
        """Spread of each model's own score."""
        parts = np.where(self.runs < 2, 0.0, self.seeds)[None]
        return Spread(
            rows=np.maximum(np.diag(self.covariance) / self.n_cases - self.interaction, 0.0),
            seeds=parts[0],
            interaction=self.interaction,
            seed_freedom=_welch(parts, self.runs[None]),
            row_freedom=self._row_freedom(self.means_of_cases),
            row_effect=self.row_effect,
            n_cases=self.n_cases,
        )

    def _row_freedom(self, of_cases: Iterable[Floats]) -> Floats:
        """Degrees of freedom of each variance over cases.

        A metric without bounds may hang on a few rows. The variance of a variance grows with the excess kurtosis, and
        2 · variance² / var(variance) is what is left of n - 1. Bounded metrics have the rule of three instead.
        """
        if (self.row_effect > 0).all():
            return np.array([self.case_freedom for _ in of_cases])
        n = self.n_cases
        found = np.array([2 / (2 / (n - 1) + _excess_kurtosis(values) / n) for values in of_cases])
        least: Floats = np.minimum(found, self.case_freedom)  # the sizes of groups are in the kurtosis too
        return least


def _excess_kurtosis(values: Floats) -> float:
    """Unbiased for normal values; 0 where tails are light, or values differ by rounding alone."""
    from scipy.stats import kurtosis

    if not np.ptp(values) > _ROUNDING * np.abs(values).max():
        return 0.0
    return max(float(kurtosis(values, bias=False)), 0.0)


def _welch(parts: Floats, runs: Integers) -> Floats:
    """Welch's (1947) degrees of freedom of a sum of variances, (parts, …); infinite where all of them are 0."""
    squares = (parts**2 / np.maximum(runs - 1, 1)).sum(axis=0)
    whole = parts.sum(axis=0) ** 2
    freedom: Floats = np.divide(whole, squares, out=np.full(whole.shape, np.inf), where=squares > 0)
    return freedom


def over_draws(values: Floats, test_share: float, row_effect: Floats, n_cases: int) -> Spread:
    """Spread of mean scores, or of differences, that were measured once in each of several draws.

    Draws of the data from their law are independent. Draws of the split from one table overlap, and the mean over them
    varies by (1 / draws + test rows / training rows) times their variance (Nadeau & Bengio 2003). Everything that
    differs from draw to draw is in it: training rows, test rows, seeds (Bouthillier et al. 2021).

    Parameters
    ----------
    values:
        Shape (draws, ...), at least two draws.
    test_share:
        Test rows over training rows where the draws share a table, else 0.
    row_effect, n_cases:
        As in `Spread`, of one draw.
    """
    draws = len(values)
    # Draws of one table meet the same test rows (or groups) again, and can't meet more than there are.
    different = n_cases * (min(draws, 1 + 1 / test_share) if test_share else draws)
    variance = values.var(axis=0, ddof=1) * (1 / draws + test_share)
    nothing = np.zeros(variance.shape)
    freedom = np.full(variance.shape, draws - 1.0)
    return Spread(nothing, variance, nothing, freedom, freedom, row_effect, int(different))


def scores(models: Sequence[Contributions], groups: Integers | None = None) -> Scores:
    """Gather several models' contributions of one metric on the same rows.

    Parameters
    ----------
    models:
        Contributions of each model, (runs, rows) with as many rows each.
    groups:
        The group of each row, (rows,); None where rows are cases of their own.
    """
    n_rows = models[0].rows.shape[1]
    if groups is not None:
        models = [by_group(model, groups) for model in models]
    means = np.stack([model.rows.mean(axis=0) for model in models])
    apart = [_seeds_and_interaction(model.rows) for model in models]
    return Scores(
        values=np.array([float(model.values.mean()) for model in models]),
        runs=np.array([len(model.values) for model in models]),
        means_of_cases=means,
        covariance=np.atleast_2d(np.cov(means)),
        seeds=np.array([seeds for seeds, _ in apart]),
        interaction=np.array([interaction for _, interaction in apart]),
        row_effect=np.array([model.row_effect for model in models]),
        n_rows=n_rows,
        case_freedom=n_rows - 1.0 if groups is None else group_freedom(groups),
    )


def _seeds_and_interaction(rows: Floats) -> tuple[float, float]:
    """Two-way analysis of variance without replication of (runs, rows): variance of the mean over seeds."""
    runs, n = rows.shape
    if runs < 2:
        return float("nan"), 0.0
    of_runs, of_rows = rows.mean(axis=1), rows.mean(axis=0)
    residual = rows - of_runs[:, None] - of_rows + of_runs.mean()
    interaction = float((residual**2).sum() / ((runs - 1) * (n - 1)))
    return float(of_runs.var(ddof=1)) / runs, interaction / (runs * n)
