from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from pipeline.figures.noise import draw_noise
from pipeline.figures.palette import SOURCE_COLOURS
from tests.figures.making import UGLY_MODELS, assert_legible, words


def deviations(
    models: tuple[str, ...] = ("linear", "relu"),
    datasets: tuple[str, ...] = ("circles", "moons"),
    sources: tuple[str, ...] = tuple(SOURCE_COLOURS),
) -> pd.DataFrame:
    rows = pd.DataFrame(list(itertools.product(datasets, models, sources)), columns=["dataset", "model", "source"])
    return rows.assign(deviation=np.linspace(0.002, 0.08, len(rows)))


def bars(panel: Axes) -> dict[str, list[float]]:
    """Lengths of a panel's bars by their colour, from the first model to the last."""
    found: dict[str, list[float]] = {}
    for bar in sorted(panel.patches, key=lambda patch: patch.get_y()):
        found.setdefault(to_hex(bar.get_facecolor()), []).append(bar.get_width())
    return found


def test_bars_are_as_long_as_the_deviations() -> None:
    """Each source has its colour, each bar the length of its deviation in points."""
    frame = deviations()
    for panel, (_, block) in zip(draw_noise(frame, metric="accuracy").axes, frame.groupby("dataset"), strict=True):
        drawn = bars(panel)
        assert len(drawn) == 3
        for source, colour in SOURCE_COLOURS.items():
            expected = 100 * block.loc[block["source"] == source, "deviation"]
            assert drawn[colour.lower()] == pytest.approx(list(expected))


def test_errors_keep_their_unit() -> None:
    """Deviations of a log loss are drawn as they are."""
    frame = deviations(("relu",), ("moons",))
    lengths = list(itertools.chain(*bars(draw_noise(frame, metric="log_loss").axes[0]).values()))
    assert lengths == pytest.approx(list(frame["deviation"]))


def test_datasets_share_a_scale_of_points() -> None:
    """Points of one dataset compare with points of another; errors in units of their own don't."""
    points, errors = (draw_noise(deviations(), metric=metric) for metric in ("accuracy", "mae"))
    assert points.axes[0].get_xlim() == points.axes[1].get_xlim()
    assert "own scale" not in " ".join(words(points))
    assert errors.axes[0].get_xlim() != errors.axes[1].get_xlim()
    assert "each dataset has its own scale" in " ".join(words(errors))


def test_no_noise_is_a_zero() -> None:
    """A deviation of exactly zero is written as 0, a small one isn't."""
    frame = deviations(("relu",), ("blobs",)).assign(deviation=[0.0, 0.0004, 0.02])
    said = [text.get_text() for text in draw_noise(frame, metric="accuracy").axes[0].texts]
    assert said == ["0", "0.0", "2.0"]


@pytest.mark.parametrize("told", [True, False])
def test_a_source_that_was_drawn_once_is_told(told: bool) -> None:
    """With one seed the seed's noise is unknown: told above, whether its rows are NaN or missing, and without bars."""
    frame = deviations(sources=("seed", "test rows"))
    unknown = frame["source"] == "seed"
    frame = frame.assign(deviation=frame["deviation"].mask(unknown)) if told else frame[~unknown]
    figure = draw_noise(frame, metric="accuracy")
    above = " ".join(words(figure))
    assert "one seed: not known" in above
    assert "one split: not known" in above
    assert "test rows: not known" not in above
    assert set(bars(figure.axes[0])) == {SOURCE_COLOURS["test rows"].lower()}
    assert_legible(figure)


def test_a_diverged_model_keeps_its_place() -> None:
    """A model without any deviation has one note; one that misses a source has a note in that bar's place."""
    frame = deviations(("linear", "relu", "deep"), ("circles",))
    missing = (frame["model"] == "deep") | ((frame["model"] == "relu") & (frame["source"] == "seed"))
    figure = draw_noise(frame.assign(deviation=frame["deviation"].mask(missing)), metric="accuracy")
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said.count("no finished run") == 1
    assert said.count("seed: not known") == 1
    assert_legible(figure)


def test_nothing_known_is_nothing_to_draw() -> None:
    """A frame without a single deviation is refused."""
    with pytest.raises(ValueError, match="no deviation"):
        draw_noise(deviations().assign(deviation=math.nan), metric="accuracy")


@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
@pytest.mark.parametrize(
    "models", [("relu",), ("linear", "relu"), tuple(f"model {place}" for place in range(20)), UGLY_MODELS]
)
@pytest.mark.parametrize(
    "datasets", [("circles",), ("circles", "moons", "a dataset of rather a long name, $said$ to be found", "_blobs")]
)
def test_labels_dont_overlap(models: tuple[str, ...], datasets: tuple[str, ...], metric: str) -> None:
    """All texts can be read with one model or twenty, one dataset or four, and long or odd names."""
    figure = draw_noise(deviations(models, datasets), metric=metric)
    assert_legible(figure)
    assert set(SOURCE_COLOURS) <= set(words(figure))
