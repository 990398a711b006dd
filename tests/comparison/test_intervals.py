from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from benchmarks.verdict_calibration import METRICS, OURS, WORLDS, run_cell
from pipeline.artifacts import Floats
from pipeline.comparison.contributions import Contributions
from pipeline.comparison.intervals import Scores, Spread, over_draws, scores
from tests.comparison.making import row_freedom

FIRST, SECOND = np.array([0]), np.array([1])


def mean_of(rows: npt.ArrayLike, row_effect: float = 0.0) -> Contributions:
    """A metric that is a mean over rows: contributions (runs, rows)."""
    table = np.array(rows, dtype=np.float64)
    return Contributions(table.mean(axis=1), table, row_effect)


def table(runs: int, n: int, *, seed: float, row: float, both: float, random_state: int = 0) -> Floats:
    """Effects of seeds, of rows and of both together, (runs, rows), with these standard deviations."""
    random = np.random.default_rng(random_state)
    effects = seed * random.normal(size=(runs, 1)) + row * random.normal(size=n)
    return np.asarray(effects + both * random.normal(size=(runs, n)))


def the_difference(*models: Contributions) -> tuple[float, Spread]:
    """First model minus second."""
    difference, spread = scores(models).differences(FIRST, SECOND)
    return float(difference[0]), spread.at(0)


def one_spread(
    *,
    rows: float = 0.0,
    seeds: float = 0.0,
    seed_freedom: float = np.inf,
    row_freedom: float,
    row_effect: float = 0.0,
    n_rows: int,
) -> Spread:
    """Spread of a single difference."""
    parts = (rows, seeds, 0.0, seed_freedom, row_freedom, row_effect)
    return Spread(*(np.array(part) for part in parts), n_rows)


def two_way(rows: Floats) -> Any:
    """Mean squares of a two-way analysis of variance by statsmodels."""
    long = pd.DataFrame(
        [(value, run, row) for run, line in enumerate(rows) for row, value in enumerate(line)],
        columns=["value", "run", "row"],
    )
    return anova_lm(ols("value ~ C(run) + C(row)", long).fit())["mean_sq"]


def test_components_are_those_of_the_two_way_analysis_of_variance() -> None:
    """Variances by seeds, by rows and by both together are statsmodels' mean squares over the number of scores."""
    rows = table(4, 9, seed=1.0, row=2.0, both=0.5)
    squares = two_way(rows)
    spread = scores([mean_of(rows)]).alone().at(0)
    assert spread.interaction == pytest.approx(squares["Residual"] / rows.size)
    assert spread.seeds == pytest.approx(squares["C(run)"] / rows.size)
    assert spread.rows == pytest.approx((squares["C(row)"] - squares["Residual"]) / rows.size)
    assert spread.seed_freedom == pytest.approx(3)
    assert spread.n_cases == 9


def test_a_table_that_can_be_reckoned_by_hand() -> None:
    """Two runs, three rows: 1 2 6 and 3 2 4 have mean squares 0 for runs, 6 for rows and 2 for what is left."""
    spread = scores([mean_of([[1, 2, 6], [3, 2, 4]])]).alone().at(0)
    assert spread.seeds == 0
    assert spread.interaction == pytest.approx(2.0 / 6)
    assert spread.rows == pytest.approx((6.0 - 2.0) / 6)


