from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import classification_report

from pipeline.figures.classes import MACRO, SCORES, class_frame, draw_classes
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_ledger, words


def test_scores_are_those_of_sklearn() -> None:
    """Scores and support equal sklearn's classification report for every class, model and seed, and for the mean."""
    ledger = make_ledger(n_classes=3)
    frame = class_frame(ledger, ["a", "b", "c"], "test").set_index(["model", "seed", "class"])
    assert len(frame) == 2 * 3 * 4
    for (model, seed), rows in ledger[ledger["split"] == "test"].groupby(["model", "seed"]):
        predicted = rows[["p_0", "p_1", "p_2"]].to_numpy().argmax(axis=1)
        report = classification_report(rows["label"], predicted, target_names=["a", "b", "c"], output_dict=True)
        for name, key in (("a", "a"), ("b", "b"), ("c", "c"), (MACRO, "macro avg")):
            mine = frame.loc[(model, seed, name)]
            assert np.allclose(
                mine[list(SCORES)].astype(float), [report[key][s] for s in ("precision", "recall", "f1-score")]
            )
            assert mine["support"] == report[key]["support"]


def test_rows_are_scored_at_their_runs_threshold() -> None:
    """Of two classes, scores are sklearn's for the labels at the threshold in the ledger."""
    ledger = make_ledger(["relu"], n_seeds=1, threshold=0.8)
    rows = ledger[ledger["split"] == "test"]
    report = classification_report(rows["label"], rows["p_1"] > 0.8, target_names=["no", "yes"], output_dict=True)
    frame = class_frame(ledger, ["no", "yes"], "test").set_index("class")
    assert frame["f1"].tolist() == pytest.approx([report[key]["f1-score"] for key in ("no", "yes", "macro avg")])


def test_a_class_never_predicted_scores_nought() -> None:
    """A class that is never predicted has precision 0, without a warning."""
    ledger = make_ledger(["relu"], n_seeds=1).assign(p_0=0.9, p_1=0.1)
    frame = class_frame(ledger, ["no", "yes"], "test").set_index("class")
    assert frame.loc["yes", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]


def test_points_are_means_and_whiskers_extremes() -> None:
    """A point stands at the mean of the seeds; its whisker goes from the lowest seed to the highest."""
    frame = class_frame(make_ledger(["relu"]), ["no", "yes"], "test")
    figure = draw_classes(frame, ["relu"], part="test")
    for axes, score in zip(figure.axes, SCORES, strict=True):
        values = frame.groupby("class", sort=False)[score]
        points, _, (whiskers,) = axes.containers[0].lines
        assert np.allclose(points.get_xdata(), values.mean())
        ends = np.array([segment[:, 0] for segment in whiskers.get_segments()])
        assert np.allclose(ends, np.stack([values.min(), values.max()], axis=1))
        assert axes.get_xlim()[0] < ends.min()


@pytest.mark.parametrize(
    ("models", "classes", "n_seeds"),
    [
        (("relu",), ("no", "yes"), 1),
        (tuple(f"model {place}" for place in range(8)), tuple(f"digit {digit}" for digit in range(10)), 2),
        (UGLY_MODELS, UGLY_CLASSES, 2),
    ],
)
def test_labels_dont_overlap(models: tuple[str, ...], classes: tuple[str, ...], n_seeds: int) -> None:
    """All texts can be read with one model, eight models, ten classes, and long or odd names."""
    ledger = make_ledger(models, n_classes=len(classes), n_seeds=n_seeds)
    assert_legible(draw_classes(class_frame(ledger, classes, "test"), models, part="test"))


def test_a_diverged_model_is_named() -> None:
    """A model without a finished run is named above the panels."""
    frame = class_frame(make_ledger(["relu"]), ["no", "yes"], "test")
    assert any(
        "no finished run of linear" in text for text in words(draw_classes(frame, ["linear", "relu"], part="test"))
    )
