"""What kind of values a column holds, and reading it as such: numbers, booleans, categories or dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import LARGEST, ColumnKind, Floats
from pipeline.errors import BadInput
from pipeline.raw_columns import ISO, dates_of
from pipeline.stages.tables.dates import Unclear, date_format, like_dates, mostly_dates
from pipeline.stages.tables.files import Source

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TRUTHS = {"false": False, "true": True}
ALSO_MISSING = ("<NA>", "None")  # to pandas, beside what it shares with Arrow
MOSTLY = 0.5  # of a text column's values are numbers, or dates: then the others are mistakes


@dataclass(frozen=True, eq=False)
class Cells:
    """A table's columns, or a block of them, with the rules that their cells are read by."""

    source: Source
    na_values: Sequence[str | int | float] = ()
    first: int = 0  # the block's first row

    @property
    def missing(self) -> list[str]:
        """Texts that mean "missing"; in a typed file, text such as NA is what it says."""
        given = ["", *map(str, self.na_values)]
        if self.source.format is None:
            return given
        from pyarrow import csv

        return sorted({*given, *csv.ConvertOptions().null_values, *ALSO_MISSING})

    @property
    def missing_numbers(self) -> list[float]:
        """Numbers that mean "missing"."""
        return [float(value) for value in self.na_values if not isinstance(value, str)]

    @property
    def decimal(self) -> str:
        """What stands before a number's decimals."""
        return self.source.format.decimal if self.source.format else "."

    def complain(self, column: str, problem: str, remedy: str, row: int | None = None) -> BadInput:
        """Return a complaint about a column, or its cell in a row of the block, counted from 0."""
        place = "" if row is None else f", row {self.first + row + 1}"
        return self.source.complain(f", column {column!r}{place}: {problem}", remedy)


@dataclass(frozen=True, eq=False)
class Raw:
    """A column as it was read: floats, booleans or None, a categorical of texts, or dates to the microsecond."""

    name: str
    kind: ColumnKind
    values: pd.Series
    format: str | None = None  # of dates


@dataclass(frozen=True, eq=False)
class Distinct:
    """A column of text, as its distinct texts and each row's place among them."""

    texts: pa.Array  # without spaces around them
    codes: npt.NDArray[np.int32]  # (rows,): -1 where missing

    def like(self, matches: pa.Array) -> npt.NDArray[np.bool_]:
        """Spread what is true of texts over the rows, (rows,); of a missing one it isn't."""
        true_of: npt.NDArray[np.bool_] = np.append(matches.to_numpy(zero_copy_only=False).astype(bool), False)
        return true_of[self.codes]

    def spread(self, values: npt.NDArray[np.float64]) -> Floats:
        """Spread the numbers that texts stand for over the rows, (rows,), NaN where missing."""
        spread: Floats = np.append(values, np.nan)[self.codes]
        return spread


def recognise(
    cells: Cells,
    name: str,
    column: pa.ChunkedArray,
    *,
    as_category: bool = False,
    mixed: bool = False,
    if_empty: str = "drop the column",
) -> Raw | Unclear:
    """Tell what kind a column is, and read it.

    Parameters
    ----------
    cells:
        The file that it stands in.
    name, column:
        The column; of a CSV file its text.
    as_category:
        Whether its values are codes, even if they are numbers.
    mixed:
        Whether numbers among texts are just texts; otherwise a column that mostly holds numbers, or dates, and some
        text beside them, has mistakes in it.
    if_empty:
        The remedy where it has no values.

    Returns
    -------
    Raw or Unclear
        The column, or dates of which nobody can say which is the day and which the month.

    Raises
    ------
    BadInput
        When it has no values, infinite or too large ones, some of another kind than most, or none to learn from.
    """
    read = _recognised(cells, name, _decoded(column), as_category, mixed)
    if isinstance(read, Raw) and not read.values.notna().any():
        raise cells.complain(name, "has no values", if_empty)
    return read


def _recognised(cells: Cells, name: str, column: pa.ChunkedArray, as_category: bool, mixed: bool) -> Raw | Unclear:
    import pandas as pd

    kind = _kind_of_type(cells, name, column)
    if as_category or kind == "category":
        if not as_category and cells.source.format and (numbers := _numbers_at_once(column, cells.decimal)) is not None:
            return Raw(name, "number", pd.Series(_checked(cells, name, numbers)))
        distinct = _distinct(_as_text(column), cells.missing)
        return _category(name, distinct) if as_category else _of_text(cells, name, distinct, mixed)
    return read_as(cells, name, column, kind, ISO if kind == "date" else None)