def test_a_difference_is_the_loop_over_rows_and_seeds() -> None:
    """Difference and spread of two models with different numbers of runs, written out as sums."""
    first = table(3, 8, seed=0.5, row=1.0, both=0.7, random_state=1)
    second = table(5, 8, seed=0.3, row=1.0, both=0.7, random_state=2)
    difference, spread = the_difference(mean_of(first), mean_of(second))

    n, seeds, interaction, welch = 8, 0.0, 0.0, 0.0
    for rows in (first, second):
        runs = len(rows)
        run_means = [sum(row) / n for row in rows]
        mean = sum(run_means) / runs
        part = sum((one - mean) ** 2 for one in run_means) / (runs - 1) / runs
        seeds, welch = seeds + part, welch + part**2 / (runs - 1)
        left = 0.0
        for run in range(runs):
            for row in range(n):
                row_mean = sum(rows[other][row] for other in range(runs)) / runs
                left += (rows[run][row] - run_means[run] - row_mean + mean) ** 2
        interaction += left / ((runs - 1) * (n - 1)) / (runs * n)
    apart = [
        sum(first[run][row] for run in range(3)) / 3 - sum(second[run][row] for run in range(5)) / 5 for row in range(n)
    ]
    centre = sum(apart) / n
    of_rows = sum((one - centre) ** 2 for one in apart) / (n - 1) / n
    assert difference == pytest.approx(centre)
    assert spread.seeds == pytest.approx(seeds)
    assert spread.interaction == pytest.approx(interaction)
    assert spread.rows == pytest.approx(max(of_rows - interaction, 0))
    assert spread.seed_freedom == pytest.approx(seeds**2 / welch)

    by_rows = stats.t.ppf(0.95, row_freedom(apart)) * math.sqrt(max(of_rows - interaction, 0))
    by_seeds = stats.t.ppf(0.95, seeds**2 / welch) * math.sqrt(seeds)
    assert spread.half_width(0.1) == pytest.approx(math.hypot(by_rows, by_seeds))


@pytest.mark.parametrize("runs", [(4, 7), (2, 3), (2, 2)])
def test_without_noise_of_rows_it_is_welchs_test(runs: tuple[int, int]) -> None:
    """Where all rows say the same, p-value and interval are scipy's Welch test of the runs' scores."""
    random = np.random.default_rng(5)
    first, second = random.normal(0.5, 0.3, (runs[0], 1)), random.normal(0.0, 0.1, (runs[1], 1))
    difference, spread = the_difference(mean_of(first.repeat(30, axis=1)), mean_of(second.repeat(30, axis=1)))
    test = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert spread.p_value(np.array(difference)) == pytest.approx(test.pvalue)
    interval = test.confidence_interval(0.9)
    assert difference - spread.half_width(0.1) == pytest.approx(interval.low)
    assert difference + spread.half_width(0.1) == pytest.approx(interval.high)


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("runs", [1, 6])
def test_without_noise_of_seeds_it_is_the_paired_t_test_over_rows(runs: int, heavy: bool) -> None:
    """Where all runs say the same, or there is but one, p-value and interval are scipy's paired test over rows.

    Of a metric with bounds, whatever its rows look like.
    """
    random = np.random.default_rng(6)
    shared = random.normal(size=40)
    first, second = shared + 0.4 * random.normal(size=40) + 0.2, shared + 0.4 * random.normal(size=40)
    first[3] += 4.0 * heavy
    bounded = 1e-9  # the rule of three is there, and never felt
    difference, spread = the_difference(
        mean_of(np.tile(first, (runs, 1)), bounded), mean_of(np.tile(second, (runs, 1)), bounded)
    )
    test = stats.ttest_rel(first, second)
    assert spread.p_value(np.array(difference)) == pytest.approx(test.pvalue)
    interval = test.confidence_interval(0.95)
    assert difference - spread.half_width(0.05) == pytest.approx(interval.low)
    assert difference + spread.half_width(0.05) == pytest.approx(interval.high)


def test_half_widths_of_rows_and_seeds_add_as_squares() -> None:
    """The interval is the hypotenuse of the one for rows alone and the one for seeds alone."""
    spread = one_spread(rows=0.03, seeds=0.02, seed_freedom=3.7, row_freedom=17.0, n_rows=25)
    by_rows, by_seeds = stats.t.ppf(0.975, 17) * math.sqrt(0.03), stats.t.ppf(0.975, 3.7) * math.sqrt(0.02)
    assert spread.half_width(0.05) == pytest.approx(math.sqrt(by_rows**2 + by_seeds**2))


