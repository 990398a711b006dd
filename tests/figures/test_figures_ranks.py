from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.figures.ranks import draw_ranks
from tests.figures.making import UGLY_MODELS, assert_legible, words

FIVE = pd.Series({"linear": 4.6, "relu": 1.5, "tanh": 2.0, "wide": 2.9, "deep": 4.0})
GROUPS = [["relu", "tanh", "wide"], ["wide", "deep"], ["deep", "linear"]]


def scale(axes: Axes) -> tuple[float, float]:
    """Where rank 1 stands, and how long a rank is, from the numbers along the axis."""
    ticks = {text.get_text(): text.get_position()[0] for text in axes.texts}
    return ticks["1"], ticks["2"] - ticks["1"]


def bars(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_linewidth() == 4]


def test_models_stand_at_their_ranks() -> None:
    """Each model's dot lies at its mean rank on the axis, which is written beside its name."""
    axes = draw_ranks(FIVE, 1.2, datasets=12, groups=GROUPS).axes[0]
    one, rank = scale(axes)
    dots = sorted(1 + (line.get_xdata()[0] - one) / rank for line in axes.lines if line.get_marker() == "o")
    assert dots == pytest.approx(sorted(FIVE))
    assert {"relu  1.50", "linear  4.60"} <= {text.get_text() for text in axes.texts}


def test_the_ruler_is_as_long_as_the_critical_difference() -> None:
    """The ruler has the critical difference's length in ranks, and says it."""
    figure = draw_ranks(FIVE, 1.2, datasets=12, groups=GROUPS)
    axes = figure.axes[0]
    (height,) = [text.get_position()[1] for text in axes.texts if text.get_text() == "critical difference 1.20"]
    ruler = min(
        (line for line in axes.lines if np.ptp(line.get_xdata()) > 0),
        key=lambda line: abs(line.get_ydata()[0] - height),
    )
    assert np.ptp(ruler.get_xdata()) / scale(axes)[1] == pytest.approx(1.2)


def test_a_critical_difference_beyond_the_axis_fits_the_picture() -> None:
    """Two models over two datasets differ by less than the critical difference whatever they do; it is still drawn."""
    figure = draw_ranks(pd.Series({"linear": 2.0, "relu": 1.0}), 1.386, datasets=2, groups=[["linear", "relu"]])
    axes = figure.axes[0]
    assert max(line.get_xdata()[-1] for line in axes.lines) <= axes.get_xlim()[1]
    assert_legible(figure)


def test_bars_join_what_isnt_separable() -> None:
    """A bar spans each group from its best rank to its worst; bars that overlap lie on different heights."""
    axes = draw_ranks(FIVE, 1.2, datasets=12, groups=GROUPS).axes[0]
    one, rank = scale(axes)
    spans = sorted(tuple(1 + (line.get_xdata() - one) / rank) for line in bars(axes))
    assert np.allclose(spans, [(1.5, 2.9), (2.9, 4.0), (4.0, 4.6)], atol=0.06)
    first, second, third = (line.get_ydata()[0] for line in sorted(bars(axes), key=lambda line: line.get_xdata()[0]))
    assert first == third != second


def test_a_group_of_one_has_no_bar() -> None:
    """Where every model can be told from every other there are no bars, and no word of them."""
    figure = draw_ranks(FIVE, 0.1, datasets=500, groups=[[model] for model in FIVE.index])
    assert not bars(figure.axes[0])
    assert "a bar joins" not in " ".join(words(figure))


def test_a_model_without_a_rank_is_named() -> None:
    """A diverged model is left out and named; when all are, there's nothing to draw."""
    figure = draw_ranks(FIVE.where(FIVE.index != "deep"), 1.2, datasets=12, groups=GROUPS)
    assert "no finished run of deep" in " ".join(words(figure))
    assert not any(text.startswith("deep") for text in words(figure))
    assert "5" in words(figure), "the axis is too short for a mean rank of 4.6"
    with pytest.raises(ValueError, match="linear"):
        draw_ranks(FIVE * math.nan, 1.2, datasets=12, groups=[])


@pytest.mark.parametrize("models", [("linear", "relu"), tuple(f"model {place}" for place in range(20)), UGLY_MODELS])
@pytest.mark.parametrize("tied", [True, False])
def test_labels_dont_overlap(models: tuple[str, ...], tied: bool) -> None:
    """All texts can be read with two models or twenty, ties of all, and long or odd names."""
    count = len(models)
    ranks = pd.Series(np.full(count, (count + 1) / 2) if tied else np.linspace(1.2, count - 0.2, count), list(models))
    groups = [list(models[place : place + 4]) for place in range(count - 3)] or [list(models)]
    figure = draw_ranks(ranks, 3.0, datasets=4, groups=groups)
    assert_legible(figure)
    assert any("mean rank over 4 datasets" in text for text in words(figure))
