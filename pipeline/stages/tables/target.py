"""What a table's target is: classes, or real values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Floats, Integers, Task
from pipeline.errors import BadInput
from pipeline.stages.generate import suggestion
from pipeline.stages.tables.columns import Cells, Raw, number_text, recognise
from pipeline.stages.tables.dates import Unclear
from pipeline.stages.tables.spec import ColumnsSpec

if TYPE_CHECKING:
    import pyarrow as pa

FEW_NUMBERS = 20  # whole ones: up to so many different ones are taken for classes
MOST_CLASSES = 200  # each needs rows of its own in every part, and its place in every table of the report
OTHER = "name another target"
# Pairs, in order, whose second plainly is the one that is looked for.
PLAIN_PAIRS = ("0 1", "-1 1", "no yes", "n y", "false true", "f t", "negative positive", "neg pos")


@dataclass(frozen=True, eq=False)
class Target:
    """A target as it was read."""

    values: Floats | Integers  # (rows,): class indices, -1 where missing; or real values, NaN where missing
    task: Task
    class_names: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def read_target(cells: Cells, column: pa.ChunkedArray, spec: ColumnsSpec) -> Target:
    """Read the target.

    Texts and booleans are classes, and so are whole numbers of which there are at most 20 different ones; other numbers
    are real values: unless the spec says what it is.

    Raises
    ------
    BadInput
        When it has a single class, more than 200, one of a single row, or isn't what the spec says.
    """
    classes_wanted = spec.task == "classification"
    as_category = spec.target in spec.categorical
    raw = recognise(cells, spec.target, column, as_category=as_category, mixed=classes_wanted, if_empty=OTHER)
    if isinstance(raw, Unclear) or raw.kind == "date":
        remedy = "name another target, or list the column in categorical if its dates are classes"
        raise cells.complain(spec.target, "holds dates, which can't be predicted", remedy)
    if raw.kind != "number":
        if spec.task == "regression":
            problem = f"{spec.target!r} holds no numbers"
            raise BadInput(problem, field="task", remedy="remove it, or name another target")
        return _of_names(cells, raw, spec)
    numbers = raw.values.to_numpy()
    distinct = np.unique(numbers[~np.isnan(numbers)])
    whole = bool(np.all(distinct == np.floor(distinct)))
    few = whole and len(distinct) <= FEW_NUMBERS
    if classes_wanted or (spec.task is None and few):
        _check_count(cells, spec, len(distinct), number_text(distinct[0]))
        indices = np.searchsorted(distinct, numbers)
        codes = np.where(np.isnan(numbers), -1, indices).astype(np.int64)
        judged = spec.task is None and len(distinct) > 2
        return _classes(cells, codes, [number_text(value) for value in distinct], spec, judged)
    if spec.positive is not None:
        problem = f"{spec.target!r} holds real values, not two classes"
        raise BadInput(problem, field="positive", remedy="remove it, or set task: classification")
    if len(distinct) < 2:
        raise cells.complain(spec.target, "has the same value in every row", OTHER)
    notices = (
        [_judgement(spec.target, len(distinct), "real values", "classification")] if whole and not spec.task else []
    )
    return Target(numbers, "regression", notices=(*_missing(spec.target, int(np.isnan(numbers).sum())), *notices))


def _of_names(cells: Cells, raw: Raw, spec: ColumnsSpec) -> Target:
    """Read texts or booleans as classes, in ascending order."""
    import pandas as pd

    texts = raw.values.map({False: "false", True: "true"}) if raw.kind == "boolean" else raw.values
    categorical = pd.Series(texts).astype("category").cat
    names = [str(name) for name in categorical.categories]
    _check_count(cells, spec, len(names), names[0])
    order = sorted(range(len(names)), key=names.__getitem__)
    places = np.full(len(names) + 1, -1, dtype=np.int64)  # the last is that of -1, missing
    places[order] = np.arange(len(names))
    return _classes(cells, places[categorical.codes.to_numpy()], [names[place] for place in order], spec)


def _classes(cells: Cells, codes: Integers, names: list[str], spec: ColumnsSpec, judged: bool = False) -> Target:
    rows_of = np.bincount(codes[codes >= 0], minlength=len(names))
    single = np.flatnonzero(rows_of == 1)
    if len(single):
        problem = f"class {names[single[0]]!r} has a single row, and each part of the split needs one"
        remedy = "remove that row, or join the class to another"
        raise cells.complain(spec.target, problem, f"{remedy}, or set task: regression" if judged else remedy)
    notices = _missing(spec.target, int((codes < 0).sum()))
    if judged:
        notices.append(_judgement(spec.target, len(names), "classes", "regression"))
    if len(names) > 2 and spec.positive is not None:
        problem = f"{spec.target!r} has {len(names)} classes, not two"
        raise BadInput(problem, field="positive", remedy="remove it")
    if len(names) == 2:
        if spec.positive is None:
            notices += _taken_for_positive(spec.target, names)
        elif _place(spec.positive, names) == 0:
            names, codes = names[::-1], np.where(codes < 0, -1, 1 - codes)
    return Target(codes, "binary" if len(names) == 2 else "multiclass", tuple(names), tuple(notices))


def _check_count(cells: Cells, spec: ColumnsSpec, count: int, first: str) -> None:
    if count < 2:
        raise cells.complain(spec.target, f"has a single class, {first!r}", "a classification needs at least two")
    if count > MOST_CLASSES:
        problem = f"has {count:,} classes, more than the {MOST_CLASSES} that can be told apart"
        raise cells.complain(spec.target, problem, "name another target, or join classes")


def _place(positive: str | float | bool, names: Sequence[str]) -> int:
    """Return which class is meant."""
    if isinstance(positive, bool):
        meant = [place for place, name in enumerate(names) if name.lower() == str(positive).lower()]
    else:
        text = positive if isinstance(positive, str) else number_text(positive)
        meant = [place for place, name in enumerate(names) if name == text]
    if not meant:
        raise BadInput(
            f"{positive!r} is none of the classes", field="positive", remedy=suggestion(str(positive), list(names))
        )
    return meant[0]


def _taken_for_positive(target: str, names: Sequence[str]) -> list[str]:
    if " ".join(names).lower() in PLAIN_PAIRS:
        return []
    return [f"Class 1 of {target!r} is {names[1]!r}; to make it {names[0]!r}, set positive: {names[0]!r}."]


def _judgement(target: str, count: int, taken_for: str, other: str) -> str:
    return f"The {count} different whole numbers of {target!r} are taken for {taken_for}; if wrong, set task: {other}."


def _missing(target: str, count: int) -> list[str]:
    if not count:
        return []
    rows = "1 row has" if count == 1 else f"{count:,} rows have"
    return [f"{rows} no {target!r} and {'belongs' if count == 1 else 'belong'} to no part of the split."]
