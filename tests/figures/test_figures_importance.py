from __future__ import annotations

import numpy as np
import pytest

from pipeline.artifacts import Floats
from pipeline.figures.importance import MOST_FEATURES, draw_importance, importance_frame, shared_importance
from pipeline.figures.palette import model_colours
from tests.figures.making import UGLY_MODELS, assert_legible, words


def losses(models: int = 2, features: int = 5) -> dict[str, Floats]:
    """The second feature matters most to the first model, the third to the second, and so on; one in five harms."""
    random = np.random.default_rng(0)
    return {
        name: random.uniform(0.1, 0.2, (features, 5)) * np.where(np.arange(features) % 5 == place, 4, 0.5)[:, None]
        - np.where(np.arange(features) % 5 == 4, 0.1, 0)[:, None]
        for place, name in enumerate([*UGLY_MODELS, "a", "b", "c"][:models])
    }


def test_no_model_outweighs_the_others() -> None:
    """What matters most to a model counts 1 for it, however much it loses; harm and no loss count 0."""
    found = {
        "calm": np.array([[0.1, 0.3], [0.1, 0.1], [0.0, 0.0]]),
        "rash": np.array([[0.0, 0.0], [5.0, 5.0], [-9.0, -9.0]]),
        "dull": np.zeros((3, 2)),
    }
    np.testing.assert_allclose(shared_importance(found), [1 / 3, 0.5, 0])


def test_the_frame_lists_every_feature_under_every_model() -> None:
    """Means and deviations over shuffles stand in the order of what matters to all models."""
    found = {"a": np.array([[0.0, 0.2], [0.4, 0.4]]), "b": np.array([[0.1, 0.1], [0.9, 1.1]])}
    frame = importance_frame(found, ["x", "y"])
    assert frame[["feature", "model"]].to_numpy().tolist() == [["y", "a"], ["y", "b"], ["x", "a"], ["x", "b"]]
    np.testing.assert_allclose(frame["importance"], [0.4, 1.0, 0.1, 0.1])
    np.testing.assert_allclose(frame["deviation"], [0, 0.1, 0.1, 0], atol=1e-12)


def test_bars_are_the_frames() -> None:
    """Each panel has its model's bars in its colour, from the top down, the features named at the left."""
    names = ["a", "b", "c", "d", "e"]
    frame = importance_frame({"linear": losses(1)[UGLY_MODELS[0]], "relu": losses(2)[UGLY_MODELS[1]]}, names)
    figure = draw_importance(frame, ["linear", "gone", "relu"], measure="log loss", part="validation")
    assert [axes.get_title("left") for axes in figure.axes] == ["linear", "relu"]
    for axes, model in zip(figure.axes, ("linear", "relu"), strict=True):
        own = frame[frame["model"] == model]
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], own["importance"])
        assert axes.get_ylim()[0] > axes.get_ylim()[1]
        colour = model_colours(["linear", "gone", "relu"])[model]
        assert {tuple(bar.get_facecolor()[:3]) for bar in axes.patches} == {
            tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        }
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(dict.fromkeys(frame["feature"]))
    said = " ".join(words(figure))
    assert "on validation rows" in said
    assert "no finished run of gone" in said
    assert "log loss gained" in said


def test_of_many_features_the_first_are_drawn_and_said_to_be() -> None:
    """Of 64 features the 30 that matter most are drawn; the frame has all."""
    frame = importance_frame(losses(2, 64), [f"pixel_{place}" for place in range(64)])
    assert len(frame) == 128
    figure = draw_importance(frame, list(losses(2)), measure="log loss", part="test")
    assert all(len(axes.patches) == MOST_FEATURES for axes in figure.axes)
    assert "the 30 of 64 features that matter most" in " ".join(words(figure))


@pytest.mark.parametrize(("models", "features"), [(1, 2), (2, 5), (3, 64), (8, 13)])
def test_labels_dont_overlap(models: int, features: int) -> None:
    """However many models and features there are, and however they are called, every word can be read."""
    names = [f"x{place}" if place else "the <b>annual</b> $income$ of the household, before tax" for place in range(99)]
    found = losses(models, features)
    found["no matter"] = np.zeros((features, 5))
    figure = draw_importance(
        importance_frame(found, names[:features]), list(found), measure="mean absolute error", part="validation"
    )
    assert_legible(figure)


def test_features_of_one_name_are_drawn_apart() -> None:
    """Two features may be called alike: each has a bar."""
    figure = draw_importance(importance_frame(losses(1, 3), ["x", "x", "y"]), UGLY_MODELS, measure="", part="test")
    assert len(figure.axes[0].patches) == 3
