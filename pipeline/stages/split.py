"""Split: rows into training, validation and test parts, with scaling fitted on the training rows alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, model_validator

from pipeline.artifacts import Dataset, Encoding, Floats, Integers, Split
from pipeline.errors import BadInput
from pipeline.spec import Spec
from pipeline.stages.encoding import fit_encoding, numbers_among

Share = Annotated[float, Field(ge=0, lt=1)]
ScalerName = Literal["standard", "minmax", "robust", "none"]


class SplitSpec(Spec):
    """How rows are parted; names and meanings are those of scikit-learn's `train_test_split`.

    `test_size` and `validation_size` are shares of the whole table, or numbers of rows. One of them may be 0: without
    validation rows the test rows are watched during training; without test rows the final numbers come from the
    validation rows. Both are said wherever it matters.
    """

    test_size: NonNegativeInt | Share = 0.2
    validation_size: NonNegativeInt | Share = 0.2
    random_state: NonNegativeInt = 42
    stratify: bool = True
    shuffle: bool = True
    scaler: ScalerName = "standard"
    group: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _check(self) -> SplitSpec:
        if not self.test_size and not self.validation_size:
            raise BadInput(
                "test_size and validation_size are both 0, so nothing could be measured",
                remedy="give one of them a share, such as 0.2",
            )
        if isinstance(self.test_size, float) and isinstance(self.validation_size, float):
            total = self.test_size + self.validation_size
            if total >= 1:
                raise BadInput(
                    f"test_size and validation_size together take {total:g} of the rows",
                    remedy="leave rows to train on: their sum must stay below 1",
                )
        return self


def split(dataset: Dataset, spec: SplitSpec, resample: int = 0) -> Split:
    """Part the rows of a dataset, and fit the scaling.

    With the same `random_state`, the test rows are those of scikit-learn's ``train_test_split(rows, test_size=…)``, and
    the validation rows those of a second such split of the rest. Resample r is drawn with `random_state + r`.

    Raises
    ------
    BadInput
        When a part would be empty or lack a class.
    """
    spec = spec.model_copy(update={"random_state": spec.random_state + resample})
    everything = dataset.labelled
    n_test, n_validation = (_row_count(size, len(everything)) for size in (spec.test_size, spec.validation_size))
    if n_test + n_validation >= len(everything):
        raise BadInput(
            f"{n_test} test and {n_validation} validation rows leave none of {len(everything)} to train on",
            remedy="lower test_size or validation_size, or use more rows",
        )
    rest, test = _part(dataset, everything, n_test, spec, "test_size")
    train, validation = _part(dataset, rest, n_validation, spec, "validation_size")
    return replace(_fit(dataset, train, validation, test, spec.scaler), resample=resample)


def without_test(split: Split, spec: SplitSpec) -> Split:
    """Return the same training and validation rows in a table that holds no others: tuning can't see a test row."""
    n_train = len(split.train)
    table = _take(split.dataset, np.concatenate([split.train, split.validation]))
    rows = np.arange(len(table.target), dtype=np.int64)
    return _fit(table, rows[:n_train], rows[n_train:], rows[:0], spec.scaler)


def undivided(dataset: Dataset, scaler: ScalerName) -> Split:
    """Return a split that has all rows to train on, with scaling fitted on them."""
    rows = np.arange(len(dataset.target), dtype=np.int64)
    return _fit(dataset, rows, rows[:0], rows[:0], scaler)


