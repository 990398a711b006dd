from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.figures.boundaries import Boundary, points_frame
from pipeline.figures.small import SmallBoundary, SmallConfusion
from pipeline.stages.split import SplitSpec, split
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible
from tests.making import dataset


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    return points_frame(split(dataset(make="blobs", n_samples=120, centers=3), SplitSpec()))


def boundary(n_classes: int, shift: float) -> Boundary:
    """Straight bands of classes, moved sideways."""
    x, y = np.linspace(-12, 12, 20), np.linspace(-12, 12, 16)
    centres = np.linspace(-6, 6, n_classes) + shift
    closeness = np.exp(-np.abs(x[None, :, None] - centres))
    shares = np.repeat(closeness / closeness.sum(axis=-1, keepdims=True), len(y), axis=0)
    return Boundary(x, y, shares, 0, 0.9)


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def test_nothing_of_a_run_stays_in_the_next_runs_boundary(points: pd.DataFrame) -> None:
    """A run's picture is the same, pixel by pixel, whatever was drawn into the figure before."""
    used, fresh = (SmallBoundary(points, ["a", "b", "c"], "test") for _ in range(2))
    before = pixels(used.draw(boundary(3, 0.0), "d · first", "seed 0"))
    after = pixels(used.draw(boundary(3, 3.0), "d · second", "seed 1"))
    assert (before != after).any()
    np.testing.assert_array_equal(after, pixels(fresh.draw(boundary(3, 3.0), "d · second", "seed 1")))


def test_nothing_of_a_run_stays_in_the_next_runs_confusion() -> None:
    """A run's counts are its own, whatever was drawn into the figure before, and colours go up to a class's rows."""
    used, fresh = (SmallConfusion(["a", "b"]) for _ in range(2))
    used.draw(np.array([[90, 3], [4, 80]]), "d · first", "seed 0")
    counts = np.array([[1, 10], [9, 2]])
    drawn = used.draw(counts, "d · second", "seed 1")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["1", "10", "9", "2"]
    assert drawn.axes[0].images[0].get_clim() == (0, 11)
    np.testing.assert_array_equal(pixels(drawn), pixels(fresh.draw(counts, "d · second", "seed 1")))


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("ugly", [False, True])
def test_texts_are_legible(points: pd.DataFrame, n_classes: int, ugly: bool) -> None:
    """With few classes and many, short names and long, no text lies on another or leaves the picture."""
    names = [f"{UGLY_CLASSES[k % 3]} {k}" if ugly else str(k) for k in range(n_classes)]
    model = UGLY_MODELS[0] if ugly else "relu"
    points = points.assign(label=points["label"] % n_classes)
    assert_legible(SmallBoundary(points, names, "test").draw(boundary(n_classes, 0.0), f"d · {model}", "seed 0"))
    counts = np.full((n_classes, n_classes), 1234)
    assert_legible(SmallConfusion(names).draw(counts, f"d · {model}", "seed 0: 93.0 % of 1,234,567 test rows right"))