def test_a_metric_without_bounds_may_hang_on_few_rows() -> None:
    """One row far off lessens the degrees of freedom, of a difference and of a score, and widens the interval."""
    rows = np.random.default_rng(3).normal(size=(1, 60))
    far = rows.copy()
    far[0, 0] += 15
    for values in (rows, far):
        _, spread = the_difference(mean_of(values), mean_of(np.zeros((1, 60))))
        expected = row_freedom(values[0])
        assert spread.row_freedom == pytest.approx(expected)
        assert scores([mean_of(values)]).alone().row_freedom[0] == pytest.approx(expected)
        half = stats.t.isf(0.005, expected) * values.std(ddof=1) / math.sqrt(60)
        assert float(spread.half_width(0.01)) == pytest.approx(half)
    assert row_freedom(far[0]) < 4 < 30 < row_freedom(rows[0]) < 59
    _, bounded = the_difference(mean_of(far, 1e-9), mean_of(np.zeros((1, 60)), 1e-9))
    assert bounded.row_freedom == 59


@pytest.mark.parametrize("values", [[0.0, 1.0] * 10, [1.0, 5.0, 30.0], [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], [0.0] * 20])
def test_light_tails_few_rows_and_equal_rows_keep_their_degrees_of_freedom(values: list[float]) -> None:
    """Nothing is won by light tails, told by three rows, or made of what differs by rounding alone; none warns."""
    _, spread = the_difference(mean_of([values]), mean_of(np.zeros((1, len(values)))))
    assert spread.row_freedom == len(values) - 1


@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_degrees_of_freedom_are_those_of_the_variance(kind: str) -> None:
    """Among samples the variance over rows varies by 2 · variance² / degrees of freedom, for heavy tails too."""
    random, n = np.random.default_rng(4), 400
    samples = getattr(random, kind)(size=(4000, n))
    variances = samples.var(axis=1, ddof=1)
    found = [scores([mean_of(sample[None])]).alone().row_freedom[0] for sample in samples[:100]]
    assert np.mean(found) == pytest.approx(2 * variances.mean() ** 2 / variances.var(), rel=0.12)


def test_a_model_against_its_copy() -> None:
    """No difference is found, p is 1, and the interval still allows for 3 rows in n."""
    rows = np.random.default_rng(0).random((3, 50)) < 0.8
    same = mean_of(np.tile(rows[0], (3, 1)), row_effect=1.0)
    difference, spread = the_difference(same, same)
    assert difference == 0
    assert spread.p_value(np.array(difference)) == 1
    assert spread.half_width(0.05) == pytest.approx(-math.log(0.05) / 50)
    assert spread.half_width(0.05) == pytest.approx(3 / 50, rel=0.002)


def test_the_rule_of_three_is_the_chance_of_seeing_nothing() -> None:
    """If one row in 1 / p differs, the chance to see none in n is (1 − p)^n; at the floor's p it is about alpha."""
    n = 500
    spread = one_spread(row_effect=1.0, row_freedom=n - 1.0, n_rows=n)
    for alpha in (0.1, 0.05, 0.01):
        assert (1 - float(spread.half_width(alpha))) ** n == pytest.approx(alpha, rel=0.03)


def test_many_rows_leave_the_rule_of_three_behind() -> None:
    """The floor doesn't add to an interval that is wider anyway."""
    rows = table(3, 200, seed=0.1, row=1.0, both=1.0)
    other = table(3, 200, seed=0.1, row=1.0, both=1.0, random_state=1)
    _, bare = the_difference(mean_of(rows), mean_of(other))
    _, floored = the_difference(mean_of(rows, 1.0), mean_of(other, 1.0))
    assert floored.half_width(0.05) == bare.half_width(0.05)


TABLES = st.builds(
    table,
    st.integers(2, 6),
    st.just(12),
    seed=st.floats(0, 1),
    row=st.floats(0, 1),
    both=st.floats(0.01, 1),
    random_state=st.integers(0, 2**16),
)
EFFECTS = st.sampled_from([0.0, 1.0, 4.0])


@settings(deadline=None, max_examples=60)
@given(TABLES, TABLES, st.floats(-2, 2), EFFECTS, st.floats(0.001, 0.5))
def test_p_value_and_interval_agree(first: Floats, second: Floats, shift: float, effect: float, alpha: float) -> None:
    """The p-value is below alpha exactly when the interval leaves 0 out, whatever the two variances are."""
    difference, spread = the_difference(mean_of(first + shift, effect), mean_of(second, effect))
    p_value = float(spread.p_value(np.array(difference)))
    assert 0 <= p_value <= 1
    assert (p_value < alpha) == (abs(difference) > float(spread.half_width(alpha)))


