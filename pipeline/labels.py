"""The one rule that turns class probabilities into predicted labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def predicted_labels(probabilities: npt.NDArray[np.float64], threshold: float = 0.5) -> npt.NDArray[np.int64]:
    """Label rows by their class probabilities.

    Of two classes, class 1 where its probability is above the threshold, never at it. Of more, the class with the
    largest probability (the first of equals), whatever the threshold.

    Parameters
    ----------
    probabilities:
        Shape (rows, classes).
    threshold:
        On the probability of class 1.

    Returns
    -------
    numpy.ndarray
        Class indices, shape (rows,).
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > threshold).astype(np.int64)
    labels: npt.NDArray[np.int64] = probabilities.argmax(axis=1)
    return labels


def threshold_text(threshold: float) -> str:
    """Write a threshold with at most three digits; 0 and 1 are kept for themselves."""
    if 0 < threshold < 0.0005:
        return "<0.001"
    return ">0.999" if 0.9995 <= threshold < 1 else f"{round(threshold, 3):g}"
