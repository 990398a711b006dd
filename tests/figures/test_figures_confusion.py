from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from pipeline.figures.confusion import confusion_frame, draw_confusion
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_ledger, words


def test_counts_are_those_of_sklearn() -> None:
    """Counts equal sklearn's confusion matrix for every model and seed, with the truth down."""
    ledger = make_ledger(n_classes=3)
    frame = confusion_frame(ledger, ["a", "b", "c"], "test")
    test = ledger[ledger["split"] == "test"]
    for (model, seed), rows in test.groupby(["model", "seed"]):
        expected = confusion_matrix(rows["label"], rows[["p_0", "p_1", "p_2"]].to_numpy().argmax(axis=1))
        mine = frame[(frame["model"] == model) & (frame["seed"] == seed)]
        square = mine.pivot_table(index="truth", columns="predicted", values="count")
        assert np.array_equal(square, expected)
        shares = mine.pivot_table(index="truth", columns="predicted", values="share")
        assert np.allclose(shares, expected / expected.sum(axis=1, keepdims=True))


def test_rows_are_counted_at_their_runs_threshold() -> None:
    """Of two classes, counts are sklearn's for the labels at the threshold in the ledger."""
    ledger = make_ledger(["relu"], n_seeds=1, threshold=0.8)
    test = ledger[ledger["split"] == "test"]
    frame = confusion_frame(ledger, ["no", "yes"], "test")
    assert frame["count"].tolist() == confusion_matrix(test["label"], test["p_1"] > 0.8).ravel().tolist()


def test_a_class_without_rows_has_no_shares() -> None:
    """Shares of a class that no row belongs to are NaN, drawn as a dash."""
    ledger = make_ledger(["relu"], n_classes=3, n_seeds=1).query("label != 1")
    frame = confusion_frame(ledger, ["a", "b", "c"], "test")
    assert frame.loc[frame["truth"] == "b", "share"].isna().all()
    assert frame.loc[frame["truth"] == "b", "count"].sum() == 0
    figure = draw_confusion(frame, ["relu"], ["a", "b", "c"], seeds={"relu": 0}, part="test")
    assert words(figure).count("–") == 3


def test_cells_show_the_chosen_seed() -> None:
    """The numbers in the cells are the representative seed's counts and percentages, row by row."""
    ledger = make_ledger(["relu"])
    frame = confusion_frame(ledger, ["no", "yes"], "test")
    figure = draw_confusion(frame, ["relu"], ["no", "yes"], seeds={"relu": 2}, part="test")
    counts, shares = ([text.get_text() for text in axes.texts[:4]] for axes in figure.axes)
    mine = frame[frame["seed"] == 2]
    assert counts == [str(count) for count in mine["count"]]
    assert shares == [f"{100 * share:.0f}" for share in mine["share"]]
    assert "seed 2: counts of test rows" in words(figure)


def test_percentages_keep_nought_and_hundred_for_themselves() -> None:
    """One row among a thousand is shown as <1 %, and the others as >99 %."""
    cells = {"truth": ["a", "a", "b", "b"], "predicted": ["a", "b", "a", "b"], "count": [999, 1, 0, 5]}
    frame = pd.DataFrame({"model": "m", "seed": 0} | cells | {"share": [0.999, 0.001, 0.0, 1.0]})
    drawn = words(draw_confusion(frame, ["m"], ["a", "b"], seeds={"m": 0}, part="test"))
    assert {">99", "<1", "0", "100"} <= set(drawn)


@pytest.mark.parametrize(
    ("models", "classes"),
    [
        (("relu",), ("no", "yes")),
        (tuple(f"model {place}" for place in range(8)), ("no", "yes")),
        (("linear", "relu"), tuple(f"digit {digit}" for digit in range(10))),
        (UGLY_MODELS, UGLY_CLASSES),
    ],
)
def test_labels_dont_overlap(models: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """All texts can be read with one model, eight models, ten classes, and long or odd names."""
    frame = confusion_frame(make_ledger(models, n_classes=len(classes), n_seeds=1), classes, "test")
    assert_legible(draw_confusion(frame, models, classes, seeds=dict.fromkeys(models, 0), part="test"))


def test_a_diverged_model_is_named() -> None:
    """A model without a finished run is named above the matrices of the others."""
    frame = confusion_frame(make_ledger(["relu"]), ["no", "yes"], "test")
    figure = draw_confusion(frame, ["linear", "relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    assert "no finished run of linear" in words(figure)
    with pytest.raises(ValueError, match="rows to draw"):
        draw_confusion(frame, ["linear"], ["no", "yes"], seeds={}, part="test")
