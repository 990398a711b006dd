from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from pipeline.comparison.reading import read_draws
from pipeline.errors import BadInput
from tests.comparison.making import make_ledger, the_draw, through_parquet

SKILLS = {"linear": 0.5, "relu": 1.5}


def test_every_prediction_arrives_where_it_belongs(tmp_path: Path) -> None:
    """Models, seeds, rows, classes and thresholds come out of the file as they went in."""
    ledger = make_ledger(SKILLS, n_classes=2, seeds=3, rows=20)
    draw = the_draw(through_parquet(ledger, tmp_path))
    assert draw.seeds == {"linear": (0, 1, 2), "relu": (0, 1, 2)}
    assert_array_equal(draw.row_ids, 7 + 3 * np.arange(20))
    for model, seeds in draw.seeds.items():
        for place, seed in enumerate(seeds):
            rows = ledger[(ledger["model"] == model) & (ledger["seed"] == seed)]
            assert_array_equal(draw.models[model].predicted[place], rows[["p_0", "p_1"]])
            assert draw.models[model].thresholds[place] == rows["threshold"].iloc[0]
            assert_array_equal(draw.models[model].truth, rows["label"])


def test_the_order_of_rows_in_the_file_does_not_matter(tmp_path: Path) -> None:
    """A shuffled file says the same, row by row and seed by seed."""
    ledger = make_ledger(SKILLS, n_classes=3)
    shuffled = ledger.sample(frac=1, random_state=1)
    straight, mixed = the_draw(ledger, 3), the_draw(through_parquet(shuffled, tmp_path), 3)
    assert_array_equal(straight.row_ids, mixed.row_ids)
    for model in SKILLS:
        order = [mixed.seeds[model].index(seed) for seed in straight.seeds[model]]
        assert_array_equal(straight.models[model].predicted, mixed.models[model].predicted[order])
        assert_array_equal(straight.models[model].truth, mixed.models[model].truth)


def test_other_datasets_and_parts_stay_out(tmp_path: Path) -> None:
    """Neither another dataset's rows and further classes nor other parts' rows are read."""
    own = make_ledger(SKILLS, n_classes=2)
    others = [
        make_ledger(SKILLS, dataset="e", n_classes=5),
        make_ledger(SKILLS, dataset="f", n_classes=0),
        make_ledger(SKILLS, part="validation", random_state=9),
    ]
    draw = the_draw(through_parquet(pd.concat([*others, own]), tmp_path))
    for model in SKILLS:
        assert_array_equal(draw.models[model].predicted, the_draw(own).models[model].predicted)
        assert draw.models[model].predicted.shape == (3, 60, 2)


def test_a_regressions_predictions_have_no_classes(tmp_path: Path) -> None:
    """Regressions come as (runs, rows), with a real target and no threshold."""
    ledger = make_ledger(SKILLS, n_classes=0, rows=30)
    predictions = the_draw(through_parquet(ledger, tmp_path), 0).models["relu"]
    assert predictions.is_regression
    rows = ledger[(ledger["model"] == "relu") & (ledger["seed"] == 1)]
    assert_array_equal(predictions.predicted[1], rows["prediction"])
    assert_array_equal(predictions.truth, rows["label"])
    assert np.isnan(predictions.thresholds).all()


def test_draws_come_one_by_one_in_order(tmp_path: Path) -> None:
    """Each resample is a draw with its own truth, in the order of their numbers; a model may lack in one of them.

    Within a draw, models and seeds have the file's order.
    """
    ledger = make_ledger(SKILLS, draws=3)
    ledger = ledger[~((ledger["resample"] == 1) & (ledger["model"] == "relu"))].iloc[::-1]
    draws = read_draws(through_parquet(ledger, tmp_path), "d", "test", 2)
    assert [list(draw.models) for draw in draws] == [["relu", "linear"], ["linear"], ["relu", "linear"]]
    assert draws[0].seeds == {"relu": (2, 1, 0), "linear": (2, 1, 0)}
    for number, draw in enumerate(draws):
        rows = ledger[(ledger["resample"] == number) & (ledger["model"] == "linear") & (ledger["seed"] == 2)]
        place = draw.seeds["linear"].index(2)
        assert_array_equal(draw.models["linear"].predicted[place], rows.sort_values("row_id")[["p_0", "p_1"]])


def test_a_dataset_without_predictions_has_no_draws() -> None:
    """Nothing finished on a dataset: nothing to read, and no complaint."""
    assert read_draws(make_ledger(SKILLS), "another", "test", 2) == []


@pytest.mark.parametrize("column", ["row_id", "label"])
def test_runs_of_other_rows_or_labels_are_refused(column: str) -> None:
    """Two runs that were measured on different rows, or on other truths, aren't compared: one line says which."""
    ledger = make_ledger(SKILLS)
    odd = (ledger["model"] == "relu") & (ledger["seed"] == 1)
    ledger.loc[odd, column] = {"row_id": ledger["row_id"] + 1, "label": 1 - ledger["label"]}[column]
    with pytest.raises(BadInput) as raised:
        read_draws(ledger, "d", "test", 2)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith("datasets.d: relu with seed 1 was measured on other rows, or other labels")
    assert raised.value.remedy == "compare runs of the same data and split"


def test_a_run_that_lacks_a_row_is_refused() -> None:
    """Fewer rows are other rows."""
    ledger = make_ledger(SKILLS)
    with pytest.raises(BadInput, match="relu with seed 2 was measured on other rows"):
        read_draws(ledger.iloc[:-1], "d", "test", 2)
