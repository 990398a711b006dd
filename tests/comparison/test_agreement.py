from __future__ import annotations

import itertools
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, confusion_matrix

from pipeline.comparison.agreement import MOST_ROWS, agreement, share_right
from tests.comparison.making import hits_ledger, make_ledger, the_draw, through_parquet


@pytest.mark.parametrize("n_classes", [2, 4])
def test_shares_are_those_over_all_pairs_of_runs(n_classes: int, tmp_path: Path) -> None:
    """The four shares are the mean of the cross tables of each run of one model with each run of the other."""
    ledger = through_parquet(make_ledger({"linear": 0.4, "relu": 1.2}, n_classes=n_classes, rows=80), tmp_path)
    draw = the_draw(ledger.drop(ledger.index[(ledger["model"] == "relu") & (ledger["seed"] == 2)]), n_classes)
    found = agreement(draw, "d", "relu", "linear")

    right = {}
    for (model, seed), run in ledger.groupby(["model", "seed"]):
        shares = run[[f"p_{label}" for label in range(n_classes)]].to_numpy()
        labels = shares.argmax(axis=1) if n_classes > 2 else shares[:, 1] > run["threshold"]
        right[model, seed] = np.asarray(labels == run["label"])
    tables = [
        confusion_matrix(right["relu", one], right["linear", other], normalize="all")
        for one, other in itertools.product((0, 1), (0, 1, 2))
    ]
    mean = np.mean(tables, axis=0)
    shares = (found.both_right, found.only_model, found.only_baseline, found.both_wrong)
    assert_allclose(shares, (mean[1, 1], mean[1, 0], mean[0, 1], mean[0, 0]))
    assert sum(shares) == pytest.approx(1)
    assert found.only_model - found.only_baseline == pytest.approx(
        np.mean([right["relu", seed].mean() for seed in (0, 1)])
        - np.mean([right["linear", seed].mean() for seed in (0, 1, 2)])
    )


def test_a_rows_share_is_that_of_the_runs_which_label_it_right() -> None:
    """Each run labels by its own threshold; a row's share is a mean over runs."""
    ledger = make_ledger({"relu": 1.0}, seeds=4, rows=30)
    share = share_right(the_draw(ledger), "relu")
    runs = [run for _, run in ledger.groupby("seed")]
    assert share.mean() == pytest.approx(
        np.mean([accuracy_score(run["label"], run["p_1"] > run["threshold"]) for run in runs])
    )
    assert share[4] == np.mean(
        [(run["p_1"].iloc[4] > run["threshold"].iloc[4]) == run["label"].iloc[4] for run in runs]
    )


def test_deciding_rows_come_most_decisive_first() -> None:
    """Rows on which the models are equally often right aren't named; of equally decisive ones the first comes first."""
    one = np.zeros((2, 20), dtype=bool)
    other = np.zeros((2, 20), dtype=bool)
    one[:, 5], one[0, 9], other[:, 2], other[1, 3] = True, True, True, True
    one[0, 7], other[1, 7] = True, True  # both in half of their runs
    draw = the_draw(hits_ledger({"one": one, "other": other}))
    assert agreement(draw, "d", "one", "other").deciding_rows == tuple(7 + 3 * row for row in (2, 5, 3, 9))


def test_a_few_deciding_rows_are_enough() -> None:
    """However much two models differ, only so many rows are named."""
    ledger = hits_ledger({"right": np.ones((1, 50), dtype=bool), "wrong": np.zeros((1, 50), dtype=bool)})
    found = agreement(the_draw(ledger), "d", "right", "wrong")
    assert len(found.deciding_rows) == MOST_ROWS
    assert astuple(found)[3:7] == (0.0, 1.0, 0.0, 0.0)


def test_a_model_agrees_with_its_copy() -> None:
    """The same single network twice: no row is right for only one of them."""
    hits = np.random.default_rng(0).random((1, 40)) < 0.7
    found = agreement(the_draw(hits_ledger({"one": hits, "copy": hits})), "d", "one", "copy")
    assert (found.only_model, found.only_baseline, found.deciding_rows) == (0, 0, ())
    assert found.both_right == pytest.approx(hits.mean())
