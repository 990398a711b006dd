from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pipeline.artifacts import Floats
from pipeline.figures.palette import (
    DECISION_COLOURS,
    METRIC_COLOURS,
    SOURCE_COLOURS,
    class_colours,
    model_colours,
    probability_image,
    rank_colours,
)

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE
# Transactions on Visualization and Computer Graphics 15 (2009), table 1 at severity 1.0; for linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
# IEC 61966-2-1, sRGB to XYZ under D65.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, sight: str) -> Floats:
    """CIE L*a*b* of a colour as someone with this sight sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(SIGHT[sight] @ linear, 0, 1) / XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours: list[str], sight: str) -> float:
    """Smallest CIE76 difference between any two colours; about 2.3 is just noticeable."""
    return min(
        float(np.linalg.norm(lab(one, sight) - lab(other, sight))) for one, other in itertools.combinations(colours, 2)
    )


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("count", "apart"), [(4, 25.0), (8, 12.0)])
def test_models_can_be_told_apart(sight: str, count: int, apart: float) -> None:
    """Model colours differ clearly for usual sight, protanopia and deuteranopia; the first four strongly."""
    models = [f"model {place}" for place in range(count)]
    assert nearest(list(model_colours(models).values()), sight) > apart


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("count", "apart"), [(4, 25.0), (10, 11.0)])
def test_classes_can_be_told_apart(sight: str, count: int, apart: float) -> None:
    """Class colours differ clearly for usual sight, protanopia and deuteranopia; the first four strongly."""
    assert nearest(list(class_colours(count)), sight) > apart


@pytest.mark.parametrize("sight", SIGHT)
def test_metrics_can_be_told_apart(sight: str) -> None:
    """Precision, recall, F1 and accuracy differ clearly for usual sight, protanopia and deuteranopia."""
    assert nearest(list(METRIC_COLOURS.values()), sight) > 20


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("colours", [DECISION_COLOURS, SOURCE_COLOURS])
def test_decisions_and_sources_can_be_told_apart(sight: str, colours: dict[str, str]) -> None:
    """Decisions, and sources of noise, differ strongly for usual sight, protanopia and deuteranopia."""
    assert nearest(list(colours.values()), sight) > 30


def test_colours_stay_when_models_are_added() -> None:
    """Adding a model to an experiment recolours none of the others; the ninth begins anew."""
    few, many = model_colours(["a", "b"]), model_colours([*"abcdefghi"])
    assert few == {"a": many["a"], "b": many["b"]}
    assert many["i"] == many["a"]
    assert len(set(many.values())) == 8


def test_two_classes_diverge_from_an_even_chance() -> None:
    """A two-class tint is palest at p = 0.5, deepens either way, and even there shows the predicted side."""
    p = np.array([0.0, 0.3, 0.5, 0.51, 0.7, 1.0])
    tints = probability_image(np.stack([1 - p, p], axis=-1))
    depth = (1 - tints).sum(axis=-1)
    assert depth[0] > depth[1] > depth[2] > 0
    assert depth[5] > depth[4] > depth[3] > 0
    for tint, colour in ((tints[2], class_colours(2)[0]), (tints[3], class_colours(2)[1])):
        towards = 1 - np.array(to_rgb(colour))
        assert np.allclose((1 - tint) / (1 - tint).sum(), towards / towards.sum())


def test_a_tint_shows_the_side_of_the_threshold() -> None:
    """With a threshold of 0.2 the tint changes sides there, is palest there, and is as deep as ever at 0 and 1."""
    p = np.array([0.0, 0.2, 0.21, 0.5, 1.0])
    table = np.stack([1 - p, p], axis=-1)
    tints, usual = probability_image(table, 0.2), probability_image(table)
    depth = (1 - tints).sum(axis=-1)
    assert depth[0] > depth[1]
    assert depth[2] < depth[3] < depth[4]
    assert np.allclose(tints[[0, -1]], usual[[0, -1]])
    for tint, colour in ((tints[1], class_colours(2)[0]), (tints[2], class_colours(2)[1])):
        towards = 1 - np.array(to_rgb(colour))
        assert np.allclose((1 - tint) / (1 - tint).sum(), towards / towards.sum())


def test_more_classes_blend_their_tints() -> None:
    """With three classes a certain point has the class's own tint, and an undecided one the mean of all."""
    certain = probability_image(np.eye(3))
    assert np.allclose(probability_image(np.full((1, 3), 1 / 3)), certain.mean(axis=0))
    for tint, colour in zip(certain, class_colours(3), strict=True):
        towards = 1 - np.array(to_rgb(colour))
        assert np.allclose((1 - tint) / (1 - tint).sum(), towards / towards.sum())


@pytest.mark.parametrize("sight", SIGHT)
def test_better_ranks_are_darker(sight: str) -> None:
    """Each rank is darker than the next to everyone, by about the same step, and the palest still shows on white."""
    lightness = np.array([lab(colour, sight)[0] for colour in rank_colours(np.arange(1.0, 9.0))])
    steps = np.diff(lightness)
    assert steps.min() > 0.5 * steps.mean() > 0
    assert lightness[-1] < 88
