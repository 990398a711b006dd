from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.figures.canvas import MOST_LINES
from pipeline.figures.roc import MARKED, MOST_SPREAD, auc_frame, band_frame, draw_roc, roc_frame
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_ledger, words


def rates(labels: pd.Series[int], scores: pd.Series[float], threshold: float) -> tuple[float, float]:
    """False and true positive rate, counted row by row."""
    positive = scores >= threshold
    return float(positive[labels == 0].mean()), float(positive[labels == 1].mean())


def test_rates_are_counted_rates() -> None:
    """At every threshold of a curve the rates are those of the rows with at least that probability."""
    ledger = make_ledger(["relu"], n_seeds=1)
    test = ledger[ledger["split"] == "test"]
    frame = roc_frame(ledger, ["no", "yes"], "test")
    assert set(test["p_1"]) <= set(frame["threshold"])
    for row in frame.itertuples():
        assert (row.fpr, row.tpr) == pytest.approx(rates(test["label"], test["p_1"], row.threshold))


def test_areas_are_those_of_sklearn() -> None:
    """Areas equal sklearn's for every model, seed and class against the rest."""
    ledger = make_ledger(n_classes=3)
    areas = auc_frame(roc_frame(ledger, ["a", "b", "c"], "test")).set_index(["model", "seed", "class"])["auc"]
    for (model, seed), rows in ledger[ledger["split"] == "test"].groupby(["model", "seed"]):
        for label, name in enumerate("abc"):
            assert areas[model, seed, name] == pytest.approx(roc_auc_score(rows["label"] == label, rows[f"p_{label}"]))


def test_dots_stand_at_their_thresholds() -> None:
    """The dot of a threshold stands where the rows of at least that probability are called positive."""
    ledger = make_ledger(["relu"])
    figure = draw_roc(roc_frame(ledger, ["no", "yes"], "test"), ["relu"], ["no", "yes"], seeds={"relu": 1}, part="test")
    dots = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    rows = ledger[(ledger["seed"] == 1) & (ledger["split"] == "test")]
    assert np.allclose(dots.get_xydata(), [rates(rows["label"], rows["p_1"], threshold) for threshold in MARKED])


