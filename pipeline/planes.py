"""The plane that a dataset of two features spans: a grid over it, and class probabilities there, one byte a point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import Bytes, Floats, Split

MOST_CODED = 32  # classes whose probabilities fit a byte: of more, fewer than eight levels would be left to each


def is_plane(split: Split) -> bool:
    """Whether a dataset's classes can be drawn over its two features: numbers, of which none is missing."""
    dataset = split.dataset
    return dataset.task != "regression" and dataset.n_features == 2 and dataset.has_only_numbers


def grid(features: Floats, points: int = 200) -> tuple[Floats, Floats]:
    """Span the range of two features, padded by 8 % on each side.

    Parameters
    ----------
    features:
        Shape (rows, 2), original units; NaN where missing, but in some rows of each there is a value.
    points:
        Grid points along each axis.

    Returns
    -------
    tuple
        Ascending values of the first and of the second feature, shape (points,) each.
    """
    low, high = np.nanmin(features, axis=0), np.nanmax(features, axis=0)
    pad = np.where(high > low, 0.08 * (high - low), 1.0)  # a constant feature still gets a plane to draw on
    x, y = (np.linspace(low[axis] - pad[axis], high[axis] + pad[axis], points) for axis in (0, 1))
    return x, y


def grid_points(x: Floats, y: Floats) -> Floats:
    """List the points of a grid row by row, shape (rows * columns, 2): x, shape (columns,), changes fastest."""
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def encode(probabilities: npt.NDArray[np.floating]) -> Bytes:
    """Write class probabilities, shape (..., classes), as one byte a point, shape (...).

    The byte tells the likeliest class (the first of equals), and how far its probability lies above that of the next
    likeliest, in as many levels as there is room for. Levels are even in the root of that lead, and so finest where
    it vanishes: there the decision boundary runs, and is found between grid points.
    """
    levels = _levels(probabilities.shape[-1])
    best = probabilities[..., 0]
    next_best = np.zeros_like(best)
    first_code = np.zeros(best.shape, dtype=np.uint8)  # of the likeliest class
    for index in range(1, probabilities.shape[-1]):  # a fraction of the time that sorting takes
        other = probabilities[..., index]
        first_code[other > best] = index * levels
        next_best = np.maximum(next_best, np.minimum(best, other))
        best = np.maximum(best, other)
    codes: Bytes = first_code + np.rint((levels - 1) * np.sqrt(best - next_best)).astype(np.uint8)
    return codes


def decode(codes: Bytes, n_classes: int) -> Floats:
    """Return the probabilities that codes, shape (...), stand for, shape (..., classes).

    Classes other than the likeliest share evenly what it leaves.
    """
    levels = _levels(n_classes)
    lead = np.square(codes % levels / (levels - 1))[..., None]
    probabilities: Floats = (1 - lead) / n_classes + lead * np.eye(n_classes)[codes // levels]
    return probabilities


def code_table(n_classes: int) -> Bytes:
    """Every code of so many classes, ascending."""
    return np.arange(n_classes * _levels(n_classes), dtype=np.uint8)


def _levels(n_classes: int) -> int:
    return 256 // n_classes
