from __future__ import annotations

import numpy as np
import pytest

from pipeline.figures.ledger import contests, members
from tests.figures.making import make_ledger


def test_members_hold_their_own_rows_of_one_part() -> None:
    """Each model run comes once, in the ledger's order, with the rows of the part that was asked for."""
    ledger = make_ledger(["relu", "linear"], n_seeds=2)
    found = list(members(ledger, 2, "validation"))
    assert [(member.model, member.seed) for member in found] == [("relu", 0), ("relu", 1), ("linear", 0), ("linear", 1)]
    rows = ledger[(ledger["model"] == "linear") & (ledger["seed"] == 1) & (ledger["split"] == "validation")]
    assert np.array_equal(found[-1].probabilities, rows[["p_0", "p_1"]])
    assert np.array_equal(found[-1].labels, rows["label"])


def test_columns_of_larger_datasets_are_left_aside() -> None:
    """A two-class dataset in a ledger with four `p_` columns has two probabilities a row."""
    ledger = make_ledger().assign(p_2=np.nan, p_3=np.nan)
    assert next(members(ledger, 2, "test")).probabilities.shape[1] == 2


def test_a_part_without_rows_is_refused() -> None:
    """Asking for rows that a ledger doesn't hold raises, naming the part."""
    with pytest.raises(ValueError, match="train"):
        next(members(make_ledger(), 2, "train"))


def test_two_classes_have_one_contest() -> None:
    """Of two classes only the second is set against the rest; of more, each."""
    names = [contest.class_name for contest in contests(make_ledger(["relu"], n_seeds=1), ["no", "yes"], "test")]
    assert names == ["yes"]
    ledger = make_ledger(["relu"], n_classes=3, n_seeds=1)
    found = list(contests(ledger, ["a", "b", "c"], "test"))
    assert [contest.class_name for contest in found] == ["a", "b", "c"]
    assert np.array_equal(sum(contest.truth for contest in found), np.ones(len(found[0].truth)))
    assert np.array_equal(found[2].scores, ledger.loc[ledger["split"] == "test", "p_2"])


def test_each_run_predicts_at_its_own_threshold() -> None:
    """What a model run predicts is decided by the threshold that the ledger holds for it, and by no other run's."""
    ledger = make_ledger(["relu"], n_seeds=2)
    ledger.loc[ledger["seed"] == 1, "threshold"] = 0.9
    for member, threshold in zip(members(ledger, 2, "test"), (0.5, 0.9), strict=True):
        assert member.threshold == threshold
        assert np.array_equal(member.predicted, member.probabilities[:, 1] > threshold)
    (first, second) = contests(ledger, ["no", "yes"], "test")
    assert (first.threshold, second.threshold) == (0.5, 0.9)
