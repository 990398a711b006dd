"""The activation functions that a model can name, written out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artifacts import Floats
from pipeline.figures.canvas import balanced, panels, tidy, title
from pipeline.figures.palette import QUIET, model_colours

LINE = model_colours(["any", "other"])["other"]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _elu(x: Floats) -> Floats:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


# PyTorch's definitions with PyTorch's defaults: https://docs.pytorch.org/docs/stable/nn.functional.html
FORMULAS: dict[str, tuple[Callable[[Floats], Floats], str]] = {
    "identity": (lambda x: x, r"$x$"),
    "relu": (lambda x: np.maximum(x, 0), r"$\max(x,\ 0)$"),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), r"$x$ if $x > 0$, else $0.01\,x$"),
    "elu": (_elu, r"$x$ if $x > 0$, else $e^{x} - 1$"),
    "silu": (lambda x: x * _sigmoid(x), r"$x\;/\;(1 + e^{-x})$"),
    "gelu": (lambda x: x / 2 * (1 + _erf(x / math.sqrt(2))), r"$x\;/\;2 \cdot (1 + \mathrm{erf}(x\;/\;\sqrt{2}))$"),
    "tanh": (np.tanh, r"$(e^{x} - e^{-x})\;/\;(e^{x} + e^{-x})$"),
    "sigmoid": (_sigmoid, r"$1\;/\;(1 + e^{-x})$"),
}


def activation_frame(names: Sequence[str] = tuple(FORMULAS)) -> pd.DataFrame:
    """Evaluate activation functions over -10 … 10 in steps of 0.05.

    Parameters
    ----------
    names:
        Names as an experiment file gives them.

    Returns
    -------
    pandas.DataFrame
        activation, x, y, whole: whether x is one of ``arange(-10, 10)``.

    Raises
    ------
    KeyError
        When a name is none of `FORMULAS`.
    """
    x = np.arange(-200, 201) / 20  # exact at whole numbers, unlike a sum of steps of 0.05
    whole = np.isin(x, np.arange(-10, 10))
    frames = [pd.DataFrame({"activation": name, "x": x, "y": FORMULAS[name][0](x), "whole": whole}) for name in names]
    return pd.concat(frames, ignore_index=True)


def draw_activations(names: Sequence[str] = tuple(FORMULAS)) -> Figure:
    """Draw each function in a panel of its own, headed by its name and formula.

    Raises
    ------
    KeyError
        When a name is none of `FORMULAS`.
    """
    frame = activation_frame(names)
    figure, axes = panels(len(names), size=(2.6, 2.35), across=balanced(len(names), 4))
    for panel, name in zip(axes, names, strict=True):
        _function(panel, frame[frame["activation"] == name])
        title(panel, name, FORMULAS[name][1])
    return figure


def _function(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw one function, with a dot at each whole number."""
    axes.axhline(0, color=QUIET, linewidth=0.8)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.plot(rows["x"], rows["y"], color=LINE, linewidth=2)
    dots = rows[rows["whole"]]
    axes.plot(dots["x"], dots["y"], "o", color=LINE, markersize=3.4, markeredgecolor="white", markeredgewidth=0.5)
    tidy(axes)
    axes.margins(x=0.02)
    axes.set_xticks([-10, -5, 0, 5, 10])
