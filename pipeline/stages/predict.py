"""Predict: blocks of rows through a model, to a table that is whole or isn't there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.errors import BadInput, printable
from pipeline.stages.text_cells import with_text_cells
from pipeline.whole_files import set_aside

if TYPE_CHECKING:
    import pandas as pd

Write = Callable[["pd.DataFrame"], None]

SUFFIXES = (".csv", ".parquet")


def check_destination(out: Path | None, table: Path) -> None:
    """Make sure that predictions can be written, before any is made.

    Raises
    ------
    BadInput
        When the file would be of no kind that is known, its folder isn't there, or it is the table itself.
    """
    if out is None:
        return
    if out.suffix.lower() not in SUFFIXES:
        problem = f"{str(out)!r} is neither CSV nor Parquet"
        raise BadInput(problem, field="--out", remedy="give a name that ends in .csv or .parquet")
    with _writing(out):
        if not out.absolute().parent.is_dir():
            raise BadInput(f"there is no folder {out.parent}", field="--out", remedy="make it, or give another")
        if out.is_dir():
            raise BadInput(f"{out} is a folder", field="--out", remedy="give a file's name")
        if out.exists() and table.exists() and out.samefile(table):
            raise BadInput(f"{out} is the table that is to be predicted", field="--out", remedy="give another file")


def write_predictions(blocks: Iterable[pd.DataFrame], out: Path | None, advance: Callable[[int], None]) -> int:
    """Write predictions block by block, each row with its `row_id`, its place in the table; returns their number.

    Parameters
    ----------
    blocks:
        Label and probabilities, or predictions; their index holds the rows' places in the table.
    out:
        A CSV or Parquet file, there only once it is whole; None writes CSV to standard output.
    advance:
        Told of each block's rows, once they are written.

    Raises
    ------
    DiskError
        When the file can't be written.
    """
    rows = 0
    with _opened(out) as write:
        for block in blocks:
            write(block.rename_axis("row_id").reset_index())
            rows += len(block)
            advance(len(block))
    return rows


@contextmanager
def _opened(out: Path | None) -> Iterator[Write]:
    if out is None:
        yield _csv_writer(sys.stdout)
        return
    with set_aside(out) as file:
        if out.suffix.lower() == ".csv":
            with file.open("w", encoding="utf-8", newline="") as stream:
                yield _csv_writer(stream)
        else:
            with _parquet_writer(file) as write:
                yield write


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn what the system has against a file's name into a complaint."""
    try:
        yield
    except OSError as error:
        problem = f"{out} can't be written: {error.strerror or error}"
        raise BadInput(problem, field="--out", remedy="give another") from error


def _csv_writer(stream: IO[str]) -> Write:
    has_header = False

    def write(block: pd.DataFrame) -> None:
        nonlocal has_header
        text = with_text_cells(block).to_csv(index=False, header=not has_header)
        # What a class is called may be meant for the terminal; a file or a pipe gets it as it is.
        stream.write("\n".join(map(printable, text.split("\n"))) if stream.isatty() else text)
        has_header = True

    return write


@contextmanager
def _parquet_writer(file: Path) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None

    def write(block: pd.DataFrame) -> None:
        nonlocal writer
        table = pa.Table.from_pandas(block, preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(file, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
