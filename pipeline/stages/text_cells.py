"""Text in tables that people open in a spreadsheet: what looks like a formula stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_text(cell: object) -> object:
    """Put an apostrophe, which spreadsheets read as "this is text", before what they would calculate.

    A number is none of it, nor is a lone sign, which many tables have as a class. A carriage return becomes a line
    break: CSV's writers don't quote it, its readers end a row there, and what follows would be a cell of its own.
    """
    if not isinstance(cell, str):
        return cell
    is_safe = len(cell) < 2 or not cell.startswith(FORMULA_STARTS) or _is_number(cell)
    return (cell if is_safe else f"'{cell}").replace("\r\n", "\n").replace("\r", "\n")


def with_text_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose names and text cells no spreadsheet calculates."""
    import pandas as pd

    texts = {
        name: column.map(as_text)
        for name, column in frame.items()
        if not pd.api.types.is_numeric_dtype(column.dtype) and not isinstance(column.dtype, pd.CategoricalDtype)
    }
    return frame.assign(**{str(name): column for name, column in texts.items()}).rename(columns=as_text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
