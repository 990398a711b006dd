"""What specs and splits are to a population: its shape, its members, its rows. For training and for tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.artifacts import Part, Split
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
    """Scaled rows of one part."""
    from pipeline.training.population import Rows

    rows = split.rows(part)
    return Rows(split.scaled_features(rows), split.scaled_target(rows))
