from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.figures.forest import draw_forest
from pipeline.figures.palette import DECISION_COLOURS
from tests.figures.making import UGLY_MODELS, assert_legible, words

COLUMNS = ["dataset", "model", "baseline", "difference", "low", "high", "decision"]


def verdicts(*rows: tuple[str, str, float, float, float, str]) -> pd.DataFrame:
    """Verdicts against the baseline "linear"."""
    return pd.DataFrame([(dataset, model, "linear", *rest) for dataset, model, *rest in rows], columns=COLUMNS)


FOUR = verdicts(
    ("circles", "relu", 0.498, 0.451, 0.542, "better"),
    ("moons", "relu", 0.037, 0.010, 0.064, "not separable"),
    ("blobs", "relu", 0.0, -0.006, 0.006, "equivalent"),
    ("spirals", "relu", -0.49, -0.564, -0.416, "worse"),
)


def many(models: tuple[str, ...], datasets: tuple[str, ...]) -> pd.DataFrame:
    """Verdicts of every kind, of every size."""
    random = np.random.default_rng(0)
    rows = []
    for place, dataset in enumerate(datasets):
        for model, decision in zip(models, np.resize(list(DECISION_COLOURS), len(models)), strict=True):
            difference, half = random.normal(0, 10.0**-place), abs(random.normal(0, 10.0**-place)) / 3
            rows.append((dataset, model, difference, difference - half, difference + half, str(decision)))
    return verdicts(*rows)


def draw(frame: pd.DataFrame, metric: str = "accuracy", equivalence: float = 0.01) -> Figure:
    margins = dict.fromkeys(frame["dataset"], equivalence)
    return draw_forest(frame, metric=metric, baseline="linear", equivalence=margins)


def artists(panel: Axes) -> tuple[list[Line2D], list[Line2D]]:
    """Points and whiskers of a panel."""
    drawn = [line for line in panel.lines if line.get_transform() == panel.transData]
    points = [line for line in drawn if line.get_marker() != "None"]
    return points, [line for line in drawn if line.get_marker() == "None"]


def test_points_and_whiskers_stand_where_the_frame_says() -> None:
    """Each point lies at its difference in points, its whiskers reach from low to high, in its decision's colour."""
    figure = draw(FOUR)
    for panel, (_, row) in zip(figure.axes, FOUR.iterrows(), strict=True):
        (point,), (whisker,) = artists(panel)
        assert point.get_xdata() == pytest.approx([100 * row["difference"]])
        assert whisker.get_xdata() == pytest.approx([100 * row["low"], 100 * row["high"]])
        assert to_hex(point.get_color()) == to_hex(whisker.get_color()) == DECISION_COLOURS[row["decision"]].lower()


def test_every_number_and_decision_is_written() -> None:
    """Beside each row stand difference, interval and decision, and above what they are measured against."""
    said = words(draw(FOUR))
    assert {"+49.8 [45.1, 54.2]", "+3.7 [1.0, 6.4]", "0 [−0.6, 0.6]", "−49.0 [−56.4, −41.6]"} <= set(said)
    assert set(DECISION_COLOURS) <= set(said)
    above = " ".join(said)
    assert "accuracy of a model minus that of linear" in above
    assert "whiskers: 95 % intervals" in above
    assert "±1 point, which wouldn't matter" in above


def test_decisions_differ_without_colour() -> None:
    """Every decision has a marker of its own."""
    markers = {artists(panel)[0][0].get_marker() for panel in draw(FOUR).axes}
    assert len(markers) == len(DECISION_COLOURS)


@pytest.mark.parametrize(
    ("metric", "left", "right"), [("accuracy", "← worse", "better →"), ("log_loss", "← better", "worse →")]
)
def test_the_axis_says_where_better_is(metric: str, left: str, right: str) -> None:
    """For a loss better is at the left, for an accuracy at the right, and the axis says which."""
    (label,) = [panel.get_xlabel() for panel in draw(FOUR, metric).axes if panel.get_xlabel()]
    assert label.startswith(left)
    assert label.endswith(right)


def test_losses_keep_their_unit() -> None:
    """A difference in log loss is drawn and written as it is."""
    figure = draw(FOUR, "log_loss")
    assert artists(figure.axes[0])[0][0].get_xdata() == pytest.approx([0.498])
    assert "+0.50 [0.45, 0.54]" in words(figure)
    assert any("±0.01, which" in text for text in words(figure))


def test_each_panel_shows_zero_the_zone_and_every_interval() -> None:
    """Panels have their own scales, and on each lie zero, the zone that wouldn't matter, and all whiskers."""
    figure = draw(FOUR)
    for panel, (_, row) in zip(figure.axes, FOUR.iterrows(), strict=True):
        low, high = panel.get_xlim()
        assert low < min(-1, 100 * row["low"])
        assert max(1, 100 * row["high"]) < high
        (zone,) = panel.patches
        assert zone.get_extents().transformed(panel.transData.inverted()).intervalx == pytest.approx([-1, 1])
    circles, _, blobs, _ = (np.ptp(panel.get_xlim()) for panel in figure.axes)
    assert circles > 10 * blobs


def test_no_zone_where_every_difference_matters() -> None:
    """An equivalence of zero shades nothing, and isn't spoken of."""
    figure = draw(FOUR, equivalence=0.0)
    assert not any(patch.get_width() for panel in figure.axes for patch in panel.patches)
    assert "shaded" not in " ".join(words(figure))
    assert_legible(figure)


@pytest.mark.parametrize(
    ("low", "high"), [(math.nan, math.nan), (-math.inf, math.inf), (0.01, math.inf), (-math.inf, 0.05)]
)
def test_an_interval_that_isnt_finite_has_no_whiskers(low: float, high: float) -> None:
    """Of a difference from one seed the point is drawn, and beside it stands that there is no interval."""
    figure = draw(verdicts(("moons", "relu", 0.03, low, high, "not separable")))
    points, whiskers = artists(figure.axes[0])
    assert len(points) == 1
    assert not whiskers
    assert "+3.0, no interval" in words(figure)
    assert_legible(figure)


def test_a_diverged_model_keeps_its_row() -> None:
    """A model without a difference has its name and the reason, but neither a point nor a decision."""
    nan = math.nan
    figure = draw(pd.concat([FOUR, verdicts(("circles", "deep", nan, nan, nan, "not separable"))]))
    points, _ = artists(figure.axes[0])
    assert len(points) == 1
    assert {"deep", "no finished run"} <= set(words(figure))
    assert words(figure).count("not separable") == 1
    assert_legible(figure)


def test_other_baselines_are_left_out() -> None:
    """Only rows with the asked baseline are drawn; when there are none, there is nothing to draw."""
    other = FOUR.assign(baseline="relu", model="linear")
    assert len(draw(pd.concat([FOUR, other])).axes) == 4
    assert "+49.8 [45.1, 54.2]" in words(draw(pd.concat([FOUR, other])))
    with pytest.raises(ValueError, match="linear"):
        draw(other)


@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
@pytest.mark.parametrize("models", [("relu",), tuple(f"model {place}" for place in range(19)), UGLY_MODELS])
@pytest.mark.parametrize(
    "datasets", [("circles",), ("circles", "moons", "a dataset of rather a long name, $said$ to be found", "_blobs")]
)
def test_labels_dont_overlap(models: tuple[str, ...], datasets: tuple[str, ...], metric: str) -> None:
    """All texts can be read with one model or nineteen, one dataset or four, and long or odd names."""
    assert_legible(draw(many(models, datasets), metric))
