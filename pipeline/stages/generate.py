"""Generate: make or load a dataset."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, model_serializer, model_validator

from pipeline.artifacts import LARGEST, Dataset, Floats, Integers, Task
from pipeline.errors import BadInput
from pipeline.spec import Spec, may_be_empty
from pipeline.stages.split import SplitSpec

CLASSIFICATION_GENERATORS = ("blobs", "circles", "classification", "gaussian_quantiles", "hastie_10_2", "moons")
REGRESSION_GENERATORS = ("friedman1", "friedman2", "friedman3", "regression")
CLASSIFICATION_TABLES = ("breast_cancer", "digits", "iris", "wine")
REGRESSION_TABLES = ("diabetes",)

# Arguments that would change what a function returns, rather than which data it makes.
SHAPE_OF_THE_ANSWER = {"return_X_y", "as_frame", "return_centers", "return_distributions", "coef"}

TUPLES = ("n_samples", "center_box")  # scikit-learn wants tuples there, and YAML has lists alone

DEFAULT_RANDOM_STATE = 42  # a generator without one would make other data at every call

# Their random_state draws what is to be learned, and not only the rows: with another one it is another problem.
DRAWN_LAWS = ("classification", "regression")
# Without noise their points lie where they lie, and random_state can only change the order.
FIXED_POINTS = ("circles", "line", "moons", "spirals")


def _say_arguments(schema: dict[str, Any]) -> None:
    """Put the function's own arguments beside its name, as files have them, and exactly one function."""
    fields = schema["properties"]
    del fields["arguments"]
    for key, names in KNOWN.items():
        fields[key] = {"enum": sorted(names), "description": fields[key]["description"]}
    fields["file"] = False  # that is another kind of dataset
    may_be_empty(schema, "split")
    schema["oneOf"] = [{"required": ["make"]}, {"required": ["load"]}]
    schema["additionalProperties"] = {"description": "An argument of the function, by its own name."}


