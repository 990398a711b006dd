from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar
from statsmodels.stats.multitest import multipletests

from pipeline.comparison.decisions import MOST, decide, holm, mcnemar, needed, rounded
from pipeline.comparison.intervals import Spread, scores
from tests.comparison.test_intervals import mean_of, table


def one_spread(
    rows: float, seeds: float, interaction: float, n_rows: int, *, row_effect: float = 0.0, seed_freedom: float = 8.0
) -> Spread:
    variances = (np.array(rows), np.array(seeds), np.array(interaction))
    return Spread(*variances, np.array(seed_freedom), np.array(n_rows - 1.0), np.array(row_effect), n_rows)


def separates(difference: float, spread: Spread, runs: int, alpha: float, *, n_rows: int, seeds: int) -> bool:
    """Whether so many rows and seeds instead of the present ones leave 0 out in 80 % of samples, by scipy's t."""
    more_rows, more_seeds = n_rows / spread.n_cases, seeds / runs
    of_rows = float(spread.rows) / more_rows
    apart = max(float(spread.seeds - spread.interaction), 0.0)
    of_seeds = apart / more_seeds + float(spread.interaction) / more_rows / more_seeds
    by_rows = stats.t.isf(alpha / 2, float(spread.row_freedom) * more_rows) * math.sqrt(of_rows)
    by_rows = max(by_rows, -math.log(alpha) * float(spread.row_effect) / n_rows)
    by_seeds = stats.t.isf(alpha / 2, float(spread.seed_freedom) * (seeds - 1) / (runs - 1)) * math.sqrt(of_seeds)
    return bool(abs(difference) >= math.hypot(by_rows, by_seeds) + stats.norm.ppf(0.8) * math.sqrt(of_rows + of_seeds))


def test_holm_by_hand() -> None:
    """The smallest p-value counts as often as there are pairs, the next once less, and none below the one before."""
    found = holm(np.array([0.04, 0.01, 0.03, 0.5]))
    assert found == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([0.02])) == pytest.approx([0.02])
    assert len(holm(np.array([]))) == 0


@settings(deadline=None, max_examples=15)  # statsmodels takes its time
@given(st.lists(st.one_of(st.floats(0, 0.2), st.sampled_from([0.01, 0.02, 1.0])), min_size=2, max_size=12))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    """Adjusted p-values are those of statsmodels, in their own places, ties and all."""
    expected = multipletests(p_values, method="holm")[1]
    assert holm(np.array(p_values)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gain", "low", "high", "p_value", "word"),
    [
        (0.05, 0.02, 0.08, 0.001, "better"),
        (-0.05, -0.08, -0.02, 0.001, "worse"),
        (0.05, 0.02, 0.08, 0.05, "not separable"),  # at alpha is not below it
        (0.02, -0.03, 0.07, 0.4, "not separable"),
        (0.0, -0.009, 0.009, 1.0, "equivalent"),
        (0.005, 0.001, 0.009, 0.001, "equivalent"),  # real, and too small to matter
        (0.005, 0.0, 0.01, 0.06, "equivalent"),  # the margin itself is within it
        (0.005, -0.001, 0.0101, 0.3, "not separable"),
        (-0.005, -0.0101, 0.001, 0.3, "not separable"),
        (0.02, 0.008, 0.032, 0.001, "better"),
    ],
)
def test_an_interval_has_one_word(gain: float, low: float, high: float, p_value: float, word: str) -> None:
    """Within the margin is equivalent, significant or not; beyond it a small p-value decides, with the gain's sign."""
    assert decide(gain, low, high, p_value, alpha=0.05, equivalence=0.01) == word


def test_for_losses_the_sign_of_the_gain_decides_and_not_the_intervals() -> None:
    """A log loss that is lower by 0.05 is a gain."""
    assert decide(0.05, -0.08, -0.02, 0.001, alpha=0.05, equivalence=0.01) == "better"


def test_without_a_margin_nothing_is_equivalent() -> None:
    """An equivalence of 0 switches it off, even for models that agree on everything."""
    assert decide(0.0, 0.0, 0.0, 1.0, alpha=0.05, equivalence=0.0) == "not separable"