def _of_text(cells: Cells, name: str, distinct: Distinct, mixed: bool) -> Raw | Unclear:
    import pandas as pd
    import pyarrow.compute as pc

    texts = distinct.texts
    if not len(texts):
        return _category(name, distinct)
    like_number = like_numbers(texts, cells.decimal) if cells.source.format else None
    if like_number is not None and pc.all(like_number).as_py():
        numbers = distinct.spread(_numbers(texts, cells.decimal))
        return Raw(name, "number", pd.Series(_checked(cells, name, numbers)))
    if len(texts) <= 2 * len(TRUTHS) and set(pc.utf8_lower(texts).to_pylist()) <= set(TRUTHS):
        return Raw(name, "boolean", _booleans(distinct))
    form = date_format(texts)
    if isinstance(form, Unclear):
        return form
    if form is not None:
        return Raw(name, "date", _dates(distinct, form), form)
    if not mixed:
        if like_number is not None:
            _check_mixed(cells, name, distinct, distinct.like(like_number), "number")
        if (form := mostly_dates(texts)) is not None:
            _check_mixed(cells, name, distinct, distinct.like(like_dates(texts, form)), "date")
    return _category(name, distinct)


def read_as(cells: Cells, name: str, column: pa.ChunkedArray, kind: ColumnKind, form: str | None) -> Raw:
    """Read a column of a known kind, as prediction does.

    Raises
    ------
    BadInput
        Naming the first row whose value is of another kind, infinite or too large.
    """
    import pandas as pd

    column = _decoded(column)
    found = _kind_of_type(cells, name, column)
    if kind == "category":
        return _category(name, _distinct(_as_text(column), cells.missing))
    if found == "category":
        return _text_as(cells, name, column, kind, form)
    if found != kind:
        raise cells.complain(name, f"holds {_PLURAL[found]}, where {_PLURAL[kind]} are expected", "correct the column")
    if kind == "number":
        return Raw(name, kind, pd.Series(_checked(cells, name, _floats(column))))
    if kind == "date":
        import pyarrow as pa

        stamps = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
        return Raw(name, kind, pd.Series(dates_of(stamps.to_pandas(), None)), form)
    return Raw(name, kind, column.to_pandas().astype(object).where(column.is_valid().to_pandas(), None))


def _text_as(cells: Cells, name: str, column: pa.ChunkedArray, kind: ColumnKind, form: str | None) -> Raw:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "number" and (numbers := _numbers_at_once(column, cells.decimal)) is not None:
        return Raw(name, kind, pd.Series(_checked(cells, name, numbers)))
    distinct = _distinct(_as_text(column), cells.missing)
    texts = distinct.texts
    if kind == "number":
        fits = like_numbers(texts, cells.decimal)
    elif kind == "boolean":
        fits = pc.is_in(pc.utf8_lower(texts), pa.array(list(TRUTHS)))
    else:
        fits = like_dates(texts, str(form))
    misfits = np.flatnonzero(~distinct.like(fits) & (distinct.codes >= 0))
    if len(misfits):
        value = texts[distinct.codes[misfits[0]]].as_py()
        remedy = "correct it, or leave it empty where it is missing"
        raise cells.complain(name, f"{value!r} is no {kind}", remedy, int(misfits[0]))
    if kind == "number":
        numbers = distinct.spread(_numbers(texts, cells.decimal))
        return Raw(name, kind, pd.Series(_checked(cells, name, numbers)))
    return Raw(name, kind, _booleans(distinct) if kind == "boolean" else _dates(distinct, str(form)), form)


_PLURAL = {"number": "numbers", "boolean": "booleans", "date": "dates", "category": "texts"}


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    from pyarrow import types

    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def _kind_of_type(cells: Cells, name: str, column: pa.ChunkedArray) -> ColumnKind:
    """Return the kind that Arrow's type stands for; text may turn out to be another."""
    from pyarrow import types

    type_ = column.type
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return "number"
    if types.is_boolean(type_):
        return "boolean"
    if types.is_timestamp(type_) or types.is_date(type_):
        return "date"
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_) or types.is_null(type_):
        return "category"
    raise cells.complain(name, f"holds values of type {type_}", "drop the column, or save it as numbers or text")


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    from pyarrow import types

    if types.is_floating(column.type):
        values = [None if value is None or value != value else number_text(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.string())])
    return column.cast(pa.string())