def test_dots_on_ties_count_the_tied_rows() -> None:
    """Rows at exactly the threshold are positive: with all probabilities at 0.5, its dot is the upper corner."""
    ledger = make_ledger(["relu"], n_seeds=1).assign(p_0=0.5, p_1=0.5)
    figure = draw_roc(roc_frame(ledger, ["no", "yes"], "test"), ["relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    dots = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert dots.get_xydata().tolist() == [[1, 1], [1, 1], [1, 1], [0, 0], [0, 0]]
    assert {"0.1–0.5", "0.75–0.9"} <= set(words(figure))
    assert_legible(figure)


def test_the_ring_stands_where_the_labels_are_made() -> None:
    """The ring is at the rates of the chosen seed's own labels, with its threshold beside it; 0.5 needs no ring."""
    ledger = make_ledger(["relu"], threshold=0.321)
    seeds = {"relu": 1}
    figure = draw_roc(roc_frame(ledger, ["no", "yes"], "test"), ["relu"], ["no", "yes"], seeds=seeds, part="test")
    (ring,) = [line for line in figure.axes[0].lines if line.get_color() == "white"]
    rows = ledger[(ledger["seed"] == 1) & (ledger["split"] == "test")]
    assert ring.get_xydata().ravel().tolist() == pytest.approx(rates(rows["label"], rows["p_1"], 0.321))
    assert "0.321" in words(figure)
    usual = roc_frame(ledger.assign(threshold=0.5), ["no", "yes"], "test")
    figure = draw_roc(usual, ["relu"], ["no", "yes"], seeds=seeds, part="test")
    assert not [line for line in figure.axes[0].lines if line.get_color() == "white"]


def test_a_row_at_the_threshold_is_not_in_the_ring() -> None:
    """A row at exactly the threshold is labelled 0, so the ring leaves it out."""
    ledger = make_ledger(["relu"], n_seeds=1, threshold=0.3)
    ledger["p_1"] = ledger["p_1"].round(1)
    frame = roc_frame(ledger, ["no", "yes"], "test")
    figure = draw_roc(frame, ["relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    (ring,) = [line for line in figure.axes[0].lines if line.get_color() == "white"]
    rows = ledger[ledger["split"] == "test"]
    assert 0.3 in set(rows["p_1"])
    assert ring.get_xydata().ravel().tolist() == pytest.approx(rates(rows["label"], rows["p_1"], 0.35))


def test_a_class_without_rows_has_no_curve() -> None:
    """A class that no test row belongs to has no curve and a dash for its area."""
    ledger = make_ledger(["relu"], n_classes=3, n_seeds=1).query("label != 1")
    frame = roc_frame(ledger, ["a", "b", "c"], "test")
    assert set(frame["class"]) == {"a", "c"}
    figure = draw_roc(frame, ["relu"], ["a", "b", "c"], seeds={"relu": 0}, part="test")
    assert "b:  –" in words(figure)


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
    frame = roc_frame(make_ledger(models, n_classes=len(classes), n_seeds=2, threshold=0.123), classes, "test")
    assert_legible(draw_roc(frame, models, classes, seeds=dict.fromkeys(models, 0), part="test"))


def test_bunched_probabilities_stay_legible() -> None:
    """A network that hardly leaves 0.5, as a linear one does on circles, gets labels that can be read."""
    ledger = make_ledger(["linear"], n_seeds=2)
    ledger["p_1"] = 0.5 + (ledger["p_1"] - 0.55) * 0.05
    frame = roc_frame(ledger, ["no", "yes"], "test")
    assert_legible(draw_roc(frame, ["linear"], ["no", "yes"], seeds={"linear": 0}, part="test"))


def test_a_diverged_model_is_named() -> None:
    """A model without a finished run is named above the curves of the others."""
    frame = roc_frame(make_ledger(["relu"]), ["no", "yes"], "test")
    figure = draw_roc(frame, ["linear", "relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    assert "no finished run of linear" in figure.get_suptitle()


def test_bands_are_percentiles_of_the_curves() -> None:
    """At every false positive rate a band reaches from the 10th to the 90th percentile of the seeds' curves."""
    frame = roc_frame(make_ledger(["relu"], n_seeds=12), ["no", "yes"], "test")
    band = band_frame(frame).set_index("fpr")
    for rate in (0.0, 0.25, 0.5, 1.0):
        reached = [curve.loc[curve["fpr"] <= rate + 1e-12, "tpr"].max() for _, curve in frame.groupby("seed")]
        assert band.loc[rate, ["low", "high"]].to_list() == pytest.approx(list(np.quantile(reached, [0.1, 0.9])))


@pytest.mark.parametrize(("n_classes", "bands"), [(2, 1), (MOST_SPREAD, MOST_SPREAD), (MOST_SPREAD + 1, 0)])
def test_many_seeds_become_a_band(n_classes: int, bands: int) -> None:
    """From twenty other seeds on each class has a band in place of their lines, but not of many classes."""
    names = list("abcdefgh")[:n_classes]
    frame = roc_frame(make_ledger(["relu"], n_classes=n_classes, n_seeds=MOST_LINES + 1), names, "test")
    figure = draw_roc(frame, ["relu"], names, seeds={"relu": 0}, part="test")
    assert len(figure.axes[0].collections) == bands
    assert len([line for line in figure.axes[0].lines if line.get_alpha()]) == 0
    assert ("bands: their middle 80 %" in figure.get_suptitle()) == (bands > 0)


def test_few_seeds_are_lines() -> None:
    """With twenty seeds the nineteen others are pale lines."""
    frame = roc_frame(make_ledger(["relu"], n_seeds=MOST_LINES), ["no", "yes"], "test")
    figure = draw_roc(frame, ["relu"], ["no", "yes"], seeds={"relu": 0}, part="test")
    assert len([line for line in figure.axes[0].lines if line.get_alpha()]) == MOST_LINES - 1
    assert not figure.axes[0].collections
