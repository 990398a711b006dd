"""The plane that a dataset of two features spans: a grid over it, and class probabilities there, one byte a point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import Bytes, Floats, Split

MOST_CODED = 32  # classes whose probabilities fit a byte: of more, fewer than eight levels would be left to each


def is_plane(split: Split) -> bool:
    """Whether a dataset's classes can be drawn over its two features."""
    return split.dataset.task != "regression" and split.dataset.n_features == 2


def grid(features: Floats, points: int = 200) -> tuple[Floats, Floats]:
    """Span the range of two features, padded by 8 % on each side.

    Parameters
    ----------
    features:
        Shape (rows, 2), original units.
    points:
        Grid points along each axis.

    Returns
    -------
    tuple
        Ascending values of the first and of the second feature, shape (points,) each.
    """
    low, high = features.min(axis=0), features.max(axis=0)
    pad = np.where(high > low, 0.08 * (high - low), 1.0)  # a constant feature still gets a plane to draw on
    x, y = (np.linspace(low[axis] - pad[axis], high[axis] + pad[axis], points) for axis in (0, 1))
    return x, y


def grid_points(x: Floats, y: Floats) -> Floats:
    """List the points of a grid row by row, shape (rows * columns, 2): x, shape (columns,), changes fastest."""
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def encode(probabilities: npt.NDArray[np.floating]) -> Bytes:
    """Write class probabilities, shape (..., classes), as one byte a point, shape (...).

    Two classes: the probability of class 1 in 255ths. More: the likeliest class (the first of equals), and its
    probability in as many levels as `MOST_CODED` classes at most leave room for; those of the others are left out.
    """
    n_classes = probabilities.shape[-1]
    if n_classes == 2:
        second: Bytes = np.rint(255 * probabilities[..., 1]).astype(np.uint8)
        return second
    levels = _levels(n_classes)
    lead = (n_classes * probabilities.max(axis=-1) - 1) / (n_classes - 1)  # 0 when all are as likely, 1 when it is sure
    codes: Bytes = (probabilities.argmax(axis=-1) * levels + np.rint(lead * (levels - 1))).astype(np.uint8)
    return codes


def decode(codes: Bytes, n_classes: int) -> Floats:
    """Return the probabilities that codes, shape (...), stand for, shape (..., classes).

    Of more than two classes, those that aren't the likeliest share evenly what it leaves.
    """
    if n_classes == 2:
        second = codes / 255
        return np.stack([1 - second, second], axis=-1)
    levels = _levels(n_classes)
    lead = (codes % levels / (levels - 1))[..., None]
    probabilities: Floats = (1 - lead) / n_classes + lead * np.eye(n_classes)[codes // levels]
    return probabilities


def code_table(n_classes: int) -> Bytes:
    """Every code of so many classes, ascending."""
    return np.arange(256 if n_classes == 2 else n_classes * _levels(n_classes), dtype=np.uint8)


def _levels(n_classes: int) -> int:
    return 256 // n_classes
