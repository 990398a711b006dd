from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts import Dataset, Network
from pipeline.cli import main
from pipeline.stages.reporting.slice_pictures import slice_pictures, telling_pairs
from pipeline.stages.reporting.source import ReportInput, Representative
from pipeline.stages.split import SplitSpec, split
from tests.figures.making import words


@pytest.fixture
def source() -> ReportInput:
    """One logistic regression that looks at the fourth feature most, at the second less, at the others not at all."""
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 5))
    weights = np.array([0, 2, 0, 4, 0])
    target = (features @ weights + random.normal(size=200) > 0).astype(np.int64)
    names = ("a", "b", "c", "d", "e")
    data = Dataset("table", features, target, "binary", names, ("no", "yes"), "made", "")
    network = Network("identity", (weights[None].astype(np.float32),), (np.zeros(1, np.float32),))
    runs = pd.DataFrame({"dataset": "table", "model": "linear", "seed": [3], "run_id": "run", "accuracy": 0.9})
    return ReportInput(
        run_id="parent",
        name="sliced",
        question="",
        models=("linear", "gone"),
        metrics={"table": "accuracy"},
        splits={"table": split(data, SplitSpec())},
        runs=runs.assign(status="FINISHED", resample=0),
        ledger=runs.assign(threshold=0.5),
        history=pd.DataFrame(),
        representatives={("table", "linear"): Representative(3, "run", network)},
        provenance={},
    )


def test_slices_are_over_the_features_that_matter_most(source: ReportInput) -> None:
    """The pair whose shuffling costs most comes first, and no test row has a part in choosing it."""
    assert telling_pairs(source, "table")[0] == (3, 1)
    made = source.splits["table"]
    features = made.dataset.features.copy()
    features[made.test] = 1e3
    perturbed = replace(made, dataset=replace(made.dataset, features=features))
    assert telling_pairs(replace(source, splits={"table": perturbed}), "table") == telling_pairs(source, "table")


def test_a_slice_shows_the_network_with_the_rest_at_medians(source: ReportInput) -> None:
    """Its frame holds the network's probabilities over both features at the train rows' medians of the others."""
    (picture,) = slice_pictures(source, "table")
    frame = picture.frame()
    first = frame[(frame["feature_x"] == "d") & (frame["feature_y"] == "b")]
    made = source.splits["table"]
    medians = np.median(made.dataset.features[made.train], axis=0)
    table = np.tile(medians, (len(first), 1))
    table[:, 3], table[:, 1] = first["x"], first["y"]
    logits = made.scale_features(table) @ np.array([0, 2, 0, 4, 0])
    np.testing.assert_allclose(first["p_1"], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert "table: slices" in words(picture.draw())
    assert picture.finding().startswith("Slices over d and b;")


def test_report_shows_slices_where_there_are_more_than_two_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of four features gets slices, called so, and no picture that is called a boundary."""
    monkeypatch.chdir(tmp_path)
    text = "name: flowers\ndatasets: {iris: {load: iris}}\nmodels: {relu: {hidden_units: [4]}}\nseeds: 2\n"
    Path("flowers.yaml").write_text(f"{text}training: {{epochs: 5}}\n", encoding="utf-8")
    assert main(["run", "flowers.yaml"]) == 0
    figures = {path.name for path in Path("reports/flowers/figures").glob("*.png")}
    assert "iris_slices.png" in figures
    assert not {"iris_boundaries.png", "headline.png"} & figures
    assert "cuts through the decision, not all of it" in Path("reports/flowers/index.html").read_text(encoding="utf-8")
