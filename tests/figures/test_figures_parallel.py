from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from pipeline.artifacts import Search
from pipeline.figures.palette import rank_colours
from pipeline.figures.parallel import draw_parallel, parallel_frame
from tests.figures.making import UGLY_MODELS, assert_legible, words
from tests.figures.test_figures_tuning import search, trial

SPACE = {"width": [4, 32], "lr": [0.001, 0.1, "log"], "activation": ["relu", "tanh", "elu"]}


def searched(model: str = "relu", count: int = 4, **keys: Any) -> Search:
    """A search whose last trial was stopped; the value of the others rises with their number."""
    random = np.random.default_rng(0)
    trials = []
    for number in range(count):
        params = {"width": 4 + number % 29, "lr": 10 ** random.uniform(-3, -1), "activation": SPACE["activation"][0]}
        trials.append(trial(number, 0.1 * (number + 1), params=params))
    trials[-1] = replace(trials[-1], value=None, state="pruned")
    return search(model, [0.0], **{"space": SPACE, "trials": tuple(trials), "best": trials[0], **keys})


def lines(axes: Axes, *, stopped: bool = False) -> LineCollection:
    """The trials without final value, or those with one."""
    grey, ranked = [made for made in axes.collections if isinstance(made, LineCollection)][-2:]
    return grey if stopped else ranked


def test_places_are_those_of_the_space() -> None:
    """Values lie in their ranges, logarithmically where the space says so, and choices side by side."""
    params = {"width": 18, "lr": 0.01, "activation": "tanh"}
    found = searched(trials=(trial(0, 0.5, params=params),), best=trial(0, 0.5, params=params))
    places = parallel_frame([found]).set_index("axis")["place"]
    assert places.drop("validation/log_loss").to_dict() == pytest.approx({"width": 0.5, "lr": 0.5, "activation": 0.5})


@pytest.mark.parametrize(("minimizes", "order"), [(True, [1, 0, 2]), (False, [2, 0, 1])])
def test_the_best_is_at_the_top(minimizes: bool, order: list[int]) -> None:
    """The objective's axis runs from the worst value to the best, and ranks begin with the best."""
    found = search("relu", [0.5, 0.3, 0.9], minimizes=minimizes)
    frame = parallel_frame([found]).query("axis == 'validation/log_loss'").sort_values("rank")
    assert frame["trial"].tolist() == order
    assert frame["place"].tolist() == pytest.approx([1, 2 / 3 if minimizes else 1 / 3, 0])


def test_a_wide_objective_is_logarithmic() -> None:
    """Values a factor of 100 and more apart are placed by their logarithm, and the axis says so."""
    found = search("relu", [0.001, 0.01, 1.0])
    frame = parallel_frame([found]).query("axis == 'validation/log_loss'").sort_values("rank")
    assert frame["place"].tolist() == pytest.approx([1, 2 / 3, 0])
    assert "log loss\nlogarithmic" in words(draw_parallel([found], ["relu"]))


def test_equal_values_have_one_place() -> None:
    """Trials of one value stand in the middle, and the one that the search calls best has rank 1."""
    found = search("relu", [0.5, 0.5, 0.5])
    found = replace(found, best=found.trials[2])
    frame = parallel_frame([found]).query("axis == 'validation/log_loss'")
    assert frame["place"].unique().tolist() == [0.5]
    assert frame.set_index("trial")["rank"].to_dict() == {2: 1, 0: 2, 1: 3}


def test_stopped_trials_end_before_the_objective() -> None:
    """A trial without final value has no rank and no place on the last axis; its line is grey and thin."""
    found = searched()
    frame = parallel_frame([found])
    assert frame.loc[frame["trial"] == 3, "rank"].isna().all()
    assert set(frame.loc[frame["trial"] == 3, "axis"]) == set(SPACE)
    grey = lines(draw_parallel([found], ["relu"]).axes[0], stopped=True)
    (path,) = grey.get_paths()
    assert np.isnan(path.vertices[:, 1]).tolist() == [False, False, False, True]
    assert grey.get_linewidths()[0] < lines(draw_parallel([found], ["relu"]).axes[0]).get_linewidths()[0]


def test_the_best_line_is_bold_and_on_top() -> None:
    """Lines go through the places of their trials, worst first; the best is bold and has the best colour."""
    found = searched()
    (axes,) = draw_parallel([found], ["relu"]).axes
    frame, drawn = parallel_frame([found]), lines(axes)
    for number, path in zip((2, 1, 0), drawn.get_paths(), strict=True):
        places = frame[frame["trial"] == number].set_index("axis")["place"]
        assert path.vertices[:, 1].tolist() == pytest.approx(places[[*SPACE, "validation/log_loss"]].tolist())
    (best,) = axes.lines
    assert np.array_equal(best.get_xydata(), path.vertices)
    assert best.get_linewidth() > max(drawn.get_linewidths())
    assert best.get_color() == rank_colours(np.array([1.0, 2.0]))[0]


def test_what_a_trial_lacks_is_left_out() -> None:
    """A hyperparameter that a trial doesn't have makes a gap in its line, and no value."""
    found = search("relu", [0.5])
    bare = replace(found.trials[0], params={"lr": 0.01})
    found = replace(found, trials=(bare, trial(1, 0.7)), best=bare)
    assert "width" not in set(parallel_frame([found]).query("trial == 0")["axis"])
    drawn = lines(draw_parallel([found], ["relu"]).axes[0])
    assert math.isnan(drawn.get_paths()[-1].vertices[0, 1])


def test_words_name_the_best() -> None:
    """A panel says which trial was best, with its value, and writes its hyperparameters out."""
    said = words(draw_parallel([searched()], ["linear", "relu"]))
    assert "best: trial 0, log loss 0.1; 4 trials, 1 stopped or failed" in said
    assert {"4", "32", "relu", "tanh", "elu"} <= set(said)
    assert any("no search of linear" in text for text in said)


@pytest.mark.parametrize(
    ("models", "count"), [(("relu",), 2), (("linear", "relu"), 20), ((*UGLY_MODELS, "a", "b", "c"), 200)]
)
def test_labels_dont_overlap(models: tuple[str, ...], count: int) -> None:
    """All texts can be read with one model and few trials, and with eight models, many trials and long names."""
    assert_legible(draw_parallel([searched(model, count) for model in models], models))


def test_many_hyperparameters_stay_legible() -> None:
    """All texts can be read with every hyperparameter that can be searched."""
    more = {
        "depth": [1, 3],
        "epochs": [100, 1000, "log"],
        "optimizer": ["SGD", "Adam", "AdamW"],
        "momentum": [0.0, 0.9],
    }
    space = {**SPACE, **more, "batch_size": [16, 32, None], "weight_decay": [1e-6, 0.1, "log"]}
    params = {"depth": 2, "epochs": 300, "optimizer": "SGD", "momentum": 0.5, "batch_size": None, "weight_decay": 1e-3}
    found = searched()
    trials = tuple(replace(one, params={**one.params, **params}) for one in found.trials)
    assert_legible(draw_parallel([replace(found, space=space, trials=trials, best=trials[0])], ["relu"]))


def test_no_searches_make_no_picture() -> None:
    """Without searches there is nothing to draw, which is an error."""
    with pytest.raises(ValueError, match="none of"):
        draw_parallel([], ["relu"])