@settings(deadline=None, max_examples=40)
@given(TABLES, TABLES, st.floats(-5, 5), EFFECTS)
def test_what_both_have_in_common_does_not_matter(
    first: Floats, second: Floats, constant: float, effect: float
) -> None:
    """A constant, or an effect of a row, that is added to both models changes neither difference nor interval."""
    common = constant + np.linspace(-1, 1, 12)
    before = the_difference(mean_of(first, effect), mean_of(second, effect))
    after = the_difference(mean_of(first + common, effect), mean_of(second + common, effect))
    assert after[0] == pytest.approx(before[0], abs=1e-9)
    assert float(after[1].half_width(0.05)) == pytest.approx(float(before[1].half_width(0.05)), abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(TABLES, TABLES, EFFECTS)
def test_exchanging_the_models_flips_the_sign(first: Floats, second: Floats, effect: float) -> None:
    """The other way round the difference is the opposite, as wide and as probable."""
    forth = (mean_of(first, effect), mean_of(second, 2.0))
    back = forth[::-1]
    (one, spread), (other, mirrored) = the_difference(*forth), the_difference(*back)
    assert one == -other
    assert float(spread.half_width(0.05)) == pytest.approx(float(mirrored.half_width(0.05)))
    assert float(spread.p_value(np.array(one))) == pytest.approx(float(mirrored.p_value(np.array(other))))


@settings(deadline=None, max_examples=40)
@given(TABLES, TABLES, EFFECTS)
def test_intervals_widen_with_confidence_and_p_falls_with_the_difference(
    first: Floats, second: Floats, effect: float
) -> None:
    """Smaller alphas are wider intervals, larger differences smaller p-values."""
    _, spread = the_difference(mean_of(first, effect), mean_of(second, effect))
    widths = [float(spread.half_width(alpha)) for alpha in (0.5, 0.2, 0.05, 0.01, 1e-4, 1e-8)]
    assert widths == sorted(widths)
    p_values = spread.p_value(np.array([0.0, 0.1, 0.3, 1.0, 3.0]))
    assert p_values[0] == 1
    assert all(after < max(before, 1e-15) for before, after in itertools.pairwise(p_values))


def test_many_pairs_at_once_are_the_pairs_one_by_one() -> None:
    """Differences of arrays of models are those of each pair, and what is asked alone is told alone."""
    far = 0.3 * (np.arange(20) == 7)  # a row that each pair hangs on, more or less
    models = [
        mean_of(table(runs, 20, seed=0.3, row=0.1, both=0.5, random_state=runs) + runs * far, effect)
        for runs, effect in ((2, 0.0), (3, 9.0), (1, 4.0), (6, 1.0))
    ]
    gathered: Scores = scores(models)
    first, second = np.array([0, 2, 1, 3]), np.array([1, 0, 0, 0])
    difference, spread = gathered.differences(first, second)
    p_values = spread.p_value(difference)
    assert len(set(spread.row_freedom)) > 2
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        alone, alone_spread = the_difference(models[one], models[other])
        assert difference[place] == pytest.approx(alone)
        assert_allclose(spread.half_width(0.05)[place], alone_spread.half_width(0.05))
        assert_allclose(spread.at(place).half_width(0.05), alone_spread.half_width(0.05))
        assert_allclose(spread.at(place).interaction, alone_spread.interaction)
        assert p_values[place] == pytest.approx(float(alone_spread.p_value(np.array(alone))))


def test_a_single_run_stands_on_rows_alone() -> None:
    """One run on either side: seeds add nothing, and the rows' variance isn't lessened either."""
    many, one = table(5, 30, seed=1.0, row=1.0, both=1.0), table(1, 30, seed=1.0, row=1.0, both=1.0, random_state=1)
    difference, spread = the_difference(mean_of(many), mean_of(one))
    apart = many.mean(axis=0) - one[0]
    t = apart.mean() / math.sqrt(apart.var(ddof=1) / 30)
    assert spread.seeds == 0
    assert spread.interaction == 0
    assert row_freedom(apart) < 29
    assert spread.p_value(np.array(difference)) == pytest.approx(2 * stats.t.sf(abs(t), row_freedom(apart)))


def test_variances_are_never_negative() -> None:
    """Rows that vary less than chance would have it count as not varying at all."""
    rows = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
    difference, spread = the_difference(mean_of(rows), mean_of(rows[::-1]))
    assert spread.rows == scores([mean_of(rows)]).alone().rows[0] == 0
    assert np.isfinite(spread.half_width(0.05))
    assert difference == 0


def test_independent_draws_are_one_sample_t() -> None:
    """Draws of fresh data: interval and p-value are scipy's one-sample t-test of the differences."""
    values = np.random.default_rng(0).normal(0.3, 0.5, (6, 2))
    spread = over_draws(values, 0.0, np.zeros(2), 100)
    test = stats.ttest_1samp(values, 0.0)
    assert_allclose(spread.p_value(values.mean(axis=0)), test.pvalue)
    assert_allclose(values.mean(axis=0) + spread.half_width(0.05), test.confidence_interval(0.95).high)


def test_draws_of_one_table_are_corrected_as_nadeau_and_bengio_say() -> None:
    """Splits overlap: t = mean / √((1 / J + test / train) · s²) with J − 1 degrees of freedom."""
    values = np.array([0.02, 0.05, 0.01, 0.04, 0.03])
    test_rows, train_rows = 20, 60
    mean = sum(values) / 5
    variance = sum((one - mean) ** 2 for one in values) / 4
    t = mean / math.sqrt((1 / 5 + test_rows / train_rows) * variance)
    spread = over_draws(values[:, None], test_rows / train_rows, np.zeros(1), test_rows)
    assert float(spread.p_value(np.array([mean]))[0]) == pytest.approx(2 * stats.t.sf(t, 4))


@pytest.mark.parametrize(
    ("draws", "test_share", "rows"),
    [
        (4, 0.0, 4 * 60),  # new data in every draw
        (9, 0.0, 9 * 60),
        (3, 0.25, 3 * 60),  # a table of 300 rows, of which three test parts show 180 at most
        (5, 0.25, 300),
        (9, 0.25, 300),
        (2, 3.0, 80),  # a table of 80 rows, of which 20 train
    ],
)
def test_draws_that_agree_keep_the_rule_of_three(draws: int, test_share: float, rows: int) -> None:
    """Models that are equal in every draw may still differ on 3 in so many rows as can have been seen."""
    spread = over_draws(np.zeros((draws, 1)), test_share, np.ones(1), 60)
    assert spread.n_cases == rows
    assert spread.half_width(0.05)[0] == pytest.approx(-math.log(0.05) / rows)


@pytest.mark.slow
@pytest.mark.parametrize("world", [WORLDS[0], WORLDS[1]], ids=lambda world: world.name)
def test_false_alarms_are_as_rare_as_promised_and_not_rarer_than_useful(world: Any) -> None:
    """Of 400 comparisons of equal models about 5 % raise an alarm, for each metric, and of unequal ones most.

    Intervals are symmetric; average precision near 1 is skewed, and a large difference is above them more often.
    """
    equal, unequal = (run_cell(world, 8, 200, edge, 400, stream=7) for edge in (0.0, 0.4))
    most, least = stats.binom.ppf([0.999, 0.0001], 400, 0.05)
    alarms = {cell["metric"]: cell["alarms"] for cell in equal if cell["test"] == OURS}
    assert set(alarms) == set(METRICS)
    assert all(least <= count <= most for count in alarms.values()), alarms
    found = {cell["metric"]: (cell["alarms"], cell["misses"]) for cell in unequal if cell["test"] == OURS}
    assert all(alarms > 300 for alarms, _ in found.values()), found
    most_of = dict.fromkeys(METRICS, most) | {"average_precision": stats.binom.ppf(0.999, 400, 0.1)}
    assert all(misses <= most_of[metric] for metric, (_, misses) in found.items()), found
