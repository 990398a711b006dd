"""Read a table into a dataset: from a file, or from columns that are there already."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Column, Dataset, Floats, Integers, describe
from pipeline.errors import BadInput
from pipeline.raw_columns import features_of
from pipeline.stages.generate import digest_of
from pipeline.stages.tables.columns import Cells, Raw, recognise
from pipeline.stages.tables.dates import Unclear
from pipeline.stages.tables.files import Source, find, listed, meant, open_table, read_columns
from pipeline.stages.tables.spec import KEY, OF_CSV, ColumnsSpec, TableSpec
from pipeline.stages.tables.target import read_target

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LEVELS = 50  # of a category: each is an input of its own
MOST_LISTED_LEVELS = 2000  # of one that the file lists, whatever it costs
NEARLY_ALL = 0.95  # of a column's texts are different: they name the rows
FEWEST_NAMED = 20  # values: of fewer nothing can be said
NAMED_ID = re.compile(r"(?i:(^|[\W_])id)$|[a-z]I[dD]$")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass
class _LeftOut:
    """Columns that were left out, by the reason."""

    columns: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, column: str) -> None:
        self.columns.setdefault(reason, []).append(column)

    def notices(self) -> list[str]:
        return [f"Left out, since {reason}: {listed(columns)}." for reason, columns in self.columns.items()]


@contextmanager
def under_key(key: str) -> Iterator[None]:
    """Put complaints about the table itself under the key that names it; others are about a key of their own."""
    try:
        yield
    except BadInput as error:
        raise (error if error.field else error.within(field=key)) from error


@under_key(KEY)
def read_dataset(name: str, spec: TableSpec, folder: Path) -> Dataset:
    """Read a CSV or Parquet file, as `dataset_of` reads columns.

    Parameters
    ----------
    name:
        Of the dataset.
    spec:
        What the experiment file says.
    folder:
        Where the experiment file lies.

    Raises
    ------
    BadInput
        When the file isn't there or can't be used, or lacks what the spec names.
    """
    given = {key: value for key in OF_CSV if (value := getattr(spec, key)) is not None}
    source = open_table(find(spec.file, folder), spec.file, hint=_named(spec), **given)
    cells, names = Cells(source, spec.na_values), columns_to_read(spec, source)
    columns = dict(zip(names, read_columns(source, names, cells.missing), strict=True))
    return dataset_of(name, spec, cells, columns, given)


def columns_to_read(spec: ColumnsSpec, source: Source) -> list[str]:
    """Return the columns that are needed: the target, those that weigh, group or order the rows, and the features.

    Raises
    ------
    BadInput
        When the table lacks a column that the spec names, or has none to learn from.
    """
    _check_columns(spec, source)
    return list(dict.fromkeys([spec.target, *spec.roles.values(), *_wanted(spec, source)]))


def _wanted(spec: ColumnsSpec, source: Source) -> Sequence[str]:
    """Return the columns that may be learned from."""
    set_apart = (spec.target, *spec.roles.values(), *spec.drop)
    wanted = spec.features or [one for one in source.names if one not in set_apart]
    if not wanted:
        raise source.complain("has no columns to learn from", "keep some beside the target")
    return wanted


def dataset_of(
    name: str,
    spec: ColumnsSpec,
    cells: Cells,
    columns: dict[str, pa.ChunkedArray],
    form: Mapping[str, str],
    notices: Sequence[str] = (),
) -> Dataset:
    """Make a dataset of a table's columns.

    Each column that isn't left out becomes a feature, a date several (`pipeline.raw_columns`). Left out, with a notice,
    are columns that name rows rather than describe them, categories of more than 50 levels, dates of which day and
    month can't be told apart, and those that weigh, group or order the rows; `features` overrules.

    Parameters
    ----------
    name:
        Of the dataset.
    spec:
        What the experiment file says.
    cells:
        The table, with the rules that its cells are read by.
    columns:
        Those of `columns_to_read`; features are taken out of it, which frees their memory when they are read.
    form:
        What the experiment file says of how text is written; it goes to `Dataset.reading`.
    notices:
        What is to be said before what is found here.

    Raises
    ------
    BadInput
        When a column can't be used.
    """
    source, roles = cells.source, spec.roles
    wanted = _wanted(spec, source)
    target = read_target(cells, columns[spec.target], spec)
    dataset = Dataset(
        name,
        np.empty((0, 0)),
        target.values,
        target.task,
        (),
        target.class_names,
        source.shown,
        digest="",
        groups=_groups(cells, roles["group"], columns) if "group" in roles else None,
        times=_times(cells, roles["time"], columns) if "time" in roles else None,
        weights=_weights(cells, roles["weights"], columns) if "weights" in roles else None,
        reading={"known": list(source.names), "na_values": list(spec.na_values), **form},
    )
    left_out = _LeftOut()
    for role in dict.fromkeys(roles.values()):
        if role not in wanted and role not in spec.drop:
            left_out.add("they weigh, group or order rows (list them in features to learn from them too)", role)
    dataset = _with_features(dataset, spec, cells, {one: columns.pop(one) for one in wanted}, left_out)
    return replace(dataset, notices=(*notices, *target.notices, *left_out.notices()))


def _with_features(
    dataset: Dataset, spec: ColumnsSpec, cells: Cells, columns: dict[str, pa.ChunkedArray], left_out: _LeftOut
) -> Dataset:
    """Read the features, freeing each column's text when it is read."""
    raws, described = [], []
    for name in list(columns):
        raw = _kept(
            recognise(cells, name, columns.pop(name), as_category=name in spec.categorical), spec, name, left_out
        )
        if raw is not None:
            raws.append(raw)
            described.append(_described(raw))
    if not raws:
        raise cells.source.complain("has no columns to learn from", "list those that are of use in features")
    names = [name for parts in described for name in parts]
    _check_distinct(cells, names)
    features = np.empty((len(dataset.target), len(names)))
    place = 0
    for parts in described:
        raw = raws.pop(0)
        made = features_of(raw.values.to_frame(raw.name), describe(list(parts.values())))
        features[:, place : place + len(parts)] = made
        place += len(parts)
    read_as = tuple(column for parts in described for column in parts.values())
    digest = digest_of(features, dataset.target, names, list(dataset.class_names), describe(read_as))
    return replace(dataset, features=features, feature_names=tuple(names), columns=read_as, digest=digest)


