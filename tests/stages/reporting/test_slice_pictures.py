from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts import Dataset, Network
from pipeline.cli import main
from pipeline.figures.importance import shared_importance
from pipeline.stages.reporting.importance_pictures import importances
from pipeline.stages.reporting.slice_pictures import has_slices, slice_pictures, telling_but_undrawn, telling_pairs
from pipeline.stages.reporting.source import ReportInput, Representative
from pipeline.stages.split import SplitSpec, split
from tests.figures.making import assert_legible, words
from tests.making import MIXED, mixed_dataset
from tests.stages.reporting.making import report_source


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
    made = source.splits["table"]
    shared = shared_importance(importances(source, "table"))
    assert telling_pairs(made, shared)[0] == (3, 1)
    features = made.dataset.features.copy()
    features[made.test] = 1e3
    perturbed = replace(made, dataset=replace(made.dataset, features=features))
    other = shared_importance(importances(replace(source, splits={"table": perturbed}), "table"))
    assert telling_pairs(perturbed, other) == telling_pairs(made, shared)
    np.testing.assert_array_equal(other, shared)


def test_a_slice_shows_the_network_with_the_rest_at_medians(source: ReportInput) -> None:
    """Its frame holds the network's probabilities over both features at the train rows' medians of the others."""
    (picture,) = slice_pictures(source, "table", lambda: importances(source, "table"))
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


def test_only_amounts_are_drawn_and_what_matters_more_is_named() -> None:
    """Of a mixed table numbers and days make the pairs; a category that matters more is named in words."""
    source = report_source(mixed_dataset(), models={"relu": {"hidden_units": [6]}}, seeds=1)
    made, found = source.splits["mixed"], importances(source, "mixed")
    assert telling_pairs(made, shared_importance(found)) in ([(0, 3)], [(3, 0)])
    assert telling_but_undrawn(made, shared_importance(found)) == ["city"]
    (picture,) = slice_pictures(source, "mixed", lambda: found)
    assert "the other 3 are held at their commonest values over the train rows" in picture.caption
    assert "those of the numbers and dates that" in picture.caption
    assert picture.finding().endswith("Also important, but no number to draw: city.")
    figure = picture.draw()
    said = " ".join(words(figure))
    assert "the other 3 are held at their commonest values" in said
    assert "also important, but no number to draw: city" in said
    assert_legible(figure)
    days = figure.axes[0].get_ylabel() == "since"
    axis = figure.axes[0].yaxis if days else figure.axes[0].xaxis
    assert {"2020", "2022", "2024"} <= {tick.get_text() for tick in axis.get_ticklabels()}


def test_what_cannot_vary_makes_no_slices() -> None:
    """Slices take two amounts that have values in train rows, and a third feature."""
    data = mixed_dataset()
    assert has_slices(split(data, SplitSpec()))
    empty = data.features.copy()
    empty[:, 3] = np.nan
    assert not has_slices(split(replace(data, features=empty), SplitSpec()))
    for kept in ([0, 3], [0, 1, 2]):
        columns, names = ([of[place] for place in kept] for of in (MIXED, data.feature_names))
        fewer = replace(data, features=data.features[:, kept], columns=tuple(columns), feature_names=tuple(names))
        assert not has_slices(split(fewer, SplitSpec()))


def test_what_hardly_matters_is_not_named() -> None:
    """A feature that can't be drawn is named where it matters more than one that is, and not next to nothing."""
    made = split(mixed_dataset(), SplitSpec())
    assert telling_but_undrawn(made, np.array([1.0, 0.05, 0.5, 0.01, 0.2])) == ["city", "since: weekday"]
    assert telling_but_undrawn(made, np.array([1.0, 0.05, 0.5, 0.4, 0.2])) == ["city"]
