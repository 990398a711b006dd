"""The frozen values that stages hand to one another.

Shapes are written in comments: `rows` are table rows, `features` columns, `classes` the number of classes,
`epochs` the epochs that were trained. Row ids are positions in the dataset as it was made or loaded, so they
mean the same in every split, ledger and picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

Task = Literal["binary", "multiclass", "regression"]
Part = Literal["train", "validation", "test"]
ColumnKind = Literal["number", "boolean", "category", "date"]
DatePart = Literal["days", "month", "weekday", "hour"]

ENCODED_AT_ONCE = 2**15  # rows: one-hot inputs in double precision take many times the memory of what they are made of
LARGEST = float(np.finfo(np.float32).max)  # value of data: networks and trees calculate in single precision


@dataclass(frozen=True)
class Column:
    """How one feature was read from a column of a file: what its numbers stand for.

    A number is itself, a boolean 0 or 1, a category its place in `categories`. A date gives several features, one a
    part: days since 1970, and its month, weekday and hour.
    """

    source: str  # the file's column
    kind: ColumnKind
    categories: tuple[str, ...] = ()  # ascending; also the names of months and weekdays
    part: DatePart | None = None  # of a date
    format: str | None = None  # of a date: "ISO8601", or strptime's "%d.%m.%Y"

    @property
    def written_kind(self) -> str:
        """Its kind in words, with the part of a date: "date: weekday"."""
        return f"{self.kind}: {self.part}" if self.part else self.kind

    @property
    def is_amount(self) -> bool:
        """Whether more and less mean something: of numbers, days and hours; not of codes, months and weekdays."""
        return not self.categories and self.kind != "boolean"


def describe(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return columns in JSON's types, as `pipeline.raw_columns.features_of` takes them."""
    return [{**asdict(column), "categories": list(column.categories)} for column in columns]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table with its target, in original units.

    Only tables from files have `columns`, missing features (NaN), and rows without a target: class index -1, or NaN.
    Such a row belongs to no part of a split; it stays, so that a row id is the row's place in the file.
    """

    name: str
    features: Floats  # (rows, features)
    target: Floats | Integers  # (rows,): class index, or a real value for a regression
    task: Task
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]  # empty for a regression
    source: str  # where it came from, in one line: "sklearn.datasets.make_circles"
    digest: str  # SHA-256 over names, shapes and every value
    # How it was generated, in JSON's types: {"make": "moons"} and every argument in effect; empty for a loaded table.
    recipe: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()  # (features,): what they were read from; empty where all are plain numbers
    groups: Integers | None = None  # (rows,): rows of one group stay in one part
    times: Floats | None = None  # (rows,): ascending with time; rows of one part are later than those of the one before
    weights: Floats | None = None  # (rows,): how much each row counts in training
    # How the file was read, in JSON's types, as `pipeline.stages.tables.blocks.raw_frames` takes it: the names of all
    # its columns (`known`), and what the experiment file says of delimiter, encoding, decimal and na_values.
    reading: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()  # what reading left out, took for granted or found odd, a sentence each

    @property
    def n_features(self) -> int:
        """Number of feature columns."""
        return int(self.features.shape[1])

    @property
    def are_amounts(self) -> npt.NDArray[np.bool_]:
        """Which features can be drawn along an axis and have a median, (features,): of tables not from files all."""
        if not self.columns:
            return np.ones(self.n_features, dtype=np.bool_)
        return np.array([column.is_amount for column in self.columns])

    @property
    def has_only_numbers(self) -> bool:
        """Whether every feature is a plain number, and none is missing."""
        kinds = {column.kind for column in self.columns}
        return kinds <= {"number"} and not (self.columns and np.isnan(self.features).any())

    @property
    def labelled(self) -> Integers:
        """Ids of the rows that have a target."""
        known = ~np.isnan(self.target) if self.task == "regression" else self.target >= 0
        return np.flatnonzero(known).astype(np.int64)

    @property
    def n_outputs(self) -> int:
        """Number of network outputs: one logit for two classes, one per class for more, one for a regression."""
        return len(self.class_names) if self.task == "multiclass" else 1


@dataclass(frozen=True, eq=False)
class Encoding:
    """How the features of a file's table become inputs, before they are scaled; fitted on the training rows alone."""

    transformer: Any  # scikit-learn's ColumnTransformer, (rows, features) → (rows, inputs)
    names: tuple[str, ...]  # (inputs,): "age", "age is missing", "city = Graz"
    n_numbers: int  # the first inputs, which are scaled; all others are 0 or 1

    def inputs(self, features: Floats) -> Floats:
        """Fill in what is missing and give each category an input of its own, (rows, inputs)."""
        encoded: Floats = self.transformer.transform(features)
        return encoded


