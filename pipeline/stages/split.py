"""Split: rows into training, validation and test parts, with scaling fitted on the training rows alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field, NonNegativeInt, model_validator

from pipeline.artifacts import Dataset, Encoding, Floats, Integers, Split
from pipeline.errors import BadInput
from pipeline.spec import Spec
from pipeline.stages.encoding import fit_encoding, numbers_among
from pipeline.stages.parting import Parted, take_groups, take_latest, windows

Share = Annotated[float, Field(ge=0, lt=1)]
ScalerName = Literal["standard", "minmax", "robust", "none"]


class SplitSpec(Spec):
    """How rows are parted; names and meanings are those of scikit-learn's `train_test_split`.

    `test_size` and `validation_size` are shares of the whole table, or numbers of rows. One of them may be 0: without
    validation rows the test rows are watched during training; without test rows the final numbers come from the
    validation rows. Both are said wherever it matters.

    Two columns of a table from a file change who goes where; only one of them can be given.

    `group` names what rows belong to, such as a customer: all rows of one group go to one part. Sizes are still those
    of rows, and are met as nearly as whole groups allow; with `stratify` so are the shares of the classes. The final
    part has at least two groups, since the verdict takes groups for its cases.

    `time` names when rows were: the test rows are the latest, the validation rows those before, and models are trained
    on the earliest. Rows of one time go to the later part together. `stratify`, `shuffle` and `random_state` have no
    say then.
    """

    model_config = ConfigDict(title="Split")

    test_size: NonNegativeInt | Share = Field(
        0.2, description="Test rows: their share of the whole table, or their number; 0 for none."
    )
    validation_size: NonNegativeInt | Share = Field(
        0.2, description="Validation rows: their share of the whole table, or their number; 0 for none."
    )
    random_state: NonNegativeInt = Field(42, description="Seed of the split; resample r is drawn with r more.")
    stratify: bool = Field(
        True, description="Whether each part has the classes' shares of the table; a regression has none."
    )
    shuffle: bool = Field(True, description="Whether rows are drawn, rather than kept in order.")
    scaler: ScalerName = Field(
        "standard",
        description="Scaling of the features, fitted on the training rows: scikit-learn's `StandardScaler`,"
        " `MinMaxScaler`, `RobustScaler`, or none.",
    )
    group: str | None = Field(
        None, description="Column of a table that names what rows belong to: rows of one group go to one part."
    )
    time: str | None = Field(
        None, description="Column of a table that says when rows were: the test rows are the latest."
    )

    @model_validator(mode="after")
    def _check(self) -> SplitSpec:
        if not self.test_size and not self.validation_size:
            raise BadInput(
                "test_size and validation_size are both 0, so nothing could be measured",
                remedy="give one of them a share, such as 0.2",
            )
        if self.group is not None and self.time is not None:
            raise BadInput(
                "group and time are both given",
                remedy="give group to keep rows of one group together, or time to test on the latest rows",
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
    Rows that come in groups, or in time, are parted as `SplitSpec` says.

    Raises
    ------
    BadInput
        When a part would be empty or lack a class, or the table has no groups or times to part by.
    """
    _check_columns(dataset, spec)
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

    Each fold has its own scaling, fitted on its own training rows. Groups stay whole (`GroupKFold`,
    `StratifiedGroupKFold`); in time, later rows are predicted from all earlier ones (`TimeSeriesSplit`).

    Raises
    ------
    BadInput
        When there are fewer rows, groups or times, or fewer rows of some class, than folds.
    """
    table = _take(split.dataset, np.concatenate([split.train, split.validation]))
    none = np.empty(0, dtype=np.int64)
    parts = _folds_of_rows(table, spec, count) if table.times is None else windows(table.times, count)
    return tuple(_fit(table, train, validation, none, spec.scaler) for train, validation in parts)


def _folds_of_rows(table: Dataset, spec: SplitSpec, count: int) -> Iterator[Parted]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    stratified = spec.stratify and table.task != "regression"
    fewest = int(np.bincount(table.target.astype(int)).min()) if stratified else len(table.target)
    kind = "rows of the rarest class" if stratified else "rows"
    if table.groups is not None and (n_groups := len(np.unique(table.groups))) < count:
        fewest, kind = n_groups, "groups"
    if fewest < count:
        raise BadInput(f"{count} folds, but {fewest} {kind}", remedy=f"use fewer folds, or more {kind.split()[0]}")
    if table.groups is None:
        make = StratifiedKFold if stratified else KFold
    else:
        make = StratifiedGroupKFold if stratified else GroupKFold
    parts = make(count, shuffle=spec.shuffle, random_state=spec.random_state if spec.shuffle else None)
    yield from parts.split(table.target, table.target, table.groups)


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


def _check_columns(dataset: Dataset, spec: SplitSpec) -> None:
    for field, column, values in (("group", spec.group, dataset.groups), ("time", spec.time, dataset.times)):
        if column is not None and values is None:
            raise BadInput(
                f"{column!r}: {dataset.name} has no such column, not being a table from a file",
                field=field,
                remedy="remove it, or give it to the datasets that have it",
            )
    if dataset.groups is not None and not spec.shuffle:
        raise BadInput("groups are drawn, not kept in order", field="shuffle", remedy="remove it, or group")


def _part(dataset: Dataset, rows: Integers, size: int, spec: SplitSpec, field: str) -> Parted:
    """Return the ids of (what stays, what is taken)."""
    if not size:
        return rows, rows[:0]
    if dataset.times is None and dataset.groups is None:
        return _drawn(dataset, rows, size, spec, field)
    if dataset.times is not None:
        stays, taken = take_latest(dataset.times[rows], size)
    else:
        assert dataset.groups is not None
        stays, taken = take_groups(
            dataset.groups[rows],
            dataset.target[rows].astype(np.int64) if spec.stratify and dataset.task != "regression" else None,
            size,
            least=1 if field == "validation_size" and spec.test_size else 2,
            least_left=2 if field == "test_size" and spec.validation_size else 1,
            random_state=spec.random_state,
        )
    return rows[stays], rows[taken]


def _drawn(dataset: Dataset, rows: Integers, size: int, spec: SplitSpec, field: str) -> Parted:
    """Draw rows, each for itself."""
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
                remedy="set stratify: true, enlarge that part, or use another random_state"
                if dataset.times is None
                else "set other sizes, or don't part by time: rows of that class may be of one time alone",
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
