from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, log_loss

from pipeline.artifacts import Floats
from pipeline.comparison.regret import regrets
from tests.comparison.making import make_ledger, row_freedom, run_rows, the_draw


def known_world(rows: int = 400) -> tuple[np.ndarray, Floats]:
    """Labels that were drawn with known probabilities."""
    random = np.random.default_rng(0)
    positive = random.uniform(0.05, 0.95, rows)
    return (random.random(rows) < positive).astype(np.int64), np.stack([1 - positive, positive], axis=1)


def worse(posterior: Floats, random_state: int) -> Floats:
    """A model that sees the law through noise."""
    logits = np.log(posterior[:, 1] / posterior[:, 0])
    positive = 1 / (1 + np.exp(-logits - np.random.default_rng(random_state).normal(0.3, 1.5, len(logits))))
    return np.stack([1 - positive, positive], axis=1)


def test_the_rule_has_no_regret_against_itself() -> None:
    """A model that is the Bayes rule loses nothing: exactly, by log loss; by accuracy up to 3 rows in n."""
    labels, posterior = known_world()
    draw = the_draw(pd.concat([run_rows("rule", seed, labels, posterior) for seed in range(3)]))
    accuracy, loss = regrets(draw, ["rule"], posterior, 0.05)
    assert (accuracy.metric, loss.metric) == ("accuracy", "log_loss")
    assert (accuracy.regret, loss.regret, loss.low, loss.high) == (0, 0, 0, 0)
    assert accuracy.high == -accuracy.low == pytest.approx(-math.log(0.05) / 400)


def test_regret_is_what_the_rule_does_better_on_the_same_rows() -> None:
    """Regret is scikit-learn's score of the rule against the model's mean over runs, positive where it is behind."""
    labels, posterior = known_world()
    runs = [worse(posterior, seed) for seed in range(3)]
    draw = the_draw(pd.concat([run_rows("model", seed, labels, run) for seed, run in enumerate(runs)]))
    accuracy, loss = regrets(draw, ["model"], posterior, 0.05)
    behind = accuracy_score(labels, posterior[:, 1] > 0.5) - np.mean(
        [accuracy_score(labels, run[:, 1] > 0.5) for run in runs]
    )
    assert accuracy.regret == pytest.approx(behind)
    assert loss.regret == pytest.approx(np.mean([log_loss(labels, run) for run in runs]) - log_loss(labels, posterior))
    assert loss.low > 0
    assert accuracy.regret > 0


def test_one_runs_regret_has_a_paired_t_interval() -> None:
    """A single run is paired with the rule row by row; a few rows with large losses cost degrees of freedom."""
    labels, posterior = known_world()
    run = worse(posterior, 0)
    loss = regrets(the_draw(run_rows("model", 0, labels, run)), ["model"], posterior, 0.1)[1]
    own, best = (-np.log(table[np.arange(400), labels]) for table in (run, posterior))
    apart = own - best
    assert row_freedom(apart) < 200
    interval = stats.t.interval(0.9, row_freedom(apart), apart.mean(), stats.sem(apart))
    assert (loss.low, loss.high) == pytest.approx(interval)


def test_the_rule_adds_no_luck_of_seeds() -> None:
    """Several runs' regret varies by the model's seeds and by rows; the rule isn't trained, and has no seeds."""
    labels, posterior = known_world()
    tables = [worse(posterior, seed) for seed in range(4)]
    draw = the_draw(pd.concat([run_rows("model", seed, labels, run) for seed, run in enumerate(tables)]))
    loss = regrets(draw, ["model"], posterior, 0.05)[1]
    rows = np.stack([-np.log(run[np.arange(400), labels]) for run in tables])
    best = -np.log(posterior[np.arange(400), labels])
    seeds = rows.mean(axis=1).var(ddof=1) / 4
    left = rows - rows.mean(axis=1, keepdims=True) - rows.mean(axis=0) + rows.mean()
    both = (left**2).sum() / (3 * 399) / 1600
    apart = rows.mean(axis=0) - best
    of_rows = apart.var(ddof=1) / 400 - both
    half = math.hypot(
        stats.t.ppf(0.975, row_freedom(apart)) * math.sqrt(of_rows), stats.t.ppf(0.975, 3) * math.sqrt(seeds)
    )
    assert loss.high - loss.regret == pytest.approx(half)


def test_every_model_is_held_against_the_rule() -> None:
    """Models in the order they were asked for, by accuracy and then by log loss, with more than two classes too."""
    ledger = make_ledger({"weak": 0.2, "strong": 3.0}, n_classes=3, rows=90)
    posterior = np.full((90, 3), 0.02)
    posterior[np.arange(90), np.arange(90) % 3] = 0.96
    found = regrets(the_draw(ledger, 3), ["strong", "weak"], posterior, 0.05)
    assert [(one.model, one.metric) for one in found] == [
        ("strong", "accuracy"), ("weak", "accuracy"), ("strong", "log_loss"), ("weak", "log_loss"),
    ]  # fmt: skip
    assert found[0].regret < found[1].regret
    assert found[2].regret < found[3].regret