@dataclass(frozen=True, eq=False)
class Split:
    """Row ids of the three parts, with the encoding and scaling that were fitted on the training rows alone.

    Scaling is affine, ``(value - center) / scale``; a regression's target is scaled too, and predictions come
    back in original units. `monitored` names the rows whose loss is followed during training, `final` those the
    final numbers are computed on: they differ from validation and test only when one of those parts is empty.
    `resample` is the draw that the split belongs to; draw 0 is just what the experiment file says.
    """

    dataset: Dataset
    train: Integers
    validation: Integers
    test: Integers
    center: Floats  # (inputs,), which are the features themselves where nothing is encoded
    scale: Floats  # (inputs,)
    target_center: float
    target_scale: float
    resample: int = 0
    encoding: Encoding | None = None  # of tables from files

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, (inputs,): those of the features where nothing is encoded."""
        return self.encoding.names if self.encoding else self.dataset.feature_names

    @property
    def monitored(self) -> Part:
        """The part whose loss is followed during training: test only when there are no validation rows."""
        return "validation" if len(self.validation) else "test"

    @property
    def final(self) -> Part:
        """The part that the final numbers come from: validation only when there are no test rows."""
        return "test" if len(self.test) else "validation"

    def rows(self, part: Part) -> Integers:
        """Row ids of one part."""
        rows: Integers = getattr(self, part)
        return rows

    def scaled_features(self, rows: Integers) -> Singles:
        """Network input for some rows, shape (len(rows), inputs)."""
        return self.scale_features(self.dataset.features[rows])

    def scale_features(self, features: Floats) -> Singles:
        """Network input for any points given in original units, (rows, features) to (rows, inputs)."""
        if self.encoding is None:
            return ((features - self.center) / self.scale).astype(np.float32)
        scaled = np.empty((len(features), len(self.center)), dtype=np.float32)
        for start in range(0, len(features), ENCODED_AT_ONCE):
            block = slice(start, start + ENCODED_AT_ONCE)
            scaled[block] = (self.encoding.inputs(features[block]) - self.center) / self.scale
        return scaled

    def scaled_target(self, rows: Integers) -> Singles | Integers:
        """Network target for some rows, shape (len(rows),): class indices stay as they are."""
        target = self.dataset.target[rows]
        if self.dataset.task != "regression":
            return target.astype(np.int64)
        return ((target - self.target_center) / self.target_scale).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network, free of padding: what is stored, drawn and served."""

    activation: str
    weights: tuple[Singles, ...]  # per layer (out, in)
    biases: tuple[Singles, ...]  # per layer (out,)

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return tuple(len(bias) for bias in self.biases[:-1])

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for array in (*self.weights, *self.biases))


@dataclass(frozen=True, eq=False)
class FittedEstimator:
    """One fitted estimator of scikit-learn; from scaled features to class probabilities, or a scaled prediction."""

    name: str  # of its class: "LogisticRegression"
    arguments: Mapping[str, Any]  # those given
    version: str  # scikit-learn's
    estimator: Any  # None where fitting failed
    notes: tuple[str, ...] = ()  # what to know of it: "scikit-learn warned: …"

    @property
    def parameter_count(self) -> int | None:
        """Number of coefficients and intercepts of a linear model; None of others, which have no such measure."""
        if not hasattr(self.estimator, "coef_"):
            return None
        return int(np.size(self.estimator.coef_)) + int(np.size(self.estimator.intercept_))


