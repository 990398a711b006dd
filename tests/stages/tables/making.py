"""Tables that tests of this room read."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    return Cells(Source("t.csv", (), form), na_values)


def text(*values: str | None) -> pa.ChunkedArray:
    """A column as it stands in a CSV file: what pandas takes for missing is null."""
    missing = csv.ConvertOptions().null_values
    return pa.chunked_array([pa.array([None if value in missing else value for value in values], pa.string())])


def cache_openml(
    data_home: Path,
    columns: Mapping[str, str],
    rows: str,
    *,
    data_id: int = 4711,
    versions: tuple[int, ...] = (2,),
    **description: Any,
) -> None:
    """Write the files that scikit-learn keeps of a table called `tiny` after it has fetched it from OpenML.

    Columns have ARFF's types: numeric, string, or the nominal values in braces.
    """
    header = "".join(f"@attribute {name} {kind}\n" for name, kind in columns.items())
    arff = f"@relation tiny\n{header}@data\n{rows}"
    about = {
        "id": str(data_id),
        "name": "tiny",
        "version": str(versions[0]),
        "status": "active",
        "format": "ARFF",
        "description": "",
        "url": f"https://www.openml.org/data/v1/download/{data_id}/tiny.arff",
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),
        "default_target_attribute": "y",
        **description,
    }
    flags = {"is_target": "false", "is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "1"}
    kinds = {name: "nominal" if kind.startswith("{") else kind for name, kind in columns.items()}
    features = [{"name": name, "data_type": kind, **flags} for name, kind in kinds.items()]
    listed = [{"did": data_id, "name": "tiny", "version": version, "status": "active"} for version in versions]
    found = {"data": {"dataset": listed}}
    api, search = "api/v1/json/data", "api/v1/json/data/list/data_name/tiny/limit/2"
    answers = {
        f"{search}/status/active/": found,
        **{f"{search}/data_version/{version}": found for version in versions},
        f"{api}/{data_id}": {"data_set_description": about},
        f"{api}/features/{data_id}": {"data_features": {"feature": features}},
        f"{api}/qualities/{data_id}": {"data_qualities": {"quality": []}},
    }
    texts = {path: json.dumps(answer) for path, answer in answers.items()}
    for path, text in {**texts, f"data/v1/download/{data_id}/tiny.arff": arff}.items():
        file = data_home / "openml" / "openml.org" / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()))
