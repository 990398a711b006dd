"""Tune: the hyperparameters that each dataset × model is trained with.

An experiment without `tuning:` trains every model as given, and this version knows no other kind: the schema refuses
the key. So the stage settles, for each dataset, what follows from its target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.artifacts import Split
from pipeline.errors import BadInput
from pipeline.training.spec import LossName, ModelSpec


@dataclass(frozen=True)
class Candidate:
    """One dataset × model with the hyperparameters it is trained with."""

    dataset: str
    model: str
    spec: ModelSpec
    loss: LossName


def tune(splits: Iterable[Split], models: Mapping[str, ModelSpec]) -> tuple[Candidate, ...]:
    """Settle hyperparameters for each dataset × model, datasets first.

    Raises
    ------
    BadInput
        When a model's loss doesn't fit a dataset's target, or its batches are larger than the training part.
    """
    return tuple(_candidate(split, name, spec) for split in splits for name, spec in models.items())


def _candidate(split: Split, model: str, spec: ModelSpec) -> Candidate:
    try:
        loss = spec.training.loss_for(split.dataset.task)
    except BadInput as error:
        raise error.within(field=f"models.{model}.training") from error
    batch_size = spec.training.batch_size
    if batch_size is not None and batch_size > len(split.train):
        raise BadInput(
            f"{batch_size} is more than the {len(split.train)} training rows of {split.dataset.name}",
            field=f"models.{model}.training.batch_size",
            remedy="lower it, or use null for the full batch",
        )
    return Candidate(split.dataset.name, model, spec, loss)
