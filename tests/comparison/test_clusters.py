from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from pipeline.artifacts import Floats, Integers
from pipeline.comparison.clusters import by_group, group_freedom
from pipeline.comparison.contributions import CLASSIFICATION, Contributions, contributions
from pipeline.comparison.intervals import Spread, scores
from tests.comparison.making import random_predictions

FIRST, SECOND = np.array([0]), np.array([1])


def mean_of(rows: Floats, row_effect: float = 0.0) -> Contributions:
    return Contributions(rows.mean(axis=1), rows, row_effect)


def the_spread(first: Contributions, second: Contributions, groups: Integers | None) -> Spread:
    _, spread = scores([first, second], groups).differences(FIRST, SECOND)
    return spread.at(0)


def some(runs: int, n_groups: int = 12, rows: int = 90, random_state: int = 0) -> tuple[Floats, Integers]:
    """Contributions (runs, rows) with effects of seeds, rows and groups, and groups of unequal sizes in no order."""
    random = np.random.default_rng(random_state)
    groups = np.concatenate([np.arange(n_groups), random.geometric(0.15, rows - n_groups) % n_groups])
    random.shuffle(groups)
    effects = random.normal(size=n_groups)[groups] + random.normal(size=rows) + random.normal(size=(runs, 1))
    return effects + random.normal(size=(runs, rows)), groups


def test_the_variance_is_the_cluster_robust_one() -> None:
    """Of two single runs it is statsmodels' cluster-robust variance of the mean difference (with G / (G − 1))."""
    rows, groups = some(2)
    rows[1] += np.random.default_rng(1).normal(size=12)[groups]
    apart = rows[0] - rows[1]
    fitted = sm.OLS(apart, np.ones(len(apart))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    spread = the_spread(mean_of(rows[:1]), mean_of(rows[1:]), groups)
    n_groups = len(np.unique(groups))
    assert float(spread.rows) == pytest.approx(float(fitted.bse[0] ** 2) * n_groups / (n_groups - 1))
    assert spread.n_cases == n_groups


def test_a_group_contributes_what_its_rows_are_off_their_runs_mean() -> None:
    """Each run's mean, and the sum of what the group's rows are off it times groups over rows."""
    rows, groups = some(3)
    expected = [
        [run.mean() + 12 / 90 * (run[groups == group] - run.mean()).sum() for group in range(12)] for run in rows
    ]
    assert_allclose(by_group(mean_of(rows), groups).rows, expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(0, 1000))
def test_scores_stay_what_they_are(runs: int, random_state: int) -> None:
    """Groups change no run's mean, so that seeds vary as they did, and no difference."""
    rows, groups = some(runs, random_state=random_state)
    found = by_group(mean_of(rows), groups)
    assert_allclose(found.rows.mean(axis=1), rows.mean(axis=1))
    alone, together = (scores([mean_of(rows)], given) for given in (None, groups))
    assert_allclose(together.seeds, alone.seeds, equal_nan=True)
    assert together.values == alone.values
    assert (together.n_rows, together.n_cases) == (90, 12)


def test_a_group_of_one_row_each_is_no_group() -> None:
    """Where every row is a group of its own, in whatever order, spread and interval are those of rows."""
    rows, _ = some(3)
    other, _ = some(3, random_state=1)
    groups = np.random.default_rng(0).permutation(90) - 40
    for effect in (0.0, 3.0):
        models = mean_of(rows, effect), mean_of(other, effect)
        plain, grouped = the_spread(*models, None), the_spread(*models, groups)
        for name in ("rows", "seeds", "interaction", "seed_freedom", "row_freedom", "row_effect", "n_cases"):
            assert_allclose(getattr(grouped, name), getattr(plain, name))


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_rows_recorded_several_times_are_worth_one(metric: str) -> None:
    """Every row copied four times is no more evidence: variances and interval are those of the rows themselves."""
    predictions = random_predictions(2, rows=60)
    copied = type(predictions)(
        np.repeat(predictions.truth, 4), np.repeat(predictions.predicted, 4, axis=1), predictions.thresholds
    )
    alone = scores([contributions(metric, predictions)]).alone()
    found = scores([contributions(metric, copied)], np.repeat(np.arange(60), 4)).alone()
    tolerance = 0.0 if metric in ("accuracy", "log_loss") else 0.06  # pseudo-values know the number of rows
    assert_allclose(np.sqrt(found.rows), np.sqrt(alone.rows), rtol=tolerance + 1e-9)
    assert found.n_cases == alone.n_cases
    assert_allclose(found.row_freedom, alone.row_freedom, rtol=tolerance + 1e-9)
    assert_allclose(found.row_effect, alone.row_effect, rtol=tolerance + 1e-9)
    assert_allclose(found.half_width(0.05), alone.half_width(0.05), rtol=tolerance + 1e-9)


def test_the_auc_varies_as_obuchowski_says() -> None:
    """A single run's ROC AUC with groups that hold both classes has Obuchowski's (1997) variance, up to order 1 / n."""
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), 6)
    predictions = random_predictions(2, runs=1, rows=360, random_state=3)
    truth, score = predictions.truth == 1, predictions.predicted[0, :, 1]
    score += 0.5 * random.normal(size=60)[groups]
    above = (score[truth][:, None] > score[~truth]).astype(float)
    of_positive, of_negative, area = above.mean(axis=1), above.mean(axis=0), above.mean()
    sums = np.zeros((2, 60))
    np.add.at(sums[0], groups[truth], of_positive - area)
    np.add.at(sums[1], groups[~truth], of_negative - area)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    s10, s01, s11 = (sums[0] ** 2).sum(), (sums[1] ** 2).sum(), (sums[0] * sums[1]).sum()
    expected = 60 / 59 * (s10 / positives**2 + s01 / negatives**2 + 2 * s11 / (positives * negatives))
    made = type(predictions)(predictions.truth, np.stack([1 - score, score], axis=1)[None], predictions.thresholds)
    found = scores([contributions("roc_auc", made)], groups).alone()
    assert found.rows[0] == pytest.approx(expected, rel=0.02)


