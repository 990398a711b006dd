"""Tables that tests of this room read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from pipeline.artifacts import Dataset
from pipeline.stages.tables.columns import Cells
from pipeline.stages.tables.files import Format, Source
from pipeline.stages.tables.spec import TableSpec
from pipeline.stages.tables.table import read_dataset

FORTY = range(40)


def rows_of(**columns: object) -> str:
    """A CSV table of forty rows: each column a function of the row's number, or a text that all rows have."""
    cells = [[value(row) if callable(value) else value for value in columns.values()] for row in FORTY]
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in cells)]) + "\n"


def read(folder: Path, content: str | bytes, name: str = "t.csv", **keys: object) -> Dataset:
    """Write a file and read it as an experiment file would have it; its target is `y`."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    spec = TableSpec.model_validate({"file": name, "target": "y", **keys})
    return read_dataset("d", spec, folder)


def cells(*na_values: str | float, decimal: str = ".", csv: bool = True) -> Cells:
    """The rules of a file that needn't be there."""
    form = Format(",", "utf-8", decimal) if csv else None
    return Cells(Source(Path("t.csv"), "t.csv", (), form), na_values)


def text(*values: str | None) -> pa.ChunkedArray:
    """A column as it stands in a CSV file: what pandas takes for missing is null."""
    missing = csv.ConvertOptions().null_values
    return pa.chunked_array([pa.array([None if value in missing else value for value in values], pa.string())])
