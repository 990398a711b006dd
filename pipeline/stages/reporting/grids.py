"""Grids over the plane: what networks, and the law of the data, say over a dataset of two features."""

from __future__ import annotations

from pipeline.artifacts import Network, Split
from pipeline.comparison.ceilings import law_of
from pipeline.figures.boundaries import BayesRule, Boundary
from pipeline.planes import grid, grid_points


def boundary_of(
    network: Network, split: Split, seed: int, accuracy: float, threshold: float, points: int = 200
) -> Boundary:
    """Evaluate a network itself on a grid in original units, of so many points along each axis."""
    # Imported here: workers that only draw do without torch, which takes longer to import than most pictures to draw.
    from pipeline.training.networks import predict_logits, probabilities

    x, y = grid(split.dataset.features, points)
    logits = predict_logits(network, split.scale_features(grid_points(x, y)))
    table = probabilities(logits, split.dataset.task)
    return Boundary(x, y, table.reshape(len(y), len(x), -1), seed, accuracy, threshold)


def bayes_rule_of(split: Split) -> BayesRule | None:
    """Evaluate the law of a dataset on a grid in original units; None where it isn't known."""
    law = law_of(split.dataset.recipe)
    if law is None:
        return None
    x, y = grid(split.dataset.features)
    return BayesRule(x, y, law.posterior(grid_points(x, y)).reshape(len(y), len(x), -1))
