from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.comparison.contributions import Contributions
from pipeline.comparison.intervals import scores
from pipeline.comparison.noise import Noise, noise
from pipeline.comparison.verdict import Measured, Subject
from tests.comparison.making import make_ledger, measured_as


def measured_rows(draws: Sequence[np.ndarray]) -> Measured:
    """One model whose rows (runs, rows) contribute these numbers in each draw, to a metric that is their mean."""
    gathered = tuple(scores([Contributions(rows.mean(axis=1), rows, 0.0)]) for rows in draws)
    return Measured(Subject("d", "test", 2, "accuracy"), "accuracy", ("m",), gathered, (len(draws[0]),))


def the_noise(draws: Sequence[np.ndarray]) -> Noise:
    (found,) = noise(measured_rows(draws))
    return found


def drawn(
    random: np.random.Generator, runs: int, n: int, *, split: float, seed: float, row: float, both: float
) -> np.ndarray:
    effects = split * random.normal() + seed * random.normal(size=(runs, 1)) + row * random.normal(size=n)
    return np.asarray(effects + both * random.normal(size=(runs, n)))


def test_known_noise_is_found_again() -> None:
    """Over many simulated comparisons the variances by seeds and by test rows are on average those that were put in."""
    random = np.random.default_rng(0)
    n, row, seed, both = 40, 1.0, 0.5, 1.0
    found = [the_noise([drawn(random, 4, n, split=0.0, seed=seed, row=row, both=both)]) for _ in range(600)]
    seeds, rows = [one.seed for one in found if one.seed is not None], [one.test_rows for one in found]
    assert np.mean(np.square(rows)) == pytest.approx(row**2 / n, rel=0.05)
    assert np.mean(np.square(seeds)) == pytest.approx(seed**2, rel=0.1)


def test_what_runs_and_rows_add_together_is_counted_for_neither() -> None:
    """Noise of each single prediction doesn't pass for noise of seeds or of rows."""
    random = np.random.default_rng(0)
    found = [the_noise([drawn(random, 5, 40, split=0, seed=0, row=0, both=1)]) for _ in range(300)]
    assert np.mean([one.test_rows**2 for one in found]) < 0.3 / 40 / 5  # cut at 0, a little is left
    assert np.mean([one.seed**2 for one in found if one.seed is not None]) < 0.5 / 40


def test_the_split_is_what_seeds_and_rows_leave_over() -> None:
    """Over many draws the variance by the split is on average the one that was put in; without any it is nearly 0."""
    random = np.random.default_rng(1)
    for split in (0.0, 1.0):
        found = [
            the_noise([drawn(random, 3, 20, split=split, seed=0.4, row=1.0, both=0.5) for _ in range(30)]).split
            for _ in range(60)
        ]
        assert np.mean(np.square(np.array(found, dtype=float))) == pytest.approx(split**2, abs=0.03, rel=0.1)


def test_few_draws_of_restless_runs_tell_the_split_without_bias() -> None:
    """The variance between few draws is estimated without bias, and noise of single predictions isn't the split's."""
    random = np.random.default_rng(4)
    found = [
        the_noise([drawn(random, 3, 20, split=2.0, seed=0.4, row=1.0, both=8.0) for _ in range(6)]).split
        for _ in range(400)
    ]
    assert np.mean(np.square(np.array(found, dtype=float))) == pytest.approx(4.0, rel=0.13)


def test_the_split_is_told_by_single_runs_too() -> None:
    """One run in each draw: between draws there is nothing but the split, its seed, and the rows' variance."""
    random = np.random.default_rng(6)
    draws = [drawn(random, 1, 30, split=2.0, seed=0.4, row=1.0, both=0.5) for _ in range(5)]
    between = np.var([rows.mean() for rows in draws], ddof=1)
    by_rows = np.mean([rows.var(ddof=1) / 30 for rows in draws])
    assert the_noise(draws).split == pytest.approx(np.sqrt(between - by_rows))


def test_noise_has_the_same_meaning_with_and_without_draws() -> None:
    """Seeds and test rows are taken apart within each draw, and averaged over draws."""
    random = np.random.default_rng(2)
    draws = [drawn(random, 4, 25, split=5.0, seed=0.5, row=1.0, both=0.3) for _ in range(50)]
    together = the_noise(draws)
    assert together.seed == pytest.approx(0.5, rel=0.15)
    assert together.test_rows == pytest.approx(1.0 / 5, rel=0.15)


def test_what_was_not_sampled_is_not_known() -> None:
    """One seed tells nothing about seeds, one draw nothing about the split."""
    random = np.random.default_rng(3)
    one = the_noise([drawn(random, 1, 30, split=1, seed=1, row=1, both=1)])
    assert one.seed is None
    assert one.split is None
    assert one.test_rows > 0
    two = the_noise([drawn(random, 2, 30, split=1, seed=1, row=1, both=1)] * 2)
    assert two.seed is not None
    assert two.split is not None


def test_accuracys_noise_by_rows_is_the_binomials_for_one_network() -> None:
    """A single network's accuracy varies over test rows as a share of them does: √(a (1 − a) / (n − 1))."""
    measured = measured_as("accuracy", make_ledger({"m": 0.5}, seeds=1, rows=100))
    (found,) = noise(measured)
    share = float(measured.values[0])
    assert 0.5 < share < 1
    assert found.test_rows == pytest.approx(np.sqrt(share * (1 - share) / 99))


def test_every_model_has_its_own_noise() -> None:
    """Models come in their order, each with numbers of its own, named after dataset and metric; in draws too."""
    ledger = make_ledger({"linear": 0.5, "relu": 2.0}, seeds=5, draws=3)
    found = noise(measured_as("log_loss", ledger))
    assert [(one.dataset, one.model, one.metric) for one in found] == [
        ("d", "linear", "log_loss"),
        ("d", "relu", "log_loss"),
    ]
    assert found[0].test_rows != found[1].test_rows
    for one in found:
        (alone,) = noise(measured_as("log_loss", ledger, [one.model]))
        assert one.seed is not None
        assert one.split is not None
        assert (alone.seed, alone.test_rows, alone.split) == pytest.approx((one.seed, one.test_rows, one.split))


def test_rows_in_groups_bring_the_noise_of_groups() -> None:
    """The deviation by test rows is what other groups would bring: of means over groups, where sizes are equal."""
    random = np.random.default_rng(5)
    groups = np.repeat(np.arange(25), 4)
    rows = random.normal(size=25)[groups] + 0.5 * random.normal(size=100)
    gathered = scores([Contributions(rows[None].mean(axis=1), rows[None], 0.0)], groups)
    (found,) = noise(
        Measured(Subject("d", "test", 2, "accuracy", groups=groups), "accuracy", ("m",), (gathered,), (1,))
    )
    assert found.test_rows == pytest.approx(rows.reshape(25, 4).mean(axis=1).std(ddof=1) / 5)