RIGHT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(RIGHT, st.floats(0.001, 0.5))
def test_mcnemar_is_the_binomial_test_of_the_rows_that_only_one_gets_right(
    rows: list[tuple[bool, bool]], alpha: float
) -> None:
    """Rows that both get right, or neither, say nothing; of the others half should be either's: statsmodels' p."""
    first, second = np.array(rows, dtype=bool).T
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    expected = exact_mcnemar([[7, only_first], [only_second, 7]], exact=True).pvalue
    assert mcnemar(first, second, alpha)[0] == pytest.approx(expected)


@given(RIGHT, st.floats(0.001, 0.5))
def test_mcnemars_interval_is_clopper_and_pearsons(rows: list[tuple[bool, bool]], alpha: float) -> None:
    """Ends are quantiles of beta distributions, as differences of accuracies; they leave 0 out just when p < alpha."""
    first, second = np.array(rows, dtype=bool).T
    p_value, low, high = mcnemar(first, second, alpha)
    wins, losses = int((first > second).sum()), int((second > first).sum())
    least = stats.beta.ppf(alpha / 2, wins, losses + 1) if wins else 0.0
    most = stats.beta.isf(alpha / 2, wins + 1, losses) if losses else 1.0
    ends = [(share - (1 - share)) * (wins + losses) / len(rows) for share in (least, most)]
    assert (low, high) == pytest.approx(ends, abs=1e-9)
    assert low - 1e-12 <= first.mean() - second.mean() <= high + 1e-12
    assume(abs(p_value - alpha) > 1e-9)
    assert (p_value < alpha) == (low > 0 or high < 0)


def test_mcnemar_by_hand() -> None:
    """Six rows to none, of ten: p is 2 / 2^6, and the loser's share of such rows is at most 1 − 0.025^(1/6)."""
    first, second = np.arange(10) < 8, np.arange(10) < 2
    p_value, low, high = mcnemar(first, second, 0.05)
    assert p_value == pytest.approx(2 / 64)
    assert (low, high) == pytest.approx((0.6 * (2 * 0.025 ** (1 / 6) - 1), 0.6))
    assert mcnemar(second, first, 0.05) == pytest.approx((p_value, -high, -low))
    assert mcnemar(first, first, 0.05) == (1, 0, 0)


@pytest.mark.parametrize(("difference", "alpha"), [(0.06, 0.05), (-0.06, 0.05), (0.09, 0.005)])
@pytest.mark.parametrize("row_effect", [0.0, 2.0])  # with 2, the rule of three asks for more rows than Student's t
def test_needed_rows_and_seeds_have_eighty_percent_power(difference: float, alpha: float, row_effect: float) -> None:
    """With as many rows, or seeds, the interval leaves 0 out in 80 % of samples; with one less it doesn't."""
    n_rows, runs = 100, 5
    spread = one_spread(0.00025, 0.0003, 0.0001, n_rows, row_effect=row_effect)
    n, r = needed(difference, spread, runs, alpha)
    enough = partial(separates, difference, spread, runs, alpha)
    assert not enough(n_rows=n_rows, seeds=runs)
    assert n is not None
    assert enough(n_rows=n, seeds=runs)
    assert not enough(n_rows=n - 1, seeds=runs)
    if row_effect:  # seeds don't lessen the rule of three
        assert r is None
        return
    assert r is not None
    assert enough(n_rows=n_rows, seeds=r)
    assert not enough(n_rows=n_rows, seeds=r - 1)


def test_seeds_that_are_needed_know_their_spread_better() -> None:
    """From two runs on, each further run counts twice: as one more, and as a degree of freedom of either model."""
    for difference in (0.2, 0.3, 0.4, 0.5):
        spread = one_spread(0.0, 0.01, 0.0, 50, seed_freedom=2.0)
        enough = partial(separates, difference, spread, 2, 0.05)
        assert not enough(n_rows=50, seeds=2)
        expected = next(seeds for seeds in range(3, 50) if enough(n_rows=50, seeds=seeds))
        assert expected < 12
        assert needed(difference, spread, 2, 0.05)[1] == expected


def test_runs_that_are_nearer_than_chance_has_it_are_alike() -> None:
    """Where runs × rows explain more than the variance by seeds has, nothing of it is left for seeds alone."""
    spread = one_spread(0.0004, 0.0001, 0.0003, 100)
    n, _ = needed(0.06, spread, 5, 0.05)
    assert n is not None
    enough = [separates(0.06, spread, 5, 0.05, n_rows=rows, seeds=5) for rows in (n - 1, n)]
    assert enough == [False, True]


