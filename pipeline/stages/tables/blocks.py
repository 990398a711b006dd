"""Read a table for prediction, block by block: it may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.stages.tables.columns import Cells, like_numbers, read_as
from pipeline.stages.tables.files import Source, check_file, meant, open_table, read_batches
from pipeline.stages.tables.spec import PARQUET

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def raw_frames(
    path: Path,
    columns: Sequence[Mapping[str, Any]],
    *,
    known: Sequence[str],
    na_values: Sequence[str | int | float] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    rows_at_once: int = 2**15,
) -> Iterator[pd.DataFrame]:
    """Read the columns that a model takes, block by block, as `pipeline.raw_columns.features_of` takes them.

    Parameters
    ----------
    path:
        A CSV or Parquet file; its columns may stand in any order.
    columns:
        What the model's features are made of (`pipeline.artifacts.describe`).
    known:
        All columns of the file that the model was trained on: those that it doesn't take may be there.
    na_values, delimiter, encoding, decimal:
        As the experiment file gave them; with `known` they are `Dataset.reading`.
    rows_at_once:
        At most so many in a block.

    Yields
    ------
    pandas.DataFrame
        A block of raw columns: floats, booleans or None, texts or None, dates to the microsecond. Its index holds row
        ids, the rows' places in the file.

    Raises
    ------
    BadInput
        When a column is missing, or not known, or holds a value of another kind than in training: the row and the
        value are named. A category that training didn't see is none.
    """
    check_file(path, str(path))
    form = {"delimiter": delimiter, "encoding": encoding, "decimal": decimal}
    parquet = path.suffix.lower() in PARQUET
    source = open_table(path, str(path), hint=known, **({} if parquet else form))
    kinds = {column["source"]: column for column in columns}
    unchecked = {name for name, column in kinds.items() if column["kind"] == "category"}
    _check_columns(source, list(kinds), known)
    cells = Cells(source, na_values)
    first = 0
    for batch in read_batches(source, list(kinds), cells.missing, rows_at_once):
        here = replace(cells, first=first)
        frame = _frame(here, batch, kinds)
        # The first block that has values tells; a later one may be so short that all of its categories are new.
        for name in [name for name in unchecked if frame[name].notna().any()]:
            _check_words(here, name, frame[name], kinds[name]["categories"])
            unchecked.remove(name)
        yield frame
        first += len(batch)
    if not first:
        raise source.complain("has no rows", "give it rows")


def _frame(cells: Cells, batch: pa.RecordBatch, kinds: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    made = {}
    for name, column in kinds.items():
        cell_column = pa.chunked_array([batch.column(name)])
        raw = read_as(cells, name, cell_column, column["kind"], column["format"])
        if raw.kind == "category":
            made[name] = raw.values.astype(object).where(raw.values.notna(), None)
        else:
            made[name] = raw.values
    return pd.DataFrame(made).set_axis(range(cells.first, cells.first + len(batch)))


def _check_words(cells: Cells, name: str, values: pd.Series, categories: Sequence[str]) -> None:
    """Refuse a column of numbers where training saw words: that is another column, not a new category."""
    import pyarrow as pa

    texts = values.dropna().unique()
    numbers, known = (like_numbers(pa.array(some, pa.string()), cells.decimal) for some in (texts, categories))
    if all(numbers.to_pylist()) and not any(known.to_pylist()):
        row = int(np.flatnonzero(values.notna())[0])
        problem = f"{values.iloc[row]!r} is a number, where training saw words such as {categories[0]!r}"
        raise cells.complain(name, problem, "correct the column", row)


def _check_columns(source: Source, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in source.names:
            raise source.complain(f"has no column {name!r}, which the model takes", meant(name, source.names))
    for name in source.names:
        if name not in known:
            problem = f"has a column {name!r}, which the file that the model was trained on hadn't"
            raise source.complain(problem, "remove it, or correct its name")
