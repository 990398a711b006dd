from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import Search, Trial, TrialState
from pipeline.figures.tuning import best_frame, budget_frame, draw_tuning, expected_best, worth
from tests.figures.making import UGLY_MODELS, assert_legible


def trial(number: int, value: float | None, state: TrialState = "complete", **keys: Any) -> Trial:
    given = {"params": {"width": 8, "lr": 0.01}, "steps": {}, "seconds": 0.5, "started_at": 0.0}
    return Trial(number=number, state=state, value=value, **{**given, **keys})


def search(model: str, values: list[float], **keys: Any) -> Search:
    trials = tuple(trial(number, value) for number, value in enumerate(values))
    given: dict[str, Any] = {
        "name": f"e/d/{model}",
        "dataset": "d",
        "model": model,
        "objective": "validation/log_loss",
        "minimizes": True,
        "storage": "sqlite:///optuna.db",
        "space": {"width": [4, 32], "lr": [0.001, 0.1, "log"]},
        "trials": trials,
        "best": min(trials, key=lambda one: one.value or 0.0),
        "importances": {"width": 0.3, "lr": 0.7},
        "edges": (),
    }
    return Search(**{**given, **keys})


@pytest.mark.parametrize("minimizes", [True, False])
def test_expected_best_is_the_mean_over_all_draws(minimizes: bool) -> None:
    """The curve is the mean of the best over every possible draw with replacement, ties and all."""
    values = np.array([3.0, 1.0, 1.0, 7.0])
    curve = expected_best(values, minimizes=minimizes)
    best = min if minimizes else max
    for count in (1, 2, 3, 4):
        draws = [best(draw) for draw in itertools.product(values, repeat=count)]
        assert curve[count - 1] == pytest.approx(np.mean(draws))


def test_stopped_trials_count_with_what_they_had_reached() -> None:
    """A pruned trial is worth its last value, a diverged one is worth nothing."""
    assert worth(trial(0, 0.4), minimizes=True) == 0.4
    assert worth(trial(0, None, "pruned", steps={3: 0.9, 9: 0.6}), minimizes=True) == 0.6
    assert worth(trial(0, None, "failed", steps={3: 0.9}, failure="diverged"), minimizes=True) == float("inf")
    assert worth(trial(0, None, "failed", failure="diverged"), minimizes=False) == float("-inf")


def test_budget_in_trials_and_in_seconds() -> None:
    """Seconds are so many times the mean of a trial; a diverged trial counts as the worst."""
    found = search("m", [0.5, 0.3, 0.4])
    found = replace(found, trials=(*found.trials, trial(3, None, "failed", failure="diverged", seconds=2.5)))
    frame = budget_frame([found])
    assert frame["trials"].tolist() == [1, 2, 3, 4]
    assert frame["seconds"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert frame["expected"].iloc[0] == pytest.approx(np.mean([0.5, 0.3, 0.4, 0.5]))
    assert frame["expected"].is_monotonic_decreasing


def test_place_of_the_best_is_on_the_scale_of_its_range() -> None:
    """Places run from 0 to 1: by ratio for a log range, by difference for a plain one, by order for choices."""
    space = {
        "width": [4, 32],
        "lr": [0.001, 0.1, "log"],
        "optimizer": ["SGD", "Adam", "AdamW"],
        "batch_size": [8, 16, None],
    }
    params = {"width": 18, "lr": 0.01, "optimizer": "Adam", "batch_size": None}
    best = trial(0, 0.1, params=params)
    frame = best_frame([search("m", [0.1], space=space, best=best, trials=(best,), importances={})]).set_index("key")
    assert frame["place"].to_dict() == pytest.approx({"width": 0.5, "lr": 0.5, "optimizer": 0.5, "batch_size": 1.0})
    assert frame["importance"].isna().all()


@pytest.mark.parametrize("importances", [{"width": 0.3, "lr": 0.7}, {}])
@pytest.mark.parametrize("values", [[0.5], [0.5, 0.3, 0.4, 0.2]])
def test_picture_of_one_to_eight_models(values: list[float], importances: dict[str, float]) -> None:
    """Four panels for any number of models and trials, also where importances are unknown."""
    for count in (1, 8):
        models = [f"model_{place}" for place in range(count)]
        searches = [search(model, values, importances=importances) for model in models]
        figure = draw_tuning(searches, models)
        figure.canvas.draw()
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == [
            "What a budget of trials buys",
            "What a budget of seconds buys",
            "Which hyperparameters matter",
            "Where the best lies",
        ]


def test_nothing_to_draw() -> None:
    """Searches of models that aren't in the experiment can't be drawn."""
    with pytest.raises(ValueError, match="has rows to draw"):
        draw_tuning([search("m", [0.1])], ["other"])


@pytest.mark.parametrize("longest", [0.011, 0.3, 2.0, 900.0])
def test_seconds_can_be_read(longest: float) -> None:
    """Whatever a search took, its axis of seconds has numbers that keep apart, written as people write them."""
    found = search("relu", [0.5, 0.3, 0.4])
    spent = [replace(one, seconds=seconds) for one, seconds in zip(found.trials, (0.01, 0.01, longest), strict=True)]
    figure = draw_tuning([replace(found, trials=tuple(spent))], ["relu"])
    assert_legible(figure)
    axis = figure.axes[1].xaxis
    low, high = axis.get_view_interval()
    shown = [text.get_text() for text in axis.get_ticklabels() if low <= text.get_position()[0] <= high]
    assert shown
    assert all(float(text) > 0 for text in shown)


def test_eight_models_keep_to_their_rows() -> None:
    """With eight models of long names every point of the best lies nearest to its own hyperparameter's row."""
    models = (*UGLY_MODELS, "a", "b", "c")
    figure = draw_tuning([search(model, [0.5, 0.3]) for model in models], models)
    assert_legible(figure)
    drawn = [np.asarray(points.get_offsets()) for points in figure.axes[3].collections]
    assert len(drawn) == 8
    assert all(points[:, 1].round().tolist() == [0, 1] for points in drawn)
