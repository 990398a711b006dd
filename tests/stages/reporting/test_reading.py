from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import Network
from pipeline.labels import predicted_labels
from pipeline.stages.reporting.reading import ROWS, columns, outputs, readings
from pipeline.stages.reporting.source import ReportInput, Representative
from pipeline.stages.split import SplitSpec, split
from tests.conftest import Finished, report_input
from tests.making import dataset


@pytest.fixture(scope="module")
def source(thresholded: Finished) -> ReportInput:
    return report_input(thresholded)


@pytest.mark.parametrize(("name", "classes"), [("circles", 2), ("blobs", 3)])
def test_outputs_are_what_the_ledger_has(source: ReportInput, name: str, classes: int) -> None:
    """Of the first test rows, a median network's probabilities and labels are to the bit those of its run's ledger."""
    found = outputs(source, name)
    assert [one.model for one in found] == ["linear", "relu"]
    for one in found:
        ledger = source.ledger[source.ledger["run_id"] == source.representatives[name, one.model].run_id]
        rows = ledger[ledger["split"] == "test"][:ROWS]
        table = rows[[f"p_{label}" for label in range(classes)]].to_numpy()
        assert one.rows.tolist() == rows["row_id"].tolist() == source.splits[name].test[:ROWS].tolist()
        assert np.array_equal(one.probabilities, table)
        assert one.predicted.tolist() == predicted_labels(table, rows["threshold"].iloc[0]).tolist()
        assert one.truth.tolist() == rows["label"].tolist()


def test_two_classes_go_by_sigmoid_and_the_runs_threshold(source: ReportInput) -> None:
    """Each line's logit gives its probability, and its label is what the run's own threshold makes of it."""
    assert columns(source.splits["circles"]) == ("logit", "probability of “1”")
    written = readings(source, "circles")
    for one, reading in zip(outputs(source, "circles"), written, strict=True):
        for logit, line in zip(one.logits[:, 0], reading.lines, strict=True):
            shown, share = (float(cell.replace("−", "-")) for cell in line.cells)
            assert shown == pytest.approx(logit, abs=0.0006)
            assert share == pytest.approx(1 / (1 + np.exp(-logit)), abs=0.0006)
            assert line.answer == str(int(1 / (1 + np.exp(-np.float64(logit))) > one.threshold))
            assert line.is_wrong == (line.answer != line.truth)
    assert any(line.is_wrong for reading in written for line in reading.lines)


def test_more_classes_go_by_softmax(source: ReportInput) -> None:
    """Each class has its logit and its probability, and the label is the class with the largest."""
    assert columns(source.splits["blobs"]) == ("“0”", "“1”", "“2”")
    for one, reading in zip(outputs(source, "blobs"), readings(source, "blobs"), strict=True):
        for logits, line in zip(one.logits.astype(np.float64), reading.lines, strict=True):
            shares = [float(cell.split(" → ")[1]) for cell in line.cells]
            assert shares == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=0.0006)
            assert line.answer == str(logits.argmax())


def test_of_many_classes_the_likeliest_are_shown(source: ReportInput) -> None:
    """Ten classes make three cells, the likeliest first, and the first is the label."""
    many = split(dataset("digits", load="digits"), SplitSpec())
    rng = np.random.default_rng(0)
    network = Network("identity", (rng.normal(size=(10, 64)).astype(np.float32),), (np.zeros(10, np.float32),))
    ledger = source.ledger.assign(run_id="r", threshold=np.nan)
    chosen = {("digits", "relu"): Representative(0, "r", network)}
    (reading,) = readings(replace(source, splits={"digits": many}, ledger=ledger, representatives=chosen), "digits")
    assert columns(many) == ("likeliest", "second", "third")
    for line in reading.lines:
        shares = [float(cell.split(" → ")[1]) for cell in line.cells]
        assert shares == sorted(shares, reverse=True)
        assert line.cells[0].startswith(f"“{line.answer}” ")


def test_a_regression_goes_back_to_the_targets_units(source: ReportInput) -> None:
    """Predictions are in target units, beside the output that they are scaled from, and none of them is wrong."""
    line = split(dataset("line", make="line"), SplitSpec())
    network = Network("identity", (np.full((1, 1), 0.9, np.float32),), (np.full(1, 0.1, np.float32),))
    chosen = {("line", "relu"): Representative(0, "r", network)}
    altered = replace(source, splits={"line": line}, representatives=chosen)
    (one,) = outputs(altered, "line")
    scaled = (line.dataset.features[line.test[:ROWS], 0] - line.center[0]) / line.scale[0]
    assert one.logits[:, 0] == pytest.approx(0.9 * scaled + 0.1, abs=1e-6)
    assert line.target_scale != 1
    assert one.predicted == pytest.approx((0.9 * scaled + 0.1) * line.target_scale + line.target_center, abs=1e-6)
    assert columns(line) == ("output",)
    (reading,) = readings(altered, "line")
    assert [shown.truth for shown in reading.lines] == [
        f"{value:.4g}" for value in line.dataset.target[line.test[:ROWS]]
    ]
    assert [shown.answer for shown in reading.lines] == [f"{value:.4g}" for value in one.predicted]
    assert not any(shown.is_wrong for shown in reading.lines)


def test_page_names_wrong_labels_in_words(thresholded: Finished, source: ReportInput) -> None:
    """Each dataset's page section reads its output, and says "wrong" beside as many labels as are."""
    page = (thresholded.report / "index.html").read_text(encoding="utf-8")
    lines = [line for name in source.splits for reading in readings(source, name) for line in reading.lines]
    assert page.count("<h3>Reading the output</h3>") == 2
    assert page.count("wrong</strong>") == sum(line.is_wrong for line in lines) > 0
    assert all(f"<td>{cell}</td>" in page for line in lines for cell in line.cells)
