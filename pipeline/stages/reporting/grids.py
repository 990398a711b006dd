"""Grids over the plane: what networks, and the law of the data, say over a dataset of two features."""

from __future__ import annotations

from pipeline.artifacts import FittedEstimator, Network, Split
from pipeline.comparison.ceilings import law_of
from pipeline.figures.boundaries import BayesRule, Boundary
from pipeline.planes import grid, grid_points
from pipeline.stages.inference import predict_table


def boundary_of(
    network: Network | FittedEstimator, split: Split, seed: int, accuracy: float, threshold: float, points: int = 200
) -> Boundary:
    """Evaluate a model itself on a grid in original units, of so many points along each axis."""
    x, y = grid(split.dataset.features, points)
    table = predict_table(network, split, grid_points(x, y))
    return Boundary(x, y, table.reshape(len(y), len(x), -1), seed, accuracy, threshold)


def bayes_rule_of(split: Split) -> BayesRule | None:
    """Evaluate the law of a dataset on a grid in original units; None where it isn't known."""
    law = law_of(split.dataset.recipe)
    if law is None:
        return None
    x, y = grid(split.dataset.features)
    return BayesRule(x, y, law.posterior(grid_points(x, y)).reshape(len(y), len(x), -1))