class DatasetSpec(Spec):
    """One dataset: exactly one of `make` and `load`, and the function's own keyword arguments beside it.

    `make: circles` is `sklearn.datasets.make_circles`, `load: wine` is `sklearn.datasets.load_wine`; `make: spirals`
    and `make: line` are Photofinish's own. `split` overrides the experiment's split for this dataset.
    """

    model_config = ConfigDict(title="Generated or built-in data", json_schema_extra=_say_arguments)

    make: str | None = Field(
        None, description="Generator: `sklearn.datasets.make_…`, or one of Photofinish's own, `line` and `spirals`."
    )
    load: str | None = Field(None, description="Table that comes with scikit-learn: `sklearn.datasets.load_…`.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="The function's own arguments, by name.")
    split: SplitSpec = Field(
        SplitSpec(), description="How this dataset is parted instead: the keys given replace the experiment's."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        own = {"make", "load", "split"}
        fields = {key: value for key, value in given.items() if key in own}
        return {**fields, "arguments": {key: value for key, value in given.items() if key not in own}}

    @model_validator(mode="after")
    def _check(self) -> DatasetSpec:
        sources = [key for key in ("make", "load") if getattr(self, key) is not None]
        if len(sources) != 1:
            given = " and ".join(sources) or "none of them"
            raise BadInput(f"{given} given", remedy="give exactly one of make, load and file")
        _check_arguments(self.source, _function(self), self.arguments)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        source = {key: value for key in ("make", "load") if (value := getattr(self, key)) is not None}
        return {**source, **self.arguments, "split": self.split.model_dump()}

    @property
    def source(self) -> str:
        """The function that the data comes from, in the words a reader would look up."""
        if self.make in OWN_GENERATORS:
            return f"photofinish {self.make}"
        return f"sklearn.datasets.{f'make_{self.make}' if self.make else f'load_{self.load}'}"

    @property
    def shares_table(self) -> bool:
        """Whether resamples are splits of one and the same table; otherwise each has new data of the same law.

        Shared tables are those that are loaded, those of generators whose `random_state` draws the law too
        (`classification`, `regression`), and points without noise, of which there is only one set.
        """
        if self.make is None or self.make in DRAWN_LAWS:
            return True
        if self.make not in FIXED_POINTS:
            return False
        return not self.arguments.get("noise", inspect.signature(_function(self)).parameters["noise"].default)


def generate(name: str, spec: DatasetSpec, resample: int = 0) -> Dataset:
    """Make or load one dataset.

    Resample 0 is just what the spec says. Resample r is made with `random_state + r` by the same law: the centers of
    `blobs` stay those of resample 0. A shared table (`DatasetSpec.shares_table`) is the same in every resample.

    Raises
    ------
    BadInput
        When the function refuses its arguments, or what it gives has fewer than two classes.
    """
    arguments = dict(spec.arguments)
    function = _function(spec)
    if "random_state" in inspect.signature(function).parameters:
        arguments.setdefault("random_state", DEFAULT_RANDOM_STATE)
    _check_class_count(arguments)
    if resample and not spec.shares_table:
        arguments = _redrawn(spec, arguments, resample)
    try:
        made = function(**_with_tuples(arguments))
    except (ValueError, TypeError) as error:
        raise BadInput(f"{spec.source}: {str(error).splitlines()[0]}", remedy="correct its arguments") from error
    if isinstance(made, tuple):
        features, target = made
        feature_names, class_names = None, None
    else:
        features, target = made.data, made.target
        feature_names = [str(column) for column in made.feature_names]
        class_names = [str(label) for label in made.get("target_names", [])]
    if not (np.abs(features) <= LARGEST).all() or not (np.abs(target) <= LARGEST).all():
        raise BadInput(
            f"{spec.source} gives values that aren't finite, or too large (beyond ±{LARGEST:.2g})",
            remedy="correct its arguments",
        )
    is_regression = spec.make in (*REGRESSION_GENERATORS, "line") or spec.load in REGRESSION_TABLES
    dataset = _dataset(name, spec.source, features, target, is_regression, feature_names, class_names)
    return replace(dataset, recipe={"make": spec.make, **arguments} if spec.make else {})


def _redrawn(spec: DatasetSpec, arguments: dict[str, Any], resample: int) -> dict[str, Any]:
    """Return the arguments that make other data of the same law."""
    random_state = arguments["random_state"]
    if not isinstance(random_state, int):
        raise BadInput(
            f"{random_state!r} can't be counted up from resample to resample",
            field="random_state",
            remedy="give a whole number",
        )
    if spec.make == "blobs":
        _, _, centers = _function(spec)(**_with_tuples(arguments), return_centers=True)
        arguments = {**arguments, "centers": centers.tolist()}
    return {**arguments, "random_state": random_state + resample}


def spirals(
    n_samples: int = 300, n_classes: int = 3, noise: float = 0.2, random_state: int = DEFAULT_RANDOM_STATE
) -> tuple[Floats, Integers]:
    """Interleaved spiral arms, one a class, as in Stanford's CS231n notes on neural networks.

    Per class j: radius r = linspace(0, 1), angle t = linspace(4j, 4(j + 1)) + noise · N(0, 1), and the point is
    (r sin t, r cos t).
    Each class gets ``n_samples // n_classes`` points.
    """
    if n_classes < 1 or n_samples < n_classes:
        raise ValueError(f"n_samples={n_samples} can't be shared out among n_classes={n_classes}")
    if noise < 0:
        raise ValueError(f"noise={noise} is negative")
    random = np.random.RandomState(random_state)
    per_class = n_samples // n_classes
    arms = []
    for label in range(n_classes):
        radius = np.linspace(0.0, 1, per_class)
        angle = np.linspace(label * 4, (label + 1) * 4, per_class) + random.randn(per_class) * noise
        arms.append(np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]))
    return np.concatenate(arms), np.repeat(np.arange(n_classes, dtype=np.int64), per_class)


def line(
    n_samples: int = 100,
    step: float = 0.01,
    weight: float = 0.7,
    bias: float = 0.3,
    noise: float = 0.0,
    random_state: int = DEFAULT_RANDOM_STATE,
) -> tuple[Floats, Floats]:
    """A straight line: x = 0, step, 2·step, …; y = weight · x + bias + noise · N(0, 1)."""
    if n_samples < 1:
        raise ValueError(f"n_samples={n_samples} is not positive")
    values: Floats = np.arange(n_samples, dtype=np.float64) * step
    random = np.random.RandomState(random_state)
    return values[:, None], weight * values + bias + noise * random.randn(n_samples)


