"""What an experiment file says about tuning: how many trials, towards what, over which space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from pipeline.artifacts import Task
from pipeline.errors import BadInput
from pipeline.spec import Spec, may_be_empty
from pipeline.stages.metrics import CLASSIFICATION_METRICS, REGRESSION_METRICS, metrics_of
from pipeline.training.spec import ActivationName, ModelSpec, OptimizerName, TrainingSpec

Value = int | float | str | None
Entry = Annotated[tuple[Value, ...], Field(strict=False)]
Direction = Literal["minimize", "maximize"]
SamplerName = Literal["tpe", "random", "gp", "grid", "cmaes"]
PrunerName = Literal["median", "hyperband", "none"]

WHOLE_NUMBERS = {"depth": 0, "width": 1, "epochs": 1, "batch_size": 1}  # key → lowest value
NAMES = {"optimizer": get_args(OptimizerName), "activation": get_args(ActivationName)}
BOUNDS = {"lr": {"exclusiveMinimum": 0}, "momentum": {"minimum": 0, "exclusiveMaximum": 1}}  # of others 0 and up
DEFAULT_METRIC: dict[Task, str] = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mse"}
LOWER_IS_BETTER = {"log_loss", "mae", "mse", "rmse"}
PREFIX = "validation/"  # no other rows can be asked for
OBJECTIVES = [PREFIX + metric for metric in (*CLASSIFICATION_METRICS, *REGRESSION_METRICS)]


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter's range, both ends included, or its choices."""

    key: str
    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[Value, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether a range holds whole numbers alone."""
        return self.key in WHOLE_NUMBERS

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to search."""
        return len(self.choices) == 1 or (not self.choices and self.low == self.high)

    def contains(self, value: Any) -> bool:
        """Whether a value lies in the space."""
        if self.choices:
            return value in self.choices
        number = isinstance(value, int if self.is_whole else int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def describe(self) -> list[Value]:
        """Return the dimension as the file writes it."""
        return list(self.choices) if self.choices else [self.low, self.high, *(["log"] if self.log else [])]


def _say_entries(schema: dict[str, Any]) -> None:
    """Say of each key which ranges and choices it takes."""
    for key, field in schema["properties"].items():
        whole = {"type": "integer", "minimum": WHOLE_NUMBERS.get(key, 0)}
        number: dict[str, Any] = (
            whole if key in WHOLE_NUMBERS else {"type": "number", **BOUNDS.get(key, {"minimum": 0})}
        )
        choice = {"enum": list(NAMES[key])} if key in NAMES else number
        if key == "batch_size":
            choice = {**number, "type": ["integer", "null"]}
        forms: list[dict[str, Any]] = [{"type": "array", "items": choice, "minItems": 1}]
        if key in NAMES:
            forms[0]["uniqueItems"] = True
        else:
            end = {**number, "exclusiveMinimum": 0}
            forms.append({"type": "array", "prefixItems": [end, end, {"const": "log"}], "minItems": 3, "maxItems": 3})
        schema["properties"][key] = {**field, "anyOf": [*forms, {"type": "null"}]}
    schema["minProperties"] = 1


class SpaceSpec(Spec):
    """The hyperparameters to search, at least one: `[low, high]`, `[low, high, log]`, or a list of choices.

    Two numbers are a range, both ends included; three or more, names and null are choices.
    """

    model_config = ConfigDict(title="Space", json_schema_extra=_say_entries)

    depth: Entry | None = Field(None, description="Number of hidden layers.")
    width: Entry | None = Field(None, description="Units of every hidden layer.")
    lr: Entry | None = Field(None, description="Learning rate.")
    epochs: Entry | None = Field(None, description="Passes over the training rows.")
    optimizer: Entry | None = Field(None, description="Optimizers to choose from.")
    activation: Entry | None = Field(None, description="Activations to choose from.")
    batch_size: Entry | None = Field(None, description="Rows of a mini-batch; null, as a choice, is the full batch.")
    momentum: Entry | None = Field(None, description="Momentum; it counts where the optimizer is SGD.")
    weight_decay: Entry | None = Field(None, description="Weight decay.")

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not_searched(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if value is not None}

    @model_validator(mode="after")
    def _check(self) -> SpaceSpec:
        if not self.dimensions():
            raise BadInput("is empty", remedy=f"give at least one of {', '.join(type(self).model_fields)}")
        return self

    def dimensions(self) -> dict[str, Dimension]:
        """Return every dimension that is given, in a fixed order.

        Raises
        ------
        BadInput
            When a range is empty, inverted or out of bounds, or a choice isn't known.
        """
        given = {key: getattr(self, key) for key in type(self).model_fields}
        return {key: _dimension(key, entry) for key, entry in given.items() if entry is not None}


class TuningSpec(Spec):
    """How hyperparameters are searched: one Optuna study for each dataset × model."""

    # A model's own search may go without what the experiment's says.
    model_config = ConfigDict(title="Search", json_schema_extra=lambda schema: schema.pop("required"))

    trials: PositiveInt = Field(20, description="Trials for each dataset × model.")
    objective: str | None = Field(
        None,
        description="Metric on the validation rows; null is log loss, or mean squared error for a regression.",
        json_schema_extra={"enum": [*OBJECTIVES, None]},
    )
    space: SpaceSpec = Field(
        description="The hyperparameters to search; only a model's own search may leave it to the experiment's."
    )
    sampler: SamplerName = Field("tpe", description="Optuna's sampler; `cmaes` needs the package of that name.")
    pruner: PrunerName = Field("median", description="What stops hopeless trials: Optuna's pruner, or none.")
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Folds of cross-validation over training and validation rows; null measures on the latter."
    )
    seeds: PositiveInt = Field(
        1, description="Networks that a trial trains and averages, with the first of the experiment's seeds."
    )
    random_state: NonNegativeInt = Field(42, description="Seed of the sampler.")
    trials_at_once: PositiveInt | None = Field(
        None,
        description="Trials asked for and trained together; null is at least ten to begin with,"
        " then an eighth of `trials` (from 80 trials on a sixteenth, with two batches in work).",
    )

    @model_validator(mode="after")
    def _check_objective(self) -> TuningSpec:
        if self.objective is None:
            return self
        if self.objective not in OBJECTIVES:
            rows = "only validation rows may be looked at" if self.objective.startswith("test/") else "unknown"
            raise BadInput(
                f"{self.objective!r}: {rows}", field="objective", remedy=f"choose from {', '.join(OBJECTIVES)}"
            )
        return self

    def metric_for(self, task: Task) -> str:
        """Return the objective's metric for a target, without its prefix.

        Raises
        ------
        BadInput
            When the objective doesn't fit the target.
        """
        if self.objective is None:
            return DEFAULT_METRIC[task]
        fitting = metrics_of(task)
        metric = self.objective.removeprefix(PREFIX)
        if metric not in fitting:
            remedy = f"use {', '.join(PREFIX + name for name in fitting)}, or leave it out"
            raise BadInput(f"{self.objective!r} doesn't fit a {task} target", field="objective", remedy=remedy)
        return metric


def _say_what_may_be_empty(schema: dict[str, Any]) -> None:
    """Let `training` stand empty; without `tuning` the search is the experiment's."""
    may_be_empty(schema, "training")
    del schema["properties"]["tuning"]["default"]


class TunableModelSpec(ModelSpec):
    """One model of an experiment, with its search; `tuning: null` trains it as given."""

    model_config = ConfigDict(title="Network", json_schema_extra=_say_what_may_be_empty)

    tuning: TuningSpec | None = Field(
        None,
        description="How this model is searched instead: the keys given replace the experiment's; null for no search.",
    )

    @model_validator(mode="after")
    def _check_space(self) -> TunableModelSpec:
        if self.tuning is not None:
            _check_usable(self, self.tuning.space.dimensions())
        return self

    def as_given(self) -> ModelSpec:
        """Return the model without its search."""
        return ModelSpec(hidden_units=self.hidden_units, activation=self.activation, training=self.training)


def direction_of(metric: str) -> Direction:
    """Whether lower or higher values of a metric are better."""
    return "minimize" if metric in LOWER_IS_BETTER else "maximize"


def configure(model: ModelSpec, params: Mapping[str, Any]) -> ModelSpec:
    """Return a model with some of its hyperparameters replaced by those of a trial."""
    hidden_units = model.hidden_units
    if "depth" in params or "width" in params:
        width = params.get("width", max(hidden_units, default=0))
        hidden_units = (width,) * params.get("depth", len(hidden_units))
    training = model.training.model_dump(exclude_unset=True)
    training |= {key: value for key, value in params.items() if key in TrainingSpec.model_fields}
    if training.get("optimizer", "SGD") != "SGD":
        training.pop("momentum", None)
    return ModelSpec(
        hidden_units=hidden_units,
        activation=params.get("activation", model.activation),
        training=TrainingSpec(**training),
    )


def largest(model: ModelSpec, dimensions: Mapping[str, Dimension]) -> ModelSpec:
    """Return the model of the space that needs most memory."""
    params: dict[str, Any] = {}
    for key in ("depth", "width"):
        if key in dimensions:
            dimension = dimensions[key]
            params[key] = max(dimension.choices) if dimension.choices else dimension.high  # type: ignore[type-var]
    return configure(model, params)


def most(key: str, fixed: int, dimensions: Mapping[str, Dimension]) -> int:
    """Return the largest whole number that a hyperparameter can have."""
    if key not in dimensions:
        return fixed
    numbers = [value for value in dimensions[key].choices if isinstance(value, int)]
    return max(numbers, default=int(dimensions[key].high))


def _dimension(key: str, entry: tuple[Value, ...]) -> Dimension:
    if not entry:
        raise BadInput("is empty", field=key, remedy="give [low, high], [low, high, log], or choices")
    numbers = [value for value in entry if isinstance(value, int | float)]
    log = len(entry) == 3 and len(numbers) == 2 and entry[2] == "log"
    if key not in NAMES and (log or len(entry) == len(numbers) == 2):
        return _range(key, *numbers, log=log)
    for value in entry:
        _check_choice(key, value)
    if len(set(entry)) < len(entry):
        raise BadInput(f"{list(entry)} names a choice twice", field=key, remedy="name each once")
    return Dimension(key, choices=entry)


def _range(key: str, low: float, high: float, *, log: bool) -> Dimension:
    shown = f"[{low}, {high}{', log' if log else ''}]"
    if low > high:
        raise BadInput(f"{shown} is inverted", field=key, remedy=f"write [{high}, {low}{', log' if log else ''}]")
    if log and low <= 0:
        raise BadInput(f"{shown}: a log range can't reach zero", field=key, remedy="give a lower end above 0")
    for value in (low, high):
        _check_choice(key, value)
    return Dimension(key, low, high, log)


def _check_choice(key: str, value: Value) -> None:
    if key in NAMES:
        fits, remedy = value in NAMES[key], f"choose from {', '.join(NAMES[key])}"
    elif key in WHOLE_NUMBERS:
        lowest = WHOLE_NUMBERS[key]
        fits = (isinstance(value, int) and value >= lowest) or (key == "batch_size" and value is None)
        remedy = f"give whole numbers of at least {lowest}" + (" or null" if key == "batch_size" else "")
    else:
        number = isinstance(value, int | float)
        fits = number and (value > 0 if key == "lr" else 0 <= value < (1 if key == "momentum" else float("inf")))  # type: ignore[operator]
        remedy = {"lr": "give numbers above 0", "momentum": "give numbers from 0 to below 1"}.get(
            key, "give numbers of at least 0"
        )
    if not fits:
        raise BadInput(f"{value!r} can't be used", field=key, remedy=remedy)


def _check_usable(model: ModelSpec, dimensions: Mapping[str, Dimension]) -> None:
    """Refuse keys that would be searched for nothing, or can't be applied."""
    deepest = most("depth", len(model.hidden_units), dimensions)
    for key in ("width", "activation"):
        if key in dimensions and not deepest:
            raise BadInput(
                f"{dimensions[key].describe()} is of no use: the model has no hidden layer",
                field=f"tuning.space.{key}",
                remedy="remove it, or give hidden_units or a depth of at least 1",
            )
    if "depth" in dimensions and deepest and "width" not in dimensions and not model.hidden_units:
        raise BadInput(
            f"{dimensions['depth'].describe()} is given without a width",
            field="tuning.space.depth",
            remedy="add width to the space, or give hidden_units",
        )
    if "momentum" in dimensions:
        optimizers = dimensions["optimizer"].choices if "optimizer" in dimensions else (model.training.optimizer,)
        if "SGD" not in optimizers:
            raise BadInput(
                f"is of no use: {' and '.join(map(str, optimizers))} has no momentum",
                field="tuning.space.momentum",
                remedy="remove it, or use optimizer: SGD",
            )
