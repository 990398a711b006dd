from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from pipeline.figures.calibration import BINS, calibration_frame, draw_calibration
from pipeline.figures.canvas import MOST_LINES
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_ledger, words


def test_points_are_those_of_sklearn() -> None:
    """Bins of class 1's probability have sklearn's mean probabilities and shares, with every row counted once."""
    ledger = make_ledger(n_rows=300)
    ledger["p_1"] = ledger["p_1"].round(1)  # onto the edges of bins
    frame = calibration_frame(ledger, ["no", "yes"], "test")
    for (model, seed), rows in ledger[ledger["split"] == "test"].groupby(["model", "seed"]):
        own = frame[(frame["model"] == model) & (frame["seed"] == seed)]
        observed, predicted = calibration_curve(rows["label"], rows["p_1"], n_bins=BINS)
        assert own["observed"].to_numpy() == pytest.approx(observed)
        assert own["predicted"].to_numpy() == pytest.approx(predicted)
        assert own["rows"].sum() == len(rows)


def test_of_more_classes_the_predicted_one_counts() -> None:
    """With three classes a bin holds the highest probabilities, and how often that class was right."""
    ledger = make_ledger(["relu"], n_classes=3, n_seeds=1, n_rows=300)
    frame, test = calibration_frame(ledger, ["a", "b", "c"], "test"), ledger[ledger["split"] == "test"]
    table = test[["p_0", "p_1", "p_2"]].to_numpy()
    observed, predicted = calibration_curve(table.argmax(axis=1) == test["label"], table.max(axis=1), n_bins=BINS)
    assert frame["observed"].to_numpy() == pytest.approx(observed)
    assert frame["predicted"].to_numpy() == pytest.approx(predicted)


def test_intervals_are_those_of_scipy() -> None:
    """Each share's interval is scipy's Wilson interval, at shares of 0 and 1 as well, and holds the share."""
    frame = calibration_frame(make_ledger(n_rows=200), ["no", "yes"], "test")
    assert {0.0, 1.0} <= set(frame["observed"])
    for row in frame.itertuples():
        expected = binomtest(round(row.observed * row.rows), row.rows).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert row.low <= row.observed <= row.high


@pytest.mark.parametrize("n_classes", [2, 3])
def test_brier_scores_are_those_of_sklearn(n_classes: int) -> None:
    """A run's Brier score is sklearn's for two classes, and the sum of each class's against the rest for more."""
    ledger = make_ledger(["relu"], n_classes=n_classes, n_seeds=1)
    test = ledger[ledger["split"] == "test"]
    labels = [1] if n_classes == 2 else range(n_classes)
    expected = sum(brier_score_loss(test["label"] == label, test[f"p_{label}"]) for label in labels)
    frame = calibration_frame(ledger, list("abc")[:n_classes], "test")
    assert frame["brier"].unique() == pytest.approx([expected])


def test_drawn_are_the_points_of_the_chosen_seed() -> None:
    """The strong points and their intervals are the representative seed's, the numbers under them its rows."""
    frame = calibration_frame(make_ledger(["relu"]), ["no", "yes"], "test")
    figure = draw_calibration(frame, ["relu"], ["no", "yes"], seeds={"relu": 2}, part="test")
    own = frame[frame["seed"] == 2]
    strong = figure.axes[0].collections[-1]
    assert np.allclose(strong.get_offsets(), own[["predicted", "observed"]])
    (whiskers,) = (made for made in figure.axes[0].collections if isinstance(made, LineCollection))
    assert np.allclose([ends[:, 1] for ends in whiskers.get_segments()], own[["low", "high"]])
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text().isdigit()] == [
        str(count) for count in own["rows"]
    ]


def test_many_seeds_become_a_band() -> None:
    """From twenty other seeds on there is one band, of the middle 80 % in each bin that half of the seeds have."""
    ledger = make_ledger(["relu"], n_seeds=MOST_LINES + 1, n_rows=600)
    alone = (ledger["seed"] == 3) & (ledger["row_id"] == 1)
    ledger["p_1"] = ledger["p_1"].clip(upper=0.85).mask(alone, 0.95)
    frame = calibration_frame(ledger, ["no", "yes"], "test")
    figure = draw_calibration(frame, ["relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    (band,) = (made for made in figure.axes[0].collections if isinstance(made, PolyCollection))
    corners = band.get_paths()[0].vertices
    others = frame[(frame["seed"] != 0) & (frame["bin"] == 4)]
    expected = others["observed"].quantile([0.1, 0.9])
    at = corners[np.isclose(corners[:, 0], others["predicted"].mean())]
    assert sorted({round(y, 9) for y in at[:, 1]}) == pytest.approx(expected.to_list())
    assert corners[:, 0].max() < 0.9  # a tenth that one seed alone has makes no band
    assert f"middle 80 % of {MOST_LINES + 1} seeds" in words(figure)


@pytest.mark.parametrize("n_seeds", [2, MOST_LINES + 1])
@pytest.mark.parametrize(
    ("models", "classes"),
    [
        (("relu",), ("no", "yes")),
        (tuple(f"model {place}" for place in range(8)), ("0", "1")),
        (("linear", "relu"), tuple(f"digit {digit}" for digit in range(10))),
        (UGLY_MODELS, UGLY_CLASSES),
        (UGLY_MODELS, UGLY_CLASSES[:2]),
    ],
)
def test_labels_dont_overlap(models: tuple[str, ...], classes: tuple[str, ...], n_seeds: int) -> None:
    """All texts can be read with one model, eight models, ten classes, and long or odd names."""
    frame = calibration_frame(make_ledger(models, n_classes=len(classes), n_seeds=n_seeds), classes, "test")
    assert_legible(draw_calibration(frame, models, classes, seeds=dict.fromkeys(models, 0), part="test"))


def test_a_diverged_model_is_named() -> None:
    """A model without a finished run is named above the points of the others."""
    frame = calibration_frame(make_ledger(["relu"]), ["no", "yes"], "test")
    figure = draw_calibration(frame, ["linear", "relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    assert "no finished run of linear" in figure.get_suptitle()


def test_millions_of_rows_have_short_numbers() -> None:
    """Counts under a panel stay narrower than their bars."""
    frame = calibration_frame(make_ledger(["relu"], n_seeds=1), ["no", "yes"], "test")
    many = frame.assign(rows=frame["rows"] * 9_999)
    assert_legible(draw_calibration(many, ["relu"], ["no", "yes"], seeds={"relu": 0}, part="test"))
