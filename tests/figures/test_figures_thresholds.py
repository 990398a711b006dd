from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from pipeline.figures.thresholds import MEASURES, draw_thresholds, threshold_frame
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_ledger, words

HALF = {"relu": (0.5, 0.5)}  # the interval of a fixed threshold


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_sklearn(n_classes: int) -> None:
    """Scores at every threshold equal sklearn's for the rows above it, undefined ones NaN."""
    ledger = make_ledger(["relu"], n_classes=n_classes, n_seeds=2)
    ledger["p_1"] = ledger["p_1"].round(1)  # so that thresholds and probabilities tie
    names = [f"class {label}" for label in range(n_classes)]
    frame = threshold_frame(ledger, names, "test", points=11).set_index(["seed", "class", "threshold"])
    assert len(frame) == 2 * 11 * (1 if n_classes == 2 else 3)
    for (seed, name, threshold), row in frame.iterrows():
        label = names.index(name)
        rows = ledger[(ledger["seed"] == seed) & (ledger["split"] == "test")]
        truth, positive = rows["label"] == label, rows[f"p_{label}"] > threshold
        assert row["accuracy"] == pytest.approx(accuracy_score(truth, positive))
        for score, measure in ((precision_score, "precision"), (recall_score, "recall"), (f1_score, "f1")):
            assert row[measure] == pytest.approx(score(truth, positive, zero_division=np.nan), nan_ok=True)


def test_thresholds_span_nought_to_one() -> None:
    """There are 201 thresholds from 0 to 1 unless told otherwise, and at 0 every row is positive."""
    frame = threshold_frame(make_ledger(["relu"], n_seeds=1), ["no", "yes"], "test")
    assert np.allclose(frame["threshold"], np.linspace(0, 1, 201))
    assert frame["recall"].iloc[0] == 1


def test_lines_show_the_chosen_seed() -> None:
    """The lines of a panel are the representative seed's scores."""
    frame = threshold_frame(make_ledger(["relu"]), ["no", "yes"], "test", points=21)
    figure = draw_thresholds(frame, ["relu"], ["no", "yes"], seeds={"relu": 2}, intervals=HALF, part="test")
    lines = figure.axes[0].lines[-len(MEASURES) :]
    for line, measure in zip(lines, MEASURES, strict=True):
        assert np.array_equal(line.get_ydata(), frame.loc[frame["seed"] == 2, measure], equal_nan=True)


def test_the_upright_line_is_the_chosen_seeds_threshold() -> None:
    """The dashed line stands at the threshold in the ledger of the seed that is drawn, on its interval as a band."""
    ledger = make_ledger(["relu"], threshold=0.2)
    ledger.loc[ledger["seed"] == 2, "threshold"] = 0.3
    frame = threshold_frame(ledger, ["no", "yes"], "test", points=21)
    intervals = {"relu": (0.25, 0.5)}
    figure = draw_thresholds(frame, ["relu"], ["no", "yes"], seeds={"relu": 2}, intervals=intervals, part="test")
    (axes,) = figure.axes
    (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed.get_xdata() == [0.3, 0.3]
    assert axes.patches[0].get_bbox().intervalx.tolist() == [0.25, 0.5]
    assert "line: seed 2\nthreshold 0.3 (0.25 to 0.5)" in words(figure)


def test_a_fixed_threshold_has_no_band() -> None:
    """At 0.5, or fixed anywhere else, there is a line without a band; only the unusual one is written out."""
    for threshold, said in ((0.5, "line: seed 0"), (0.3, "line: seed 0\nthreshold 0.3")):
        frame = threshold_frame(make_ledger(["relu"], threshold=threshold), ["no", "yes"], "test", points=21)
        intervals = {"relu": (threshold, threshold)}
        figure = draw_thresholds(frame, ["relu"], ["no", "yes"], seeds={"relu": 0}, intervals=intervals, part="test")
        assert not figure.axes[0].patches
        assert said in words(figure)


@pytest.mark.parametrize(
    ("models", "classes", "n_seeds"),
    [
        (("relu",), ("no", "yes"), 1),
        (tuple(f"model {place}" for place in range(8)), ("no", "yes"), 2),
        (("linear", "relu"), tuple(f"digit {digit}" for digit in range(10)), 2),
        (("relu",), tuple(f"digit {digit}" for digit in range(7)), 1),
        (UGLY_MODELS, UGLY_CLASSES, 2),
    ],
)
def test_labels_dont_overlap(models: tuple[str, ...], classes: tuple[str, ...], n_seeds: int) -> None:
    """All texts can be read with one model, eight models, seven or ten classes, and long or odd names."""
    ledger = make_ledger(models, n_classes=len(classes), n_seeds=n_seeds, threshold=0.321)
    frame = threshold_frame(ledger, classes, "test", points=21)
    seeds, intervals = dict.fromkeys(models, 0), dict.fromkeys(models, (0.2, 0.4))
    figure = draw_thresholds(frame, models, classes, seeds=seeds, intervals=intervals, part="test")
    assert len(figure.axes) == len(models) * (1 if len(classes) == 2 else len(classes))
    assert figure.axes[0].get_subplotspec().get_gridspec().ncols <= 5
    assert_legible(figure)


def test_a_diverged_model_is_named() -> None:
    """A model without a finished run is named above the panels of the others."""
    frame = threshold_frame(make_ledger(["relu"]), ["no", "yes"], "test", points=5)
    figure = draw_thresholds(frame, ["linear", "relu"], ["no", "yes"], seeds={"relu": 0}, intervals=HALF, part="test")
    assert "no finished run of linear" in figure.get_suptitle()
