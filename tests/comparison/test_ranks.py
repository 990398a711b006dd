from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from pipeline.comparison.contributions import Contributions
from pipeline.comparison.intervals import scores
from pipeline.comparison.ranks import Ranking, critical_difference, rank
from pipeline.comparison.verdict import Measured, Subject

# Demšar (2006), table 6: ROC AUC of C4.5 with parameters m and cf left alone or tuned, on 14 datasets.
DEMSAR_MODELS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.9750],  # printed alike, ranked apart
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def scored(models: tuple[str, ...], values: np.ndarray, metric: str = "roc_auc") -> Measured:
    """A dataset on which the models have these scores."""
    parts = [Contributions(np.array([value]), np.full((1, 5), value), 0.0) for value in values]
    return Measured(Subject("d", "test", 2, metric), metric, models, (scores(parts),), (1,) * len(models))


def ranking(values: np.ndarray, models: tuple[str, ...] | None = None, metric: str = "roc_auc") -> Ranking:
    names = models or tuple("abcdefghij"[: values.shape[1]])
    found = rank([scored(names, row, metric) for row in values], 0.05)
    assert found is not None
    return found


def test_demsars_own_example() -> None:
    """Mean ranks, Friedman's statistic but for its correction for ties, and the critical difference are the paper's.

    The p-value by permutations is near the one of the F approximation: with 14 datasets there isn't much between them.
    """
    found = ranking(DEMSAR, DEMSAR_MODELS)
    assert found.models == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert_allclose(found.mean_ranks, [1.964, 2.000, 2.893, 3.143], atol=0.0005)
    assert found.test == "Friedman"

    squares = 12 * 14 / (4 * 5) * (np.square(found.mean_ranks).sum() - 4 * 5**2 / 4)
    assert squares == pytest.approx(9.28, abs=0.005)
    assert 13 * squares / (14 * 3 - squares) == pytest.approx(3.69, abs=0.005)
    ties = [np.unique(row, return_counts=True)[1] for row in DEMSAR]
    squares /= 1 - sum((count**3 - count).sum() for count in ties) / (14 * 4 * (4**2 - 1))
    assert found.p_value == pytest.approx(stats.f.sf(13 * squares / (14 * 3 - squares), 3, 39), rel=0.2)
    assert found.p_value < 0.05
    assert ranking(DEMSAR, DEMSAR_MODELS) == found
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.groups == (found.models,)
    assert found.datasets == 14
    assert found.sentence.startswith(
        "Mean ranks over 14 datasets: C4.5+m+cf 1.96, C4.5+m 2.00, C4.5+cf 2.89, C4.5 3.14"
    )
    assert f"the ranks differ (Friedman p = {found.p_value:.2g})" in found.sentence


@pytest.mark.parametrize(
    ("models", "quantile"),
    list(zip(range(2, 11), [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], strict=True)),
)
def test_critical_differences_are_from_demsars_table(models: int, quantile: float) -> None:
    """Nemenyi's difference has the quantiles of table 5 of the paper, to their printed digits."""
    unit = np.sqrt(models * (models + 1) / (6 * 14))
    assert critical_difference(models, 14, 0.05) / unit == pytest.approx(quantile, abs=0.001)


@pytest.mark.parametrize(
    "apart",
    [
        [0.1, 0.2, -0.05, 0.4, 0.03, 0.08],
        [0.25, 0.25, -0.25, 0.5, 0.5, 0.5],  # equally large ones, whose signs don't tell who has the larger rank
        [0.1, 0.2, 0.0, -0.05, 0.4, 0.0, 0.03, 0.08],  # datasets on which the two are level tell nothing
        [0.25, 0.25, -0.25, 0.0, 0.5, 0.5, 0.5, 0.75, 1, 1, 1, 1],
        [0.0, 1, -2, 3, 4, -5, 6, 7, 8, 9, 10, -11, 12, 13],
    ],
)
def test_two_models_are_compared_by_wilcoxons_signed_ranks(apart: list[float]) -> None:
    """For two models the p-value is that of all ways to sign the ranks of their differences, counted out."""
    found = ranking(np.stack([np.zeros(len(apart)), apart], axis=1))
    assert found.test == "Wilcoxon"
    differing = np.array([one for one in apart if one])
    ranks = stats.rankdata(np.abs(differing))
    sums = np.array(list(itertools.product([0, 1], repeat=len(ranks)))) @ ranks
    off = np.abs(sums - ranks.sum() / 2)
    seen = abs(ranks[differing > 0].sum() - ranks.sum() / 2)
    assert found.p_value == pytest.approx(np.mean(off >= seen))


def test_last_bits_part_nobody() -> None:
    """Values that are equal but for a sum's last bits share their rank, and their differences are equally large."""
    found = ranking(np.array([[0.3, 0.1 + 0.2, 0.5], [0.7, 0.7, 0.9]]))
    assert dict(zip(found.models, found.mean_ranks, strict=True)) == {"c": 1.0, "a": 2.5, "b": 2.5}
    exact = ranking(np.array([[0, 1], [0, -1], [0, 2], [0, 2], [0, 1], [0, 1]]))
    off = ranking(np.array([[0.1, 0.2], [0.3, 0.2], [0.3, 0.5], [0.7, 0.9], [0.6, 0.7], [0.8, 0.9]]))
    assert off.p_value == exact.p_value


def test_two_datasets_that_agree_on_three_models_are_one_chance_in_six() -> None:
    """The second dataset has one of 3! orders, each as likely; and it matters only that they agree."""
    for values in ([[0.1, 0.2, 0.9], [0.5, 0.6, 0.8]], [[0.9, 0.1, 0.2], [0.8, 0.5, 0.6]]):
        assert ranking(np.array(values)).p_value == pytest.approx(1 / 6)


