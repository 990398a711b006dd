"""An experiment: the schema of its file, composed of the specs that live beside the code they configure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    Tag,
    WithJsonSchema,
    model_validator,
)

from pipeline.artifacts import Split, Task
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import HALF, ThresholdSpec
from pipeline.errors import BadInput
from pipeline.spec import Spec, may_be_empty
from pipeline.stages.baselines.spec import KEY, EstimatorSpec
from pipeline.stages.generate import DatasetSpec, suggestion
from pipeline.stages.metrics import metrics_of
from pipeline.stages.split import SplitSpec
from pipeline.stages.tables.spec import KEY as FILE
from pipeline.stages.tables.spec import OPENML, OpenmlSpec, TableSpec
from pipeline.stages.tuning.spec import TunableModelSpec, TuningSpec
from pipeline.training.spec import TrainingSpec

LARGEST_SEED = 2**63 - 1  # what torch.manual_seed takes

# Names become folders, tags and study names, so they hold no separators and no way upwards.
NAME = re.compile(r"\w[\w .+-]*")
# The same for a JSON schema, where \w is ASCII's alone: letters of other alphabets are told by what they are not.
NAMED: dict[str, Any] = {
    "type": "string",
    "pattern": r"^(?!.*\.\.)(?!.* $)[^\x00-/:-@\[-^`{-\x7f][^\x00-\x1f!-*,/:-@\[-^`{-\x7f]*$",
}


def _kind_of_model(given: Any) -> str:
    of_sklearn = KEY in given if isinstance(given, dict) else isinstance(given, EstimatorSpec)
    return "[sklearn]" if of_sklearn else "[network]"  # brackets keep these out of the field that a complaint names


ModelEntry = Annotated[
    Annotated[TunableModelSpec, Tag("[network]")] | Annotated[EstimatorSpec, Tag("[sklearn]")],
    Discriminator(_kind_of_model),
]


def _kind_of_dataset(given: Any) -> str:
    if FILE in given if isinstance(given, dict) else isinstance(given, TableSpec):
        return "[file]"
    openml = given.get("load") == OPENML if isinstance(given, dict) else isinstance(given, OpenmlSpec)
    return "[openml]" if openml else "[function]"


DatasetEntry = Annotated[
    Annotated[DatasetSpec, Tag("[function]")]
    | Annotated[TableSpec, Tag("[file]")]
    | Annotated[OpenmlSpec, Tag("[openml]")],
    Discriminator(_kind_of_dataset),
]


class TrackingSpec(Spec):
    """How much of a learning curve goes to MLflow; `history.parquet` always has all of it.

    MLflow's own UI draws at most 2500 points. Writing every epoch of a small network takes longer than training it
    (benchmarks/tracked_job.py).
    """

    model_config = ConfigDict(title="Tracking")

    curve_points: int = Field(
        100,
        ge=2,
        le=2500,
        description="Most evenly spaced points of a learning curve; the first, last and best epoch are always there.",
    )


GivenSeeds = Annotated[
    tuple[NonNegativeInt, ...],
    Field(strict=False, min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]


def _say_what_may_be_empty(schema: dict[str, Any]) -> None:
    """Let every section stand empty but those that can't be."""
    may_be_empty(schema, *(key for key in schema["properties"] if key not in (*schema["required"], "tuning")))