def number_text(value: float) -> str:
    """Write a number as briefly as it can be told apart from others: 3 rather than 3.0."""
    return str(int(value)) if value == int(value) else repr(float(value))


def _distinct(column: pa.ChunkedArray, missing: Sequence[str]) -> Distinct:
    """Part a column into its distinct texts, without the spaces around them, and each row's place among them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    written = pa.concat_arrays(column.chunks or [pa.array([], column.type)]).dictionary_encode()
    stripped = pa.array([text.strip() for text in written.dictionary.to_pylist()], pa.string()).dictionary_encode()
    known = pc.invert(pc.is_in(stripped.dictionary, pa.array(missing, pa.string())))
    keep = known.to_numpy(zero_copy_only=False)
    places = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)
    of_written = np.append(places[stripped.indices.to_numpy()], np.int32(-1))
    codes = of_written[pc.fill_null(written.indices, -1).to_numpy()]
    return Distinct(stripped.dictionary.filter(known), codes)


def _category(name: str, distinct: Distinct) -> Raw:
    import pandas as pd

    texts = pd.Index(distinct.texts.to_pylist(), dtype=object)
    return Raw(name, "category", pd.Series(pd.Categorical.from_codes(distinct.codes, categories=texts)))


def _booleans(distinct: Distinct) -> pd.Series:
    import pandas as pd

    values = [TRUTHS[text.lower()] for text in distinct.texts.to_pylist()]
    return pd.Series(np.array([*values, None], dtype=object)[distinct.codes])


def _dates(distinct: Distinct, form: str) -> pd.Series:
    import pandas as pd

    dates = dates_of(pd.Series([*distinct.texts.to_pylist(), None], dtype=object), form)
    return pd.Series(dates[distinct.codes])


def _numbers_at_once(column: pa.ChunkedArray, decimal: str) -> Floats | None:
    """Read a text column as numbers, the quick way; None when it holds anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if decimal != ".":
            if pc.any(pc.match_substring(column, ".")).as_py():
                return None
            column = pc.replace_substring(column, decimal, ".")
        return _floats(column)
    except pa.ArrowInvalid:
        return None


def _floats(column: pa.ChunkedArray) -> Floats:
    import pyarrow as pa

    numbers: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def like_numbers(texts: pa.Array, decimal: str) -> pa.Array:
    """Return which texts are numbers, infinite ones included, (texts,)."""
    import pyarrow.compute as pc

    point = rf"\{decimal}"
    number = rf"(\d+({point}\d*)?|{point}\d+)([eE][+-]?\d+)?|(?i:inf|infinity|nan)"
    return pc.match_substring_regex(texts, f"^[+-]?({number})$")


def _numbers(texts: pa.Array, decimal: str) -> npt.NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    read: npt.NDArray[np.float64] = pc.replace_substring(texts, decimal, ".").cast(pa.float64()).to_numpy()
    return read


def _checked(cells: Cells, name: str, numbers: Floats) -> Floats:
    """Refuse infinities and what single precision can't hold, and take out numbers that mean "missing"."""
    if cells.missing_numbers:
        numbers = np.where(np.isin(numbers, cells.missing_numbers), np.nan, numbers)
    beyond = np.flatnonzero(np.abs(numbers) > LARGEST)
    if len(beyond):
        value = numbers[beyond[0]]
        problem = f"{value} is not finite" if np.isinf(value) else f"{value} is too large (beyond ±{LARGEST:.2g})"
        remedy = "correct it, or leave it empty where it is missing"
        raise cells.complain(name, problem, remedy, int(beyond[0]))
    return numbers


def _check_mixed(cells: Cells, name: str, distinct: Distinct, fits: npt.NDArray[np.bool_], kind: str) -> None:
    known = distinct.codes >= 0
    if fits.sum() < MOSTLY * known.sum():
        return
    row = int(np.flatnonzero(known & ~fits)[0])
    value = distinct.texts[distinct.codes[row]].as_py()
    remedy = "correct it, name it in na_values, or list the column in categorical"
    raise cells.complain(name, f"{value!r} is no {kind}, as most of the column are", remedy, row)