def folds(split: Split, spec: SplitSpec, count: int) -> tuple[Split, ...]:
    """Part the training and validation rows for cross-validation, in a table that holds no others.

    Each fold has its own scaling, fitted on its own training rows.

    Raises
    ------
    BadInput
        When there are fewer rows, or fewer of some class, than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    table = _take(split.dataset, np.concatenate([split.train, split.validation]))
    rows = np.arange(len(table.target), dtype=np.int64)
    stratified = spec.stratify and table.task != "regression"
    fewest = int(np.bincount(table.target.astype(int)).min()) if stratified else len(rows)
    if fewest < count:
        kind = "rows of the rarest class" if stratified else "rows"
        raise BadInput(f"{count} folds, but {fewest} {kind}", remedy="use fewer folds, or more rows")
    make = StratifiedKFold if stratified else KFold
    parts = make(count, shuffle=spec.shuffle, random_state=spec.random_state if spec.shuffle else None)
    return tuple(
        _fit(table, rows[train], rows[validation], rows[:0], spec.scaler)
        for train, validation in parts.split(rows, table.target)
    )


def _take(dataset: Dataset, rows: Integers) -> Dataset:
    """Return some rows of a dataset as a dataset of its own."""
    return replace(
        dataset,
        features=dataset.features[rows],
        target=dataset.target[rows],
        groups=None if dataset.groups is None else dataset.groups[rows],
        times=None if dataset.times is None else dataset.times[rows],
        weights=None if dataset.weights is None else dataset.weights[rows],
    )


def _fit(dataset: Dataset, train: Integers, validation: Integers, test: Integers, scaler: ScalerName) -> Split:
    """Check the parts, and fit the scaling on the training rows."""
    _check_classes(dataset, {"train": train, "validation": validation, "test": test})
    encoding, center, scale = _fit_inputs(dataset, train, scaler)
    target_center, target_scale = 0.0, 1.0
    if dataset.task == "regression" and scaler != "none":
        target_center = float(dataset.target[train].mean())
        target_scale = float(dataset.target[train].std()) or 1.0
    return Split(dataset, train, validation, test, center, scale, target_center, target_scale, encoding=encoding)


def _fit_inputs(dataset: Dataset, train: Integers, scaler: ScalerName) -> tuple[Encoding | None, Floats, Floats]:
    """Fit how features become inputs: the encoding of a file's table, and center and scale of each input."""
    features = dataset.features[train]
    if not dataset.columns:
        return None, *_fit_scaler(scaler, features)
    encoding = fit_encoding(dataset.columns, dataset.feature_names, features)
    center, scale = np.zeros(len(encoding.names)), np.ones(len(encoding.names))
    if encoding.n_numbers:
        numbers = slice(encoding.n_numbers)
        center[numbers], scale[numbers] = _fit_scaler(scaler, numbers_among(encoding, features))
    return encoding, center, scale


def _row_count(size: float, n_rows: int) -> int:
    return math.ceil(size * n_rows) if isinstance(size, float) else size


def _part(dataset: Dataset, rows: Integers, size: int, spec: SplitSpec, field: str) -> tuple[Integers, Integers]:
    """Return (what stays, what is taken)."""
    if not size:
        return rows, rows[:0]
    from sklearn.model_selection import train_test_split

    stratified = spec.stratify and dataset.task != "regression"
    if stratified and not spec.shuffle:
        raise BadInput(
            "rows kept in order can't be stratified", field="stratify", remedy="set stratify: false, or shuffle: true"
        )
    try:
        stays, taken = train_test_split(
            rows,
            test_size=size,
            random_state=spec.random_state if spec.shuffle else None,
            shuffle=spec.shuffle,
            stratify=dataset.target[rows] if stratified else None,
        )
    except ValueError as error:
        remedy = "use more rows, another size, or stratify: false"
        raise BadInput(str(error).splitlines()[0], field=field, remedy=remedy) from error
    return stays, taken


def _check_classes(dataset: Dataset, parts: dict[str, Integers]) -> None:
    for part, rows in parts.items():
        missing = sorted(set(range(len(dataset.class_names))) - set(dataset.target[rows].astype(int).tolist()))
        if missing and len(rows):
            names = ", ".join(dataset.class_names[label] for label in missing)
            raise BadInput(
                f"the {part} rows have none of class {names}",
                remedy="set stratify: true, enlarge that part, or use another random_state",
            )


def _fit_scaler(name: ScalerName, features: Floats) -> tuple[Floats, Floats]:
    """Center and scale of each column, so that the scaled value is (value - center) / scale."""
    if name == "none":
        return np.zeros(features.shape[1]), np.ones(features.shape[1])
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    if name == "minmax":
        fitted = MinMaxScaler().fit(features)
        return fitted.data_min_, 1 / fitted.scale_
    if name == "robust":
        fitted = RobustScaler().fit(features)
        return fitted.center_, fitted.scale_
    fitted = StandardScaler().fit(features)
    return fitted.mean_, fitted.scale_