@pytest.mark.parametrize(("datasets", "models"), [(2, 3), (4, 3), (2, 4)])
def test_few_datasets_have_the_exact_p_value(datasets: int, models: int) -> None:
    """All orders of the models within datasets are counted out, by the squares of their sums of ranks."""
    values = np.random.default_rng(datasets).normal(0.4 * np.arange(models), 1, (datasets, models))
    ranks = stats.rankdata(values, axis=1)
    orders = list(itertools.permutations(range(1, models + 1)))

    def statistic(table: np.ndarray) -> float:
        return float(np.square(np.sum(table, axis=0)).sum())

    other = [statistic(np.stack(table)) for table in itertools.product(orders, repeat=datasets)]
    assert 0.01 < ranking(values).p_value < 0.99
    assert ranking(values).p_value == pytest.approx(np.mean(np.array(other) >= statistic(ranks)))


def test_false_alarms_of_few_datasets_are_in_bounds() -> None:
    """Models that are alike are called different on 5 % of so few datasets at most, up to the luck of simulation."""
    random = np.random.default_rng(0)
    for datasets, models in ((3, 3), (4, 3)):
        alarms = sum(ranking(random.normal(size=(datasets, models))).p_value < 0.05 for _ in range(200))
        assert alarms <= stats.binom.ppf(0.999, 200, 0.05)


def test_lower_losses_rank_first() -> None:
    """Of errors the smallest has rank 1; ties share their ranks."""
    values = np.array([[0.3, 0.2, 0.9], [0.5, 0.5, 0.6]])
    found = ranking(values, metric="log_loss")
    assert dict(zip(found.models, found.mean_ranks, strict=True)) == {"a": 1.75, "b": 1.25, "c": 3.0}


def test_models_that_are_always_level() -> None:
    """Where nothing differs p is 1, with two models and with more, and all are one group."""
    for models, test in ((2, "Wilcoxon"), (3, "Friedman")):
        found = ranking(np.full((4, models), 0.5))
        assert (found.p_value, found.test) == (1, test)
        assert len(found.groups) == 1


def test_only_models_that_are_everywhere_are_ranked() -> None:
    """A model that lacks on one dataset isn't ranked, and the others are ranked without it."""
    whole = scored(("a", "b", "c"), np.array([0.1, 0.9, 0.5]))
    found = rank([whole, scored(("a", "c"), np.array([0.2, 0.6]))], 0.05)
    assert found is not None
    assert found.models == ("c", "a")
    assert found.mean_ranks == (1.0, 2.0)


def test_there_is_no_ranking_of_one_dataset_or_one_model_or_what_is_not_defined() -> None:
    """Mean ranks need two datasets, two models, and scores that are numbers."""
    both = scored(("a", "b"), np.array([0.1, 0.2]))
    assert rank([], 0.05) is None
    assert rank([both], 0.05) is None
    assert rank([scored(("a",), np.array([0.1])), both], 0.05) is None
    assert rank([both, scored(("a", "b"), np.array([0.1, np.nan]))], 0.05) is None


def test_groups_are_neighbours_closer_than_the_critical_difference() -> None:
    """Two models share a group exactly when their ranks are closer than that; no group is one model, or in another."""
    random = np.random.default_rng(0)
    for models, datasets in ((4, 12), (6, 20), (8, 10)):
        values = random.normal(size=(datasets, models)) + 0.5 * np.arange(models)
        found = ranking(values)
        place = dict(zip(found.models, found.mean_ranks, strict=True))
        together = {frozenset(pair) for group in found.groups for pair in itertools.combinations(group, 2)}
        for pair in itertools.combinations(found.models, 2):
            close = abs(place[pair[0]] - place[pair[1]]) < found.critical_difference
            assert (frozenset(pair) in together) == close
        for one, other in itertools.permutations(found.groups, 2):
            assert not set(one) <= set(other)
    assert ranking(np.tile([0.1, 0.5, 0.9], (30, 1))).groups == ()


def test_few_datasets_say_so() -> None:
    """With fewer than six datasets nothing that two models do could be significant, and the sentence says it."""
    assert ranking(np.array([[0.1, 0.9]] * 5)).p_value == pytest.approx(2 / 2**5)
    assert ranking(np.array([[0.1, 0.9]] * 5)).sentence == (
        "Mean ranks over 5 datasets: b 1.00, a 2.00; the ranks don't differ beyond chance (Wilcoxon p = 0.062);"
        " so few datasets could hardly show more."
    )
    at_alpha = rank([scored(("a", "b"), np.array([0.1, 0.9]))] * 5, 2 / 2**5)  # which is not below it
    assert at_alpha is not None
    assert at_alpha.sentence == ranking(np.array([[0.1, 0.9]] * 5)).sentence
    three = ranking(np.random.default_rng(0).normal([0, 5, 9], 1, (5, 3)))
    assert three.p_value < 0.05
    assert "few" not in three.sentence
    undecided = ranking(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.9, 0.05], [0.2, 0.5], [0.6, 0.55]]))
    assert undecided.p_value > 0.05
    assert undecided.sentence.endswith(f"(Wilcoxon p = {undecided.p_value:.2g}).")
    six = ranking(np.array([[0.1, 0.9]] * 6) + np.arange(6)[:, None] * [0, 0.01])
    assert six.p_value == pytest.approx(2 / 2**6)
    assert "the ranks differ" in six.sentence
    assert "few" not in six.sentence
