"""Colours that mean the same thing in every picture of a report, and survive colour blindness.

Models and classes have a palette each, since both appear in one report: model colours are lines on white, class
colours are markers on tints of themselves. A palette is prefix-stable: adding a model recolours none of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

from pipeline.artifacts import Floats

INK = "#22272E"  # text, outlines and decision boundaries
QUIET = "#7A838F"  # secondary text, guide lines
FAINT = "#E4E7EB"  # grid lines, empty panels

# tests/figures/test_figures_palette.py holds the colours of a list apart under simulated colour blindness.
_MODELS = ("#183033", "#B036AA", "#19A08B", "#BC7F00", "#7C63E7", "#5BA9E6", "#76181D", "#ACB13C")
_CLASSES = (
    "#1F6FB4",
    "#E8711A",
    "#0D977C",
    "#7B0061",
    "#EEC201",
    "#58C9FB",
    "#7E203D",
    "#606265",
    "#2C3380",
    "#A3A735",
)

METRIC_COLOURS = {"precision": "#7B3EA0", "recall": "#0B8A6F", "f1": INK, "accuracy": "#93ACC0"}
DECISION_COLOURS = {"better": "#0F6FB8", "worse": "#C4441C", "equivalent": "#2E3440", "not separable": QUIET}
SOURCE_COLOURS = {"seed": "#35618F", "test rows": "#9CC5D9", "split": "#E08A3C"}
COUNTS = LinearSegmentedColormap.from_list("counts", ["#FFFFFF", "#C9D9EA", "#5E8FC0", "#1C4E80"])

_TINT = 0.46  # strongest background: markers of the same class still stand out on it
_FLOOR = 0.22  # faintest tint of a two-class background, so that the predicted side shows even at the threshold


def model_colours(models: Sequence[str]) -> dict[str, str]:
    """Give each model its colour by its place in the experiment file.

    Parameters
    ----------
    models:
        All models of the experiment in their fixed order; from the ninth on the colours come round again.
    """
    return {model: _MODELS[place % len(_MODELS)] for place, model in enumerate(models)}


def class_colours(n_classes: int) -> tuple[str, ...]:
    """Give each class index its colour; from the eleventh on the colours come round again."""
    return tuple(_CLASSES[index % len(_CLASSES)] for index in range(n_classes))


def rank_colours(ranks: Floats) -> list[str]:
    """Colour ranks from 1, the best, to the last of them: the better, the darker.

    The map is matplotlib's viridis, which is perceptually uniform and made for colour-blind readers; its palest end,
    which white swallows, is left out.
    """
    last = max(float(ranks.max(initial=1)), 2)
    return [to_hex(colour) for colour in colormaps["viridis_r"](0.12 + 0.88 * (last - ranks) / (last - 1))]


def probability_image(probabilities: Floats, threshold: float = 0.5) -> Floats:
    """Tint points by their class probabilities.

    Two classes diverge from near white at the threshold to either class's tint; more classes blend their tints,
    weighted by probability.

    Parameters
    ----------
    probabilities:
        Shape (..., classes), each in 0…1 and summing to 1.
    threshold:
        On the probability of class 1, between 0 and 1: where the predicted side changes, of two classes.

    Returns
    -------
    Floats
        Red, green and blue in 0…1, shape (..., 3).
    """
    colours = np.array([to_rgb(colour) for colour in class_colours(probabilities.shape[-1])])
    if probabilities.shape[-1] == 2:
        return _diverging(probabilities[..., 1], threshold, colours)
    blended: Floats = np.clip(1 - _TINT * (1 - probabilities @ colours), 0, 1)
    return blended


def _diverging(probability: Floats, threshold: float, colours: Floats) -> Floats:
    """Tint by how far the probability of class 1 lies beyond the threshold on its way to 0 or 1, shape (..., 3)."""
    is_second = probability > threshold
    beyond = np.where(is_second, probability - threshold, threshold - probability)
    strength = _FLOOR + (1 - _FLOOR) * beyond / np.where(is_second, 1 - threshold, threshold)
    tinted: Floats = 1 - _TINT * strength[..., None] * (1 - colours[is_second.astype(int)])
    return tinted