def test_needed_rows_are_enough_in_simulation() -> None:
    """Rows drawn anew, as many as were said to be needed: about four in five samples separate the models."""
    difference, n_rows, alpha = 0.2, 50, 0.05
    variance = 1.0 / n_rows
    n, _ = needed(difference, one_spread(variance, 0.0, 0.0, n_rows), 2, alpha)
    assert n is not None
    random = np.random.default_rng(0)
    samples = random.normal(difference, 1.0, (4000, n))
    found = stats.ttest_1samp(samples, 0.0, axis=1).pvalue < alpha
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_needed_seeds_are_enough_in_simulation() -> None:
    """Seeds drawn anew, as many of each model as were said to be needed: Welch's test tells four in five apart."""
    difference, runs, alpha = 0.25, 4, 0.05
    _, r = needed(difference, one_spread(0.0, 2 * 0.8**2 / runs, 0.0, 50, seed_freedom=6.0), runs, alpha)
    assert r is not None
    random = np.random.default_rng(1)
    first, second = random.normal(difference, 0.8, (4000, r)), random.normal(0.0, 0.8, (4000, r))
    found = stats.ttest_ind(first, second, axis=1, equal_var=False).pvalue < alpha
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_no_number_of_rows_outweighs_the_luck_of_seeds() -> None:
    """Where the other part alone is too large there is no number."""
    assert needed(0.01, one_spread(0.0001, 0.01, 0.0, 100), 5, 0.05)[0] is None
    assert needed(0.01, one_spread(0.01, 0.0001, 0.0, 100), 5, 0.05)[1] is None


def test_a_number_that_is_never_reached_is_none() -> None:
    """What needs a little less than the most is told, and what needs a little more isn't."""
    tiny = 1e-6
    allowed = (tiny / float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))) ** 2 * MOST / 100
    below, above = (needed(tiny, one_spread(allowed * share, 0.0, 0.0, 100), 5, 0.05)[0] for share in (0.999, 1.001))
    assert below == pytest.approx(0.999 * MOST, rel=1e-4)
    assert above is None
    assert needed(tiny, one_spread(1.0, 0.0, 0.0, 100), 5, 0.05) == (None, None)


def test_what_is_needed_is_more_than_what_there_is() -> None:
    """Where what there is should be enough already, one more is asked for."""
    assert needed(1.0, one_spread(0.0001, 0.0001, 0.0, 100), 5, 0.05) == (101, 6)


def test_more_certainty_needs_more() -> None:
    """A smaller alpha for each pair, as with many pairs, asks for more rows."""
    spread = one_spread(0.0004, 0.0, 0.0, 100)
    one_pair, ten_pairs = needed(0.02, spread, 5, 0.05)[0], needed(0.02, spread, 5, 0.005)[0]
    assert one_pair is not None
    assert ten_pairs is not None
    expected = ((stats.norm.ppf(0.9975) + stats.norm.ppf(0.8)) / (stats.norm.ppf(0.975) + stats.norm.ppf(0.8))) ** 2
    assert ten_pairs / one_pair == pytest.approx(expected, rel=0.01)


def test_needed_takes_the_parts_of_a_measured_spread() -> None:
    """What the intervals measure has the parts that are needed, in the right places."""
    models = [mean_of(table(4, 40, seed=0.2, row=1.0, both=1.0, random_state=place)) for place in (1, 2)]
    _, spread = scores(models).differences(np.array([0]), np.array([1]))
    one = spread.at(0)
    assert float(one.seeds) > float(one.interaction) > 0
    for n, r in (needed(0.9, one, 4, 0.05), needed(-1.2, one, 4, 0.05)):
        assert n is not None
        assert r is not None
    for difference in (0.9, -1.2):
        n, r = needed(difference, one, 4, 0.05)
        assert (n, r) == (
            next(n for n in range(41, 5000) if separates(difference, one, 4, 0.05, n_rows=n, seeds=4)),
            next(r for r in range(5, 5000) if separates(difference, one, 4, 0.05, n_rows=40, seeds=r)),
        )


@pytest.mark.parametrize(
    ("count", "text"), [(7, 7), (99, 99), (100, 100), (101, 110), (1234, 1300), (98_700, 99_000), (99_001, 100_000)]
)
def test_estimates_are_rounded_up_to_two_digits(count: int, text: int) -> None:
    """Never fewer than needed, and no digits that an estimate doesn't have."""
    assert rounded(count) == text
