from __future__ import annotations

import numpy as np
import pytest

from pipeline.artifacts import EvaluatedModel, History, Network, Threshold, TrainedModel
from pipeline.stages.split import SplitSpec, split
from pipeline.tracking.records import evaluation_record, kept_epochs
from tests.making import dataset


def history(epochs: int, best: int) -> History:
    losses = np.abs(np.arange(epochs) - best).astype(float)
    return History(losses, losses, losses, losses)


@pytest.mark.parametrize(
    ("epochs", "points", "step"),
    [(12, 100, 1), (100, 100, 1), (101, 100, 2), (1000, 100, 10), (1000, 250, 5), (7, 2, 5)],
)
def test_curves_are_thinned_evenly(epochs: int, points: int, step: int) -> None:
    """Epochs are kept at a round step that leaves at most the asked number, and the last and the best come on top."""
    kept = kept_epochs(history(epochs, best=epochs // 2 + 1), points)
    assert kept == sorted({*range(0, epochs, step), epochs // 2 + 1, epochs - 1})
    assert len(kept) <= points + 2


def test_short_curve_of_a_diverged_run_is_kept_as_it_is() -> None:
    """A run that diverged at once has no epochs to keep, and that is no error; NaN is never the best."""
    assert kept_epochs(history(0, 0), 100) == []
    unwatched = History(np.ones(3), np.ones(3), np.full(3, np.nan), np.full(3, np.nan))
    assert kept_epochs(unwatched, 2) == [0, 2]


@pytest.mark.parametrize("reached", [True, False])
def test_a_goal_out_of_reach_is_told(reached: bool) -> None:
    """A run in which no threshold reaches the goal carries a tag and a note; the threshold itself is logged anyway."""
    trained = TrainedModel("d", "m", 0, {}, Network("relu", (), ()), history(3, 1), "", 0.0, 0.0)
    threshold = Threshold(0.8, 0.6, 0.9, "precision>=0.95", reached, 0.7)
    moons = split(dataset(make="moons"), SplitSpec())
    metrics = {"accuracy": 0.9, "best/validation_loss": 0.0, "best/epoch": 1.0}
    record = evaluation_record(EvaluatedModel(trained, metrics, threshold=threshold), moons)
    logged = {point.key: point.value for point in record.metrics if point.key.startswith("threshold")}
    assert logged == {
        "threshold": 0.8,
        "threshold_low": 0.6,
        "threshold_high": 0.9,
        "threshold_validation_score": 0.7,
    }
    assert record.tags.get("photofinish.threshold_reached") == (None if reached else "false")
    assert ("precision>=0.95" in record.tags["mlflow.note.content"]) is not reached
    assert {point.step for point in record.metrics} == {0}  # the UI draws these as bars, and others as curves
