from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import HALF
from pipeline.stages.compare import CompareInput, Entry
from pipeline.stages.promote import FIXED, Contender, Ruling, first, rule
from pipeline.stages.split import SplitSpec, split
from tests.comparison.making import hits_ledger, run_rows
from tests.making import dataset

CANDIDATE, CHAMPION = (Contender(digit * 32, "e", "d", model, "") for digit, model in (("1", "new"), ("2", "old")))
WHO = "new (11111111)", "old (22222222), the champion,"


def ruling(ledger: pd.DataFrame, *, metric: str = "accuracy", test_size: float = 0.5, **spec: object) -> Ruling:
    """What is ruled on a ledger of the candidate "new" and the champion "old", both of one comparison."""
    made = split(dataset(make="blobs", centers=2, cluster_std=9.0, n_samples=4000), SplitSpec(test_size=test_size))
    costs = {"status": "FINISHED", "parameters": 1, "train_seconds": 1.0, "predict_seconds": 1.0}
    runs = pd.DataFrame([{"dataset": "d", "model": model, "seed": 0} | costs for model in ("new", "old")])
    settings = CompareSpec.model_validate(spec)
    entry = Entry("3" * 32, ("new", "old"), settings, {"d": metric}, frozenset(), HALF, runs, ledger)
    return rule(CompareInput((), (entry,), {"d": made}, {}).against("old"), CANDIDATE, CHAMPION)


def hits(*, only_new: int = 0, only_old: int = 0, rows: int) -> pd.DataFrame:
    """Ledger of two runs that are right everywhere, but for rows that only one of them gets right."""
    new, old = np.ones(rows, dtype=bool), np.ones(rows, dtype=bool)
    old[:only_new], new[only_new : only_new + only_old] = False, False
    return hits_ledger({"new": new, "old": old})


@pytest.mark.parametrize(
    ("only_new", "only_old", "rows", "margin", "decision", "promoted", "claim"),
    [
        (12, 0, 200, 0.01, "better", True, "{} is better than {} on d: accuracy +6.0 points"),
        (0, 12, 200, 0.01, "worse", False, "{} is worse than {} on d: accuracy −6.0 points"),
        (0, 0, 200, 0.02, "equivalent", True, "{} and {} are equivalent on d (a difference within ±2.0 points counts"),
        (9, 3, 200, 0.02, "not separable", True, "{} isn't worse than {} on d by more than the margin of 2.0 points:"),
        (
            0,
            0,
            200,
            0.01,
            "not separable",
            False,
            "{} may be worse than {} on d by up to 1.5 points, more than the margin of 1.0 point:",
        ),
        (4, 3, 200, 0.01, "not separable", False, "{} may be worse than {} on d by up to"),
        (9, 3, 200, 0.0, "not separable", False, "{} may be worse than {} on d by up to"),
    ],
)
def test_a_model_is_promoted_when_it_is_shown_not_to_be_worse(
    only_new: int, only_old: int, rows: int, margin: float, decision: str, promoted: bool, claim: str
) -> None:
    """Better, equivalent, or an interval whose bad end lies within the margin; the sentence says which, and on what."""
    found = ruling(hits(only_new=only_new, only_old=only_old, rows=rows), equivalence=margin)
    assert (found.promoted, found.decision) == (promoted, decision)
    assert found.sentence.startswith(claim.format(*WHO)), found.sentence
    assert "95 % interval [" in found.sentence
    assert f"], {rows} test rows. {FIXED}." in found.sentence
    assert ("would tell" in found.sentence) == (not promoted and decision != "worse")


@pytest.mark.parametrize(("only_new", "only_old"), [(0, 0), (4, 3), (3, 4)])
def test_rows_that_would_tell_are_enough(only_new: int, only_old: int) -> None:
    """With so many rows of the same kind the bad end lies within the margin in four samples of five, by scipy's t."""
    rows, margin = 200, 0.01
    found = ruling(hits(only_new=only_new, only_old=only_old, rows=rows), equivalence=margin)
    said = int(found.sentence.split("about ")[1].split(" test rows")[0].replace(",", ""))
    effects = np.zeros(rows)
    effects[:only_new], effects[only_new : only_new + only_old] = 1.0, -1.0
    room, variance = margin + effects.mean(), effects.var(ddof=1)

    def enough(n: int) -> bool:
        half = max(stats.t.isf(0.025, (rows - 1) * n / rows) * math.sqrt(variance / n), -math.log(0.05) / n)
        return bool(room >= half + stats.norm.ppf(0.8) * math.sqrt(variance / n))

    assert enough(said)
    assert not enough(int(0.85 * said))  # it is rounded up to two digits


def test_no_rows_would_tell_where_it_looks_worse_than_the_margin() -> None:
    """A model that seems to be behind by more than the margin isn't told to wait for more rows."""
    found = ruling(hits(only_new=2, only_old=6, rows=200), equivalence=0.01)
    assert (found.promoted, found.decision) == (False, "not separable")
    assert found.sentence.endswith("no number of test rows would show that it isn't worse.")


@pytest.mark.parametrize(("worse", "promoted"), [("new", False), ("old", True)])
def test_less_of_a_loss_is_better(worse: str, promoted: bool) -> None:
    """By log loss the model with the smaller one is promoted; the margin counts on its bad side, the upper."""
    labels = np.arange(100) % 2
    frames = []
    for model in ("new", "old"):
        right = np.full(100, 0.6 if model == worse else 0.9) + 0.001 * np.arange(100) / 100
        positive = np.where(labels == 1, right, 1 - right)
        frames.append(run_rows(model, 0, labels, np.stack([1 - positive, positive], axis=1)))
    found = ruling(pd.concat(frames), metric="log_loss")
    assert found.promoted == promoted
    assert found.decision == ("better" if promoted else "worse")


def test_validation_rows_are_called_so() -> None:
    """Where there are no test rows the sentence says on which rows it stands."""
    found = ruling(hits_ledger({"new": [True] * 60, "old": [False] * 60}, part="validation"), test_size=0.0)
    assert "60 validation rows (there are no test rows)" in found.sentence


def test_a_metric_that_is_not_defined_promotes_nobody() -> None:
    """ROC AUC on rows of one class isn't defined: that is no reason to replace the champion."""
    labels = np.zeros(30, dtype=int)
    table = np.full((30, 2), 0.5)
    found = ruling(pd.concat([run_rows(model, 0, labels, table) for model in ("new", "old")]), metric="roc_auc")
    assert not found.promoted
    assert found.sentence == "ROC AUC of new (11111111) or of the champion isn't defined on these test rows."


def test_the_first_champion_needs_no_comparison() -> None:
    """Where there is no champion any model becomes it, and the sentence says that nothing was compared."""
    assert first(CANDIDATE) == Ruling(
        True, "first", "new (11111111) is the first champion on d: there was none to compare it with."
    )