def _kept(raw: Raw | Unclear, spec: ColumnsSpec, name: str, left_out: _LeftOut) -> Raw | None:
    """Return a column that is to be learned from, or note why it is left out."""
    overrule = "list columns in features to keep them"
    if isinstance(raw, Unclear):
        problem = f"dates such as {raw.example!r} can be read in two ways (write 2024-12-31)"
        if spec.features:
            raise BadInput(f"{name!r} can't be used: its {problem}", field="features", remedy="remove it there")
        left_out.add(problem, name)
        return None
    levels = len(raw.values.cat.categories) if raw.kind == "category" else 0
    if spec.features:
        if levels > MOST_LISTED_LEVELS:
            problem = f"{name!r} has {levels:,} different texts, each of which would be an input"
            raise BadInput(problem, field="features", remedy="remove it there")
        return raw
    if _names_rows(raw):
        left_out.add(f"they seem to name rows, all of their values being different ({overrule})", name)
    elif levels > MOST_LEVELS:
        left_out.add(f"they have more than {MOST_LEVELS} different texts ({overrule})", name)
    else:
        return raw
    return None


def _names_rows(raw: Raw) -> bool:
    """Whether a column looks like an identifier."""
    known = int(raw.values.notna().sum())
    if known < FEWEST_NAMED:
        return False
    if raw.kind == "category":
        return len(raw.values.cat.categories) >= NEARLY_ALL * known
    if raw.kind != "number" or known < len(raw.values):
        return False
    values = np.sort(raw.values.to_numpy())
    if np.any(values != np.floor(values)) or np.any(values[1:] == values[:-1]):
        return False
    return bool(values[-1] - values[0] == known - 1) or NAMED_ID.search(raw.name) is not None


