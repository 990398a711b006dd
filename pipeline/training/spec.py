"""What an experiment file says about a network and its training; imports no torch, so that bad input is told fast."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
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
    """How networks are trained; names and meanings are torch's."""

    model_config = ConfigDict(title="Training")

    optimizer: OptimizerName = Field("SGD", description="The optimizer of `torch.optim`.")
    lr: PositiveFloat = Field(0.1, description="Learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum; only SGD has one.")
    weight_decay: float = Field(
        0.0, ge=0, description="Weight decay; unless given, torch's default for the optimizer: 0.01 for AdamW, else 0."
    )
    epochs: PositiveInt = Field(1000, description="Passes over the training rows.")
    batch_size: PositiveInt | None = Field(None, description="Rows of a mini-batch; null is the full batch.")
    loss: LossName | None = Field(
        None,
        description="Loss that is minimised; null takes the target's: `bce_with_logits` for two classes,"
        " `cross_entropy` for more, `mse` for a regression, which may also take `l1`.",
    )
    class_weight: GivenClassWeight | None = Field(
        None,
        description="Weights of the classes in the loss (`train/loss`), as scikit-learn's: `balanced`, or a weight for"
        " each class (1 where none is given); every other measure counts each row once.",
    )

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

    hidden_units: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = Field(
        description="Units of each hidden layer, from the inputs on; `[]` is logistic or linear regression."
    )
    activation: ActivationName = Field("relu", description="Activation after each hidden layer.")


class ModelSpec(NetworkSpec):
    """One model of an experiment: its network and its training, with the file's defaults already merged in."""

    training: TrainingSpec = Field(
        TrainingSpec(), description="What this model is trained with instead: the keys given replace the experiment's."
    )

    def identity(self) -> dict[str, Any]:
        """Return everything that it says, in JSON's types; of class weights nothing where there are none.

        So the fingerprints and studies from before there were any stay what they are.
        """
        said = self.model_dump(mode="json")
        if self.training.class_weight is None:
            del said["training"]["class_weight"]
        return said
