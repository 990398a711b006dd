"""What an experiment file says about a network and its training; imports no torch, so that bad input is told fast."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from pipeline.artifacts import Task
from pipeline.errors import BadInput
from pipeline.spec import Spec

ActivationName = Literal["identity", "relu", "tanh", "sigmoid", "gelu", "leaky_relu", "elu", "silu"]
OptimizerName = Literal["SGD", "Adam", "AdamW"]
LossName = Literal["bce_with_logits", "cross_entropy", "l1", "mse"]

LOSSES_FOR_TASK: dict[Task, tuple[LossName, ...]] = {
    "binary": ("bce_with_logits",),
    "multiclass": ("cross_entropy",),
    "regression": ("mse", "l1"),
}

ClassWeight = Literal["balanced"] | dict[str, float]


def _names_as_text(given: Any) -> Any:
    """Take numbers for names of classes, which YAML tells apart; refuse what is no mapping."""
    if isinstance(given, dict):
        return {str(key) if type(key) in (int, float) else key: weight for key, weight in given.items()}
    if given != "balanced":
        raise BadInput(f"{given!r} can't be used", remedy="give balanced, or classes with their weights: {yes: 5}")
    return given


GivenClassWeight = Annotated[
    Annotated[Literal["balanced"], Tag("[name]")]
    | Annotated[dict[str, PositiveFloat], Field(min_length=1), Tag("[weights]")],
    Discriminator(lambda given: "[weights]" if isinstance(given, dict) else "[name]"),
    BeforeValidator(_names_as_text),
]


class TrainingSpec(Spec):
    """How a network is trained; names and meanings are torch's.

    `batch_size: null` is the full batch. `loss` follows from the target unless given (a regression takes `mse` or
    `l1`). `weight_decay` has the optimizer's own default in torch: 0.01 for AdamW, 0 for the others. `class_weight` is
    scikit-learn's: `balanced`, or classes with their weights (1 where none is given); it changes the loss that is
    minimised, `train/loss`, while every other measure counts each row once.
    """

    optimizer: OptimizerName = "SGD"
    lr: PositiveFloat = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    epochs: PositiveInt = 1000
    batch_size: PositiveInt | None = None
    loss: LossName | None = None
    class_weight: GivenClassWeight | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_weight_decay(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("optimizer") == "AdamW":
            return {"weight_decay": 0.01, **given}
        return given

    @model_validator(mode="after")
    def _momentum_belongs_to_sgd(self) -> TrainingSpec:
        if self.momentum and self.optimizer != "SGD":
            raise BadInput(
                f"{self.momentum} is given, but {self.optimizer} has no momentum",
                field="momentum",
                remedy="remove it, or use optimizer: SGD",
            )
        return self

    def loss_for(self, task: Task) -> LossName:
        """Loss for a task: the given one when it fits, the task's own when none is given.

        Raises
        ------
        BadInput
            When the given loss doesn't fit the target.
        """
        fitting = LOSSES_FOR_TASK[task]
        if self.loss is None:
            return fitting[0]
        if self.loss not in fitting:
            raise BadInput(
                f"{self.loss!r} doesn't fit a {task} target",
                field="loss",
                remedy=f"use {' or '.join(fitting)}, or leave it out",
            )
        return self.loss


class NetworkSpec(Spec):
    """A fully connected network: `hidden_units: []` is logistic (or linear) regression."""

    hidden_units: Annotated[tuple[PositiveInt, ...], Field(strict=False)]
    activation: ActivationName = "relu"


class ModelSpec(NetworkSpec):
    """One model of an experiment: its network and its training, with the file's defaults already merged in."""

    training: TrainingSpec = TrainingSpec()

    def identity(self) -> dict[str, Any]:
        """Return everything that it says, in JSON's types; of class weights nothing where there are none.

        So the fingerprints and studies from before there were any stay what they are.
        """
        said = self.model_dump(mode="json")
        if self.training.class_weight is None:
            del said["training"]["class_weight"]
        return said
