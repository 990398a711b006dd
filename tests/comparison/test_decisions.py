from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.comparison.decisions import MOST, decide, holm, mcnemar, needed, rounded
from pipeline.comparison.intervals import Spread, scores
from tests.comparison.test_intervals import mean_of, table


def one_spread(rows: float, seeds: float, interaction: float, n_rows: int) -> Spread:
    return Spread(np.array(rows), np.array(seeds), np.array(interaction), np.array(8.0), np.array(0.0), n_rows)


def test_holm_by_hand() -> None:
    """The smallest p-value counts as often as there are pairs, the next once less, and none below the one before."""
    found = holm(np.array([0.04, 0.01, 0.03, 0.5]))
    assert found == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([0.02])) == pytest.approx([0.02])
    assert len(holm(np.array([]))) == 0


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


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_binomial_test_of_the_rows_that_only_one_gets_right(rows: list[tuple[bool, bool]]) -> None:
    """Rows that both get right, or neither, say nothing; of the others half should be either's."""
    first, second = np.array(rows, dtype=bool).T
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    either = only_first + only_second
    expected = stats.binomtest(only_first, either, 0.5).pvalue if either else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_needed_rows_and_seeds_have_eighty_percent_power() -> None:
    """With the rows, or the seeds, that are named, a normal test has 80 % power; with one less it has less."""
    rows, seeds_and_both, both, n_rows, runs = 0.00025, 0.0003, 0.0001, 100, 5
    difference, alpha = 0.05, 0.05
    n, r = needed(difference, one_spread(rows, seeds_and_both, both, n_rows), runs, alpha)
    assert n is not None
    assert r is not None

    def power(n_rows_then: float, runs_then: float) -> float:
        of_rows = rows * n_rows / n_rows_then
        of_seeds = (seeds_and_both - both) * runs / runs_then
        of_both = both * n_rows / n_rows_then * runs / runs_then
        error = math.sqrt(of_rows + of_seeds + of_both)
        return float(stats.norm.sf(stats.norm.ppf(1 - alpha / 2) - difference / error))

    assert power(n_rows, runs) < 0.8
    assert power(n, runs) >= 0.8 > power(n - 1, runs)
    assert power(n_rows, r) >= 0.8 > power(n_rows, r - 1)


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


def test_no_number_of_rows_outweighs_the_luck_of_seeds() -> None:
    """Where the other part alone is too large there is no number, and one that is never reached is none."""
    assert needed(0.01, one_spread(0.0001, 0.01, 0.0, 100), 5, 0.05)[0] is None
    assert needed(0.01, one_spread(0.01, 0.0001, 0.0, 100), 5, 0.05)[1] is None
    tiny = 1e-6
    assert needed(tiny, one_spread(1.0, 0.0, 0.0, 100), 5, 0.05)[0] is None
    allowed = (tiny / float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))) ** 2
    assert needed(tiny, one_spread(allowed * MOST / 100 * 0.999, 0.0, 0.0, 100), 5, 0.05)[0] == pytest.approx(
        MOST, rel=0.01
    )


def test_what_is_needed_is_more_than_what_there_is() -> None:
    """Where the normal approximation would say that it is enough already, one more is asked for."""
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
    assert float(spread.at(0).seeds) > float(spread.at(0).interaction)
    n, _ = needed(0.9, spread.at(0), 4, 0.05)
    one = spread.at(0)
    seeds_alone = float(one.seeds - one.interaction)
    allowed = (0.9 / float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))) ** 2
    assert n == max(41, math.ceil(40 * float(one.rows + one.interaction) / (allowed - seeds_alone)))


@pytest.mark.parametrize(
    ("count", "text"), [(7, 7), (99, 99), (100, 100), (101, 110), (1234, 1300), (98_700, 99_000), (99_001, 100_000)]
)
def test_estimates_are_rounded_up_to_two_digits(count: int, text: int) -> None:
    """Never fewer than needed, and no digits that an estimate doesn't have."""
    assert rounded(count) == text
