"""What specs and splits are to a population: its shape, its members, its rows. For training and for tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Part, Split
from pipeline.stages.weighting import train_weights
from pipeline.training.spec import LossName, ModelSpec

if TYPE_CHECKING:
    from pipeline.training.population import Member, Rows, Shape


def population_shape(spec: ModelSpec, loss: LossName, split: Split, device: str) -> Shape:
    """Return what the networks of one spec share."""
    from pipeline.training.population import Shape

    return Shape(
        activation=spec.activation,
        loss=loss,
        optimizer=spec.training.optimizer,
        n_outputs=split.dataset.n_outputs,
        device=device,
    )


def population_member(spec: ModelSpec, seed: int) -> Member:
    """Return one network of a spec."""
    from pipeline.training.population import Member

    return Member(
        seed=seed,
        hidden_units=spec.hidden_units,
        lr=spec.training.lr,
        epochs=spec.training.epochs,
        momentum=spec.training.momentum,
        weight_decay=spec.training.weight_decay,
        batch_size=spec.training.batch_size,
    )


def population_rows(split: Split, part: Part) -> Rows:
    """Scaled rows of one part, all of which count the same."""
    from pipeline.training.population import Rows

    rows = split.rows(part)
    return Rows(split.scaled_features(rows), split.scaled_target(rows))


def training_rows(split: Split, spec: ModelSpec) -> Rows:
    """Scaled train rows, with their weights where a dataset or a spec has any."""
    weights = train_weights(split, spec.training.class_weight)
    return replace(population_rows(split, "train"), weights=None if weights is None else weights.astype(np.float32))