class Experiment(Spec):
    """One question: datasets, split, models, training, seeds, comparison.

    With `resamples: n` the split itself, and for generated data the data too, is drawn anew n times, since the choice
    of rows is a source of variance of its own (Bouthillier et al. 2021, "Accounting for Variance in Machine Learning
    Benchmarks"). Resample 0 is just what the rest of the file says; each has all models and all seeds. Hyperparameters
    are searched once, on the training and validation rows of resample 0, and used in all: `FixHOptEst` there, cheaper
    than a search in each resample and blind to the variance of searching. Where resamples share one table, rows that
    test a later one may be among those that the search has seen.
    """

    model_config = ConfigDict(title="Experiment", json_schema_extra=_say_what_may_be_empty)

    name: str = Field(
        description="What reports, runs and studies are found under; a file is usually called so.",
        json_schema_extra=NAMED,
    )
    question: str = Field("", description="The question that the file asks; the report begins with it.")
    split: SplitSpec = Field(
        SplitSpec(), description="How rows are parted into those to train on, to validate and to test."
    )
    training: TrainingSpec = Field(
        TrainingSpec(), description="How networks are trained, unless a model says otherwise."
    )
    tuning: TuningSpec | None = Field(
        None,
        description="How hyperparameters are searched before; null trains the models as given.",
        json_schema_extra={"required": ["space"]},
    )
    datasets: dict[str, DatasetEntry] = Field(
        min_length=1, description="The datasets, by name.", json_schema_extra={"propertyNames": NAMED}
    )
    models: dict[str, ModelEntry] = Field(
        min_length=1, description="The models to compare, by name.", json_schema_extra={"propertyNames": NAMED}
    )
    seeds: GivenSeeds = Field(
        tuple(range(10)),
        description="How many times each model is trained (seeds 0, 1, …), or a list of the seeds.",
        json_schema_extra={"default": 10},
    )
    resamples: int = Field(
        1, ge=1, le=1000, description="How many times the split (and, for generated data, the data) is drawn anew."
    )
    threshold: ThresholdSpec = Field(
        HALF,
        description="How two classes are labelled: by a probability of class 1, or by one chosen run by run on the"
        " validation rows: for `accuracy`, `f1` or `youden` (recall less the share of false alarms), for a precision or"
        " recall to be reached (`precision>=0.95`), or for the least cost (`{cost: {fp: 1, fn: 5}}`).",
        json_schema_extra={"default": HALF.level},
    )
    compare: CompareSpec = Field(CompareSpec(), description="How the models are compared.")
    tracking: TrackingSpec = Field(TrackingSpec(), description="How much of a learning curve goes to MLflow.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        complete = dict(given)
        for section, key in (("datasets", "split"), ("models", "training")):
            if section in given:
                complete[section] = _with_defaults(given[section], key, given.get(key))
        if given.get("tuning") is not None and "models" in given:
            complete["models"] = _with_tuning(complete["models"], given["tuning"])
        if "seeds" in given:
            complete["seeds"] = _seed_list(given["seeds"])
        # A section whose key stands alone is empty, not wrong; datasets and models can't be.
        return {key: value for key, value in complete.items() if value is not None or key in ("datasets", "models")}

    @model_validator(mode="after")
    def _check(self) -> Experiment:
        check_name(self.name, "name")
        for section in ("datasets", "models"):
            for name in getattr(self, section):
                check_name(name, f"{section}.{name}")
        _check_seeds(self.seeds)
        if self.resamples > 1:
            self._check_resamples()
        baseline = self.compare.baseline
        if baseline is not None and baseline not in self.models:
            raise BadInput(
                f"{baseline!r} is none of the models",
                field="compare.baseline",
                remedy=suggestion(baseline, list(self.models)),
            )
        return self

    def _check_resamples(self) -> None:
        for name in sorted(self.shared_tables):
            if self.datasets[name].split.time is not None:
                raise BadInput(
                    f"{self.resamples} resamples of {name} would be the same split, its rows being parted by time",
                    field="resamples",
                    remedy="set resamples: 1",
                )
            if not self.datasets[name].split.shuffle:
                raise BadInput(
                    f"{self.resamples} resamples of {name} would be the same split, its rows being kept in order",
                    field="resamples",
                    remedy=f"set datasets.{name}.split.shuffle: true, or resamples: 1",
                )

    @property
    def shared_tables(self) -> frozenset[str]:
        """Datasets whose resamples are splits of one table; those of the others have data of their own.

        Splits of one table share rows, so that the spread of scores over them understates the variance that other data
        would bring (Nadeau and Bengio 2003, "Inference for the Generalization Error").
        """
        return frozenset(name for name, spec in self.datasets.items() if spec.shares_table)

    @property
    def is_tuned(self) -> bool:
        """Whether any model's hyperparameters are searched."""
        return any(isinstance(model, TunableModelSpec) and model.tuning for model in self.models.values())

    def first_metrics(self, tasks: Mapping[str, Task]) -> dict[str, str]:
        """Return the metric shown first for each dataset, given what kind of target each has.

        It is `compare.metric` where that fits the target, else accuracy or the mean absolute error; where thresholds
        are chosen for F1, or for a precision or recall to be reached, F1 or the other one of the two.

        Raises
        ------
        BadInput
            When `compare.metric` fits no dataset.
        """
        given = self.compare.metric
        fitting = {name: metrics_of(task) for name, task in tasks.items()}
        if given is not None and not any(given in metrics for metrics in fitting.values()):
            known = sorted({metric for metrics in fitting.values() for metric in metrics})
            raise BadInput(
                f"{given!r} fits none of the datasets", field="compare.metric", remedy=f"use {', '.join(known)}"
            )
        usual = {name: self.threshold.compared if task == "binary" else None for name, task in tasks.items()}
        return {
            name: given if given and given in metrics else usual[name] or metrics[0]
            for name, metrics in fitting.items()
        }

    def check_threshold(self, splits: Mapping[str, Split]) -> None:
        """Hold the threshold's goal against the data.

        Raises
        ------
        BadInput
            When no dataset has two classes, or one that has them has no validation rows to choose a threshold on.
        """
        if self.threshold.is_default:
            return
        binary = [made for made in splits.values() if made.dataset.task == "binary"]
        rule = self.threshold.rule
        if not binary:
            raise BadInput(
                f"{rule!r} is for two classes, which no dataset has",
                field="threshold",
                remedy="leave it out: of more classes the likeliest is predicted",
            )
        for made in binary:
            if not self.threshold.is_fixed and not len(made.validation):
                raise BadInput(
                    f"{rule!r} can't be chosen on {made.dataset.name}, which has no validation rows,"
                    " and test rows are out of reach",
                    field="threshold",
                    remedy="give split.validation_size, or a fixed threshold between 0 and 1",
                )


def check_name(name: str, field: str) -> None:
    """Refuse names that can't be a folder's.

    Raises
    ------
    BadInput
        When the name holds a separator, `..`, or starts with anything but a letter, digit or underscore.
    """
    if not NAME.fullmatch(name) or ".." in name or name != name.strip():
        raise BadInput(
            f"{name!r} can't be a name",
            field=field,
            remedy="use letters, digits, and . _ + - or spaces inside",
        )


def _with_defaults(entries: Any, key: str, defaults: Any) -> Any:
    """Lay each dataset's split (model's training) over the experiment's; what is no mapping is left to the schema.

    Models of scikit-learn take none of it.
    """
    if not isinstance(entries, dict) or not isinstance(defaults, dict | None):
        return entries

    def complete(entry: Any) -> Any:
        if not isinstance(entry, dict) or KEY in entry or not isinstance(entry.get(key, {}), dict | None):
            return entry
        return {**entry, key: {**(defaults or {}), **(entry.get(key) or {})}}

    return {name: complete(entry) for name, entry in entries.items()}


def _with_tuning(models: Any, tuning: Any) -> Any:
    """Lay each model's search over the experiment's; `tuning: null` on a model means none."""
    if not isinstance(models, dict) or not isinstance(tuning, dict):
        return models

    def complete(model: Any) -> Any:
        own = model.get("tuning", {}) if isinstance(model, dict) and KEY not in model else None
        return {**model, "tuning": {**tuning, **own}} if isinstance(own, dict) else model

    return {name: complete(model) for name, model in models.items()}


def _seed_list(seeds: Any) -> Any:
    if isinstance(seeds, bool | str | float):
        raise BadInput(f"{seeds!r} can't be used", field="seeds", remedy="give a whole number, or a list of them")
    if isinstance(seeds, int):
        if seeds < 1:
            raise BadInput(f"{seeds} is not a number of seeds", field="seeds", remedy="give 1 or more, or a list")
        return list(range(seeds))
    return seeds


def _check_seeds(seeds: tuple[int, ...]) -> None:
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise BadInput(
            f"{twice[0]} is given more than once", field="seeds", remedy="list each seed once: a copy is no evidence"
        )
    if max(seeds) > LARGEST_SEED:
        raise BadInput(f"{max(seeds)} is too large", field="seeds", remedy=f"use seeds up to {LARGEST_SEED}")
