from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from pipeline.comparison.thresholds import Goal
from pipeline.labels import threshold_text
from pipeline.stages.reporting.moving_threshold import MovingThreshold, moving_threshold, plain
from pipeline.stages.reporting.source import ReportInput
from tests.conftest import Finished, report_input


@pytest.fixture(scope="module")
def source(thresholded: Finished) -> ReportInput:
    return report_input(thresholded)


@pytest.fixture(scope="module")
def moving(source: ReportInput) -> MovingThreshold:
    found = moving_threshold(source, "circles")
    assert found is not None
    return found


def test_each_model_begins_at_its_own_threshold(source: ReportInput, moving: MovingThreshold) -> None:
    """Threshold and scores of the table are what `metrics.csv` has of the median runs."""
    runs = source.runs.set_index("run_id")
    assert [row.name for row in moving.models] == ["linear", "relu"]
    for row in moving.models:
        run = runs.loc[source.representatives["circles", row.name].run_id]
        scores = [f"{run[name]:.3f}" for name in ("precision", "recall", "f1", "accuracy")]
        assert [row.cells[0], *row.cells[5:9]] == [threshold_text(run["threshold"]), *scores]
        assert sum(map(int, row.cells[1:5])) == moving.positives + moving.negatives == 24
    assert moving.shared == ""


def test_marks_stand_where_the_table_says(moving: MovingThreshold) -> None:
    """The dots are at the rates and the F1 of the table, and the ROC's lies on a corner or an edge of its line."""
    for row in moving.models:
        _, found, missed, alarms, cleared = (float(cell) for cell in row.cells[:5])
        assert row.roc_mark == pytest.approx((alarms / (alarms + cleared), found / (found + missed)))
        assert f"{row.f1_mark[1]:.3f}" == row.cells[7]
        corners = [tuple(map(float, corner.split())) for corner in re.split("[ML]", row.roc)[1:]]
        assert any(
            low[0] - 1e-3 <= row.roc_mark[0] <= high[0] + 1e-3 and low[1] - 1e-3 <= row.roc_mark[1] <= high[1] + 1e-3
            for low, high in itertools.pairwise(corners)
        )
        assert (corners[0], corners[-1]) == ((0, 0), (1, 1))


def test_costs_are_those_of_the_goal(source: ReportInput) -> None:
    """A goal that is a cost sets both prices and the costs of the table; any other has them at 1."""
    priced, usual = (
        moving_threshold(replace(source, goal=goal), "circles") for goal in (Goal("cost", fp=0.5, fn=4), Goal("f1"))
    )
    assert priced is not None
    assert usual is not None
    assert (priced.fp_cost, priced.fn_cost, usual.fp_cost, usual.fn_cost) == ("0.5", "4", "1", "1")
    for one, fp, fn in ((priced, 0.5, 4), (usual, 1, 1)):
        for row in one.models:
            assert float(row.cells[9]) == fp * int(row.cells[3]) + fn * int(row.cells[2])


def test_a_threshold_that_all_share_is_named(source: ReportInput) -> None:
    """Where every model labels at 0.5, the page says so, and its slider stands there."""
    ledger = source.ledger.assign(threshold=source.ledger["threshold"].where(source.ledger["threshold"].isna(), 0.5))
    moving = moving_threshold(replace(source, ledger=ledger), "circles")
    assert moving is not None
    assert (moving.shared, moving.start) == ("0.5", 0.5)


def test_the_page_stays_small(moving: MovingThreshold) -> None:
    """What a model adds to the page is less than 10 kB."""
    pieces = [str(moving.data), *(row.roc + row.f1 for row in moving.models)]
    assert sum(map(len, pieces)) < 10_000 * len(moving.models)


@pytest.mark.parametrize(("number", "text"), [(1.0, "1"), (0.5, "0.5"), (20.0, "20"), (1 / 3, "0.333"), (0, "0")])
def test_costs_are_written_plainly(number: float, text: str) -> None:
    """A whole number has no decimals, others three at most."""
    assert plain(number) == text


def test_three_classes_have_no_threshold_to_move(source: ReportInput) -> None:
    """With more than two classes there is nothing to show."""
    assert moving_threshold(source, "blobs") is None