OWN_GENERATORS: dict[str, Callable[..., tuple[Floats, Any]]] = {"line": line, "spirals": spirals}
KNOWN = {
    "make": (*CLASSIFICATION_GENERATORS, *REGRESSION_GENERATORS, *OWN_GENERATORS),
    "load": (*CLASSIFICATION_TABLES, *REGRESSION_TABLES),
}


def _function(spec: DatasetSpec) -> Callable[..., Any]:
    if spec.make in OWN_GENERATORS:
        return OWN_GENERATORS[spec.make]
    kind, name = ("make", spec.make) if spec.make is not None else ("load", spec.load)
    known = KNOWN[kind]
    if name not in known:
        problem = f"{name!r} is no {'generator' if kind == 'make' else 'table'} that Photofinish knows"
        others = ("openml",) if kind == "load" else ()  # it is another spec's: `pipeline.stages.tables.spec.OpenmlSpec`
        raise BadInput(problem, field=kind, remedy=suggestion(str(name), (*known, *others)))
    from sklearn import datasets  # here: it takes a second, which `--help` shouldn't

    function: Callable[..., Any] = getattr(datasets, f"{kind}_{name}")
    return function


def _check_arguments(source: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    accepted = [name for name in inspect.signature(function).parameters if name not in SHAPE_OF_THE_ANSWER]
    for key in arguments:
        if key not in accepted:
            raise BadInput(f"{source} has no such argument", field=key, remedy=suggestion(key, accepted))
    required = [
        name for name, p in inspect.signature(function).parameters.items() if p.default is inspect.Parameter.empty
    ]
    for key in required:
        if key not in arguments:
            raise BadInput(f"{source} needs it", field=key, remedy="add it")


def suggestion(given: str, known: tuple[str, ...] | list[str]) -> str:
    """Remedy for a name that isn't known: the nearest one, and what there is."""
    near = difflib.get_close_matches(given, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}choose from {', '.join(sorted(known))}" if known else "remove it"


def _with_tuples(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if key in TUPLES and isinstance(value, list) else value for key, value in arguments.items()
    }


def _check_class_count(arguments: Mapping[str, Any]) -> None:
    rows = arguments.get("n_samples", 100)
    for key in ("centers", "n_classes"):
        classes = arguments.get(key)
        if isinstance(rows, int) and isinstance(classes, int) and classes > rows:
            raise BadInput(
                f"{classes} classes for {rows} rows",
                field=key,
                remedy="raise n_samples, or ask for fewer classes",
            )


def _dataset(
    name: str,
    source: str,
    features: Any,
    target: Any,
    is_regression: bool,
    feature_names: list[str] | None,
    class_names: list[str] | None,
) -> Dataset:
    table = np.ascontiguousarray(features, dtype=np.float64)
    columns = feature_names or [f"x{column + 1}" for column in range(table.shape[1])]
    task: Task = "regression"
    if is_regression:
        labels: Floats | Integers = np.asarray(target, dtype=np.float64)
        classes: list[str] = []
    else:
        values, labels = np.unique(target, return_inverse=True)
        labels = labels.astype(np.int64)
        classes = class_names or [f"{value:g}" for value in values]
        if len(classes) < 2:
            raise BadInput("the target has a single class", remedy="a classification needs at least two")
        task = "binary" if len(classes) == 2 else "multiclass"
    digest = digest_of(table, labels, columns, classes)
    return Dataset(name, table, labels, task, tuple(columns), tuple(classes), source, digest)


def digest_of(
    features: Floats, target: Floats | Integers, columns: list[str], classes: list[str], read_as: object = None
) -> str:
    """SHA-256 over every value and name, whatever the dataset is called in its experiment.

    `read_as`, of a table from a file, is what its columns were read as.
    """
    digest = hashlib.sha256()
    for array in (features, target):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).data)
    digest.update(repr((columns, classes)).encode())
    if read_as is not None:
        digest.update(repr(read_as).encode())
    return digest.hexdigest()