@dataclass(frozen=True, eq=False)
class History:
    """One network's learning curves, a value an epoch; an estimator of scikit-learn has none, and so no epochs.

    `train_*` is measured on the forward pass that the update of that epoch follows (the mean over its batches),
    `validation_*` after the update, on the monitored rows. Where rows or classes have weights, `train_loss` is the
    weighted loss, which is minimised; the others count every row once. Accuracy is NaN for a regression, and
    `validation_*` when there are no monitored rows.
    """

    train_loss: Floats  # (epochs,)
    train_accuracy: Floats
    validation_loss: Floats
    validation_accuracy: Floats

    def curves(self) -> dict[str, Floats]:
        """Curves under their contract names, leaving out those that are NaN throughout."""
        named = {
            "train/loss": self.train_loss,
            "train/accuracy": self.train_accuracy,
            "validation/loss": self.validation_loss,
            "validation/accuracy": self.validation_accuracy,
        }
        return {name: curve for name, curve in named.items() if not np.isnan(curve).all()}


NO_HISTORY = History(*(np.empty(0) for _ in range(4)))  # of an estimator of scikit-learn


@dataclass(frozen=True, eq=False)
class Snapshots:
    """What one network said over the plane of a two-feature dataset, after some of its epochs.

    `codes` are class probabilities on the grid, as `pipeline.planes.encode` writes them.
    """

    epochs: Integers  # (frames,): epochs trained by then, ascending
    x: Floats  # (columns,): first feature in original units, ascending and evenly spaced
    y: Floats  # (rows,): second feature, likewise
    codes: Bytes  # (frames, rows, columns)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """One model run: dataset × model × seed × resample after training, or what became of it."""

    dataset: str
    model: str
    seed: int
    params: Mapping[str, Any]  # the contract's parameters: hidden_units, lr, epochs, …, or sklearn and its arguments
    network: Network | FittedEstimator
    history: History
    fingerprint: str
    started_at: float  # seconds since 1970
    seconds: float  # this run's share of its population's training time
    failure: str | None = None  # why it stopped early: "train/loss became nan in epoch 17"
    resample: int = 0
    snapshots: Snapshots | None = None  # of resample 0, where it lies in the plane and training didn't fail


@dataclass(frozen=True)
class Threshold:
    """The probability of class 1 above which a row is labelled 1, and what it was chosen for.

    `low` and `high` bound its 95 % bootstrap interval; a fixed threshold has no width. `validation_score` is what the
    goal was worth at it on the validation rows: accuracy, F1, Youden's J, minus the cost a row; for `precision>=x`
    the recall, or, where x wasn't reached, the precision. None when the threshold is fixed.
    """

    value: float
    low: float
    high: float
    goal: str  # "0.5", "f1", "precision>=0.95", "cost fp=1 fn=5"
    reached: bool = True  # False when no threshold has the precision or recall that was asked for
    validation_score: float | None = None


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A model run with its predictions and final numbers; both empty when training failed.

    `predictions` has a row per validation and test row: `split, row_id, label, p_0 … p_k` for classes (the
    probability of each), `split, row_id, label, prediction` for a regression, and last `threshold`, which is NaN
    unless there are two classes.
    """

    trained: TrainedModel
    metrics: Mapping[str, float] = field(default_factory=dict)
    predictions: pd.DataFrame | None = None
    threshold: Threshold | None = None  # None unless there are two classes
    predict_seconds: float | None = None  # from one raw row to its prediction

    @property
    def label_threshold(self) -> float:
        """Probability of class 1 above which rows are labelled 1; 0.5 where there is no choice."""
        return self.threshold.value if self.threshold else 0.5


TrialState = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial of a search: some hyperparameters, and what they were worth on validation rows.

    `steps` are the objective's values after some epochs, the last one included. `history` is the mean over the
    trial's networks; None when the trial was trained by an earlier execution.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    value: float | None  # None unless complete
    steps: Mapping[int, float]  # epochs → objective
    seconds: float  # of training, this trial's share
    started_at: float  # seconds since 1970
    failure: str | None = None
    history: History | None = None
    run_id: str | None = None  # in MLflow


@dataclass(frozen=True, eq=False)
class Search:
    """One finished study: dataset × model with its trials and the best of them."""

    name: str  # the study's, <experiment>/<dataset>/<model>
    dataset: str
    model: str
    objective: str  # "validation/log_loss"
    minimizes: bool
    storage: str  # its address, without a password
    space: Mapping[str, Sequence[Any]]  # hyperparameter → as the file writes it
    trials: tuple[Trial, ...]
    best: Trial
    importances: Mapping[str, float]  # shares of 1; empty when there were too few trials
    edges: tuple[str, ...]  # a line for each best value at the end of its range