def test_few_large_groups_have_few_degrees_of_freedom() -> None:
    """Equal groups have their number less 1, a large one among small ones makes it less, one that is all hardly any."""
    assert group_freedom(np.repeat([7, -2, 9, 4], 5)) == pytest.approx(3)
    sizes = np.array([40, *[4] * 15])
    assert group_freedom(np.repeat(np.arange(16), sizes)) == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum() - 1)
    assert group_freedom(np.repeat([0, 1], [1000, 1])) == 0.5
    groups = np.repeat(np.arange(16), sizes)
    light = ((-1.0) ** groups / sizes[groups])[None]  # sums that are all of one size have no tails
    for effect in (0.0, 1e-9):
        spread = scores([mean_of(light, effect)], groups).alone()
        assert spread.row_freedom[0] == pytest.approx(group_freedom(groups))


def test_what_a_group_can_change_follows_how_errors_cluster() -> None:
    """Errors spread evenly count as rows, errors that come by the group as groups; without any, groups it is.

    Groups that share errors more evenly than chance has it count as rows; what had no effect by rows has none.
    """
    groups = np.repeat(np.arange(50), 4)
    right = np.ones((1, 200))
    scattered, clustered, shared = right.copy(), right.copy(), right.copy()
    scattered[0, ::8] = 0
    shared[0, ::4] = 0
    clustered[0, np.isin(groups, np.arange(6))] = 0
    effects = [by_group(mean_of(table, 1.0), groups).row_effect / 50 for table in (right, scattered, clustered, shared)]
    assert effects[0] == pytest.approx(1 / 50)
    assert 1 / 200 <= effects[1] < 1.6 / 200
    assert effects[2] == pytest.approx(1 / 50, rel=0.15)
    assert effects[3] == pytest.approx(1 / 200)
    assert by_group(mean_of(right), groups).row_effect == 0


def test_models_that_agree_on_all_rows_may_differ_on_three_groups() -> None:
    """Of two perfect models the interval is the rule of three for groups."""
    groups = np.repeat(np.arange(25), 8)
    same = mean_of(np.ones((3, 200)), 1.0)
    assert the_spread(same, same, groups).half_width(0.05) == pytest.approx(-math.log(0.05) / 25)


def false_alarms(groups: Integers, comparisons: int = 600) -> tuple[int, int]:
    """Alarms between models of equal skill whose right rows depend on the group: of groups as cases, and of rows."""
    random = np.random.default_rng(8)
    by_groups, by_rows, n_groups = 0, 0, int(groups.max()) + 1
    for _ in range(comparisons):
        shared = random.normal(size=n_groups)[groups] + random.normal(size=len(groups))
        models = []
        for _ in range(2):
            margin = shared + 1.5 * random.normal(size=n_groups)[groups] + 0.2 * random.normal(size=(4, 1))
            models.append(mean_of((margin + random.normal(size=(4, len(groups))) > -1).astype(float), 1.0))
        alarms = []
        for cases in (groups, None):
            difference, spread = scores(models, cases).differences(FIRST, SECOND)
            alarms.append(bool(abs(difference[0]) > spread.half_width(0.05)[0]))
        by_groups, by_rows = by_groups + alarms[0], by_rows + alarms[1]
    return by_groups, by_rows


@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_equal_models_are_rarely_called_different_though_groups_differ(sizes: str) -> None:
    """With strong effects of groups about 5 % are false alarms; with rows as cases it would be far more."""
    random = np.random.default_rng(6)
    weights = np.exp(random.normal(size=50)) if sizes == "unequal" else np.ones(50)
    groups = np.sort(np.concatenate([np.arange(50), random.choice(50, 350, p=weights / weights.sum())]))
    if sizes == "equal":
        groups = np.repeat(np.arange(50), 8)
    by_groups, by_rows = false_alarms(groups)
    least, most = stats.binom.ppf([0.0005, 0.999], 600, 0.05)
    assert least <= by_groups <= most
    assert by_rows > 0.2 * 600