def _described(raw: Raw) -> dict[str, Column]:
    """Return the features that a column gives, by name."""
    if raw.kind == "category":
        return {raw.name: Column(raw.name, raw.kind, tuple(sorted(raw.values.cat.categories)))}
    if raw.kind != "date":
        return {raw.name: Column(raw.name, raw.kind)}
    dates = raw.values.dropna().dt
    day = Column(raw.name, "date", part="days", format=raw.format)
    parts = {raw.name: day}
    if dates.month.nunique() > 1:
        parts[f"{raw.name}: month"] = replace(day, part="month", categories=MONTHS)
    if dates.day_of_week.nunique() > 1:
        parts[f"{raw.name}: weekday"] = replace(day, part="weekday", categories=WEEKDAYS)
    if dates.hour.nunique() > 1:
        parts[f"{raw.name}: hour"] = replace(day, part="hour")
    return parts


def _groups(cells: Cells, name: str, columns: Mapping[str, pa.ChunkedArray]) -> Integers:
    raw = recognise(cells, name, columns[name], as_category=True)
    assert isinstance(raw, Raw)  # categories always are
    codes: Integers = raw.values.cat.codes.to_numpy().astype(np.int64)
    _check_complete(cells, name, codes < 0)
    return codes


def _times(cells: Cells, name: str, columns: Mapping[str, pa.ChunkedArray]) -> Floats:
    raw = recognise(cells, name, columns[name])
    if isinstance(raw, Unclear) or raw.kind not in ("number", "date"):
        problem = (
            f"{raw.example!r} can be read in two ways" if isinstance(raw, Unclear) else "holds no dates or numbers"
        )
        raise cells.complain(name, problem, "write times as 2024-12-31 or 2024-12-31 23:59, or as numbers")
    _check_complete(cells, name, raw.values.isna().to_numpy())
    if raw.kind == "number":
        return raw.values.to_numpy(dtype=np.float64)
    return features_of(raw.values.to_frame(name), describe([Column(name, "date", part="days", format=raw.format)]))[
        :, 0
    ]


def _weights(cells: Cells, name: str, columns: Mapping[str, pa.ChunkedArray]) -> Floats:
    raw = recognise(cells, name, columns[name])
    if isinstance(raw, Unclear) or raw.kind != "number":
        raise cells.complain(name, "holds no numbers", "weights are positive numbers")
    weights: Floats = raw.values.to_numpy(dtype=np.float64)
    _check_complete(cells, name, np.isnan(weights))
    odd = np.flatnonzero(weights <= 0)
    if len(odd):
        raise cells.complain(name, f"{weights[odd[0]]:g} is no weight", "weights are positive numbers", int(odd[0]))
    return weights


def _check_complete(cells: Cells, name: str, missing: np.ndarray) -> None:
    if missing.any():
        raise cells.complain(name, "has no value", "fill it in, or remove the row", int(np.flatnonzero(missing)[0]))


def _check_distinct(cells: Cells, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise cells.complain(twice[0], "is called as a part of a date column would be", "rename one of them")


def _named(spec: ColumnsSpec) -> list[str]:
    """Every column that the spec names."""
    return [spec.target, *spec.roles.values(), *(spec.features or ()), *spec.drop, *spec.categorical]


def _check_columns(spec: ColumnsSpec, source: Source) -> None:
    """Refuse a spec that names a column which isn't there."""
    roles = {key: [name] for key, name in {"target": spec.target, **spec.roles}.items()}
    lists: dict[str, Iterable[str]] = {
        "features": spec.features or (),
        "drop": spec.drop,
        "categorical": spec.categorical,
    }
    for key, wanted in {**roles, **lists}.items():
        for name in wanted:
            if name not in source.names:
                raise BadInput(f"{source.shown} has no column {name!r}", field=key, remedy=meant(name, source.names))
