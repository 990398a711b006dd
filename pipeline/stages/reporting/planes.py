"""Planes: what networks, and the law of the data, say over a dataset of two features."""

from __future__ import annotations

import numpy as np

from pipeline.artifacts import Floats, Network, Split
from pipeline.comparison.ceilings import law_of
from pipeline.figures.boundaries import BayesRule, Boundary, grid


def is_plane(split: Split) -> bool:
    """Whether a dataset's classes can be drawn over its two features."""
    return split.dataset.task != "regression" and split.dataset.n_features == 2


def boundary_of(
    network: Network, split: Split, seed: int, accuracy: float, threshold: float, points: int = 200
) -> Boundary:
    """Evaluate a network itself on a grid in original units, of so many points along each axis."""
    # Imported here: workers that only draw do without torch, which takes longer to import than most pictures to draw.
    from pipeline.training.networks import predict_logits, probabilities

    x, y = grid(split.dataset.features, points)
    logits = predict_logits(network, split.scale_features(_points(x, y)))
    table = probabilities(logits, split.dataset.task)
    return Boundary(x, y, table.reshape(len(y), len(x), -1), seed, accuracy, threshold)


def bayes_rule_of(split: Split) -> BayesRule | None:
    """Evaluate the law of a dataset on a grid in original units; None where it isn't known."""
    law = law_of(split.dataset.recipe)
    if law is None:
        return None
    x, y = grid(split.dataset.features)
    return BayesRule(x, y, law.posterior(_points(x, y)).reshape(len(y), len(x), -1))


def _points(x: Floats, y: Floats) -> Floats:
    """Points of a grid row by row, shape (rows * columns, 2)."""
    points: Floats = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return points
