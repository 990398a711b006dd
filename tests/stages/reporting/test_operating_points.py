from __future__ import annotations

from dataclasses import replace

import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from pipeline.stages.reporting.operating_points import THRESHOLDS, operating_points
from pipeline.stages.reporting.source import ReportInput
from tests.conftest import Finished, report_input


@pytest.fixture(scope="module")
def source(thresholded: Finished) -> ReportInput:
    return report_input(thresholded)


def test_counts_and_scores_are_those_of_scikit_learn(source: ReportInput) -> None:
    """At thresholds from 0 to 1 and at its own, a median run's counts and scores on test rows are scikit-learn's."""
    points = operating_points(source, "circles")
    assert [one.model for one in points] == ["linear", "relu"]
    for one in points:
        chosen = source.representatives["circles", one.model]
        rows = source.ledger[(source.ledger["run_id"] == chosen.run_id) & (source.ledger["split"] == "test")]
        assert one.seed == chosen.seed
        assert one.threshold == rows["threshold"].iloc[0]
        for place, threshold in [(0, 0), *list(enumerate(THRESHOLDS))[2::9], (200, 1), (-1, one.threshold)]:
            predicted = rows["p_1"] > threshold
            (_, false), (_, true) = confusion_matrix(rows["label"], predicted, labels=[0, 1])
            assert (one.false_positives[place], one.true_positives[place]) == (false, true)
            for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
                assert getattr(one, name)[place] == score(rows["label"], predicted, zero_division=0)
            assert one.accuracy[place] == accuracy_score(rows["label"], predicted)


def test_a_row_at_the_threshold_is_negative(source: ReportInput) -> None:
    """A probability that equals a threshold is not above it: at 0 rows of 0 are negative, at 1 all are."""
    (linear, _) = operating_points(replace(source, ledger=source.ledger.assign(p_1=source.ledger["label"])), "circles")
    assert (linear.true_positives[0], linear.false_positives[0]) == (linear.positives, 0)
    assert (linear.true_positives[199], linear.true_positives[200]) == (linear.positives, 0)


def test_thresholds_are_what_a_slider_gives() -> None:
    """They are the very numbers that the texts 0, 0.005, … 1 are read as."""
    assert THRESHOLDS.tolist() == [float(f"{step / 1000:.3f}") for step in range(0, 1001, 5)]


def test_models_without_a_finished_run_are_left_out(source: ReportInput) -> None:
    """Where all runs diverged there is nothing to count, of a model or of a dataset; nor is there of three classes."""
    only = {key: chosen for key, chosen in source.representatives.items() if key[1] == "relu"}
    assert [one.model for one in operating_points(replace(source, representatives=only), "circles")] == ["relu"]
    assert operating_points(replace(source, representatives={}), "circles") == []
    assert operating_points(source, "blobs") == []
