from __future__ import annotations

import io

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.stages.text_cells import as_text, with_text_cells


@pytest.mark.parametrize("formula", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1", "=", "--"])
def test_a_formula_stays_text(formula: str) -> None:
    """What a spreadsheet would calculate begins with an apostrophe, in cells and in names of columns."""
    expected = formula if len(formula) == 1 else f"'{formula}".replace("\r", "\n")
    table = with_text_cells(pd.DataFrame({formula: [formula, "a"], "b": [1, 2]}))
    assert table.iloc[:, 0].tolist() == [expected, "a"]
    assert list(table.columns) == [expected, "b"]


@pytest.mark.parametrize("plain", ["", "+", "-", "a=b", "-3.5", "+1e3", 3, None, "ümlaut", "2020-01-01"])
def test_everything_else_stays_as_it_is(plain: object) -> None:
    """Signs alone, numbers and words aren't touched."""
    assert as_text(plain) == plain


@given(st.lists(st.text(), min_size=1))
@example(["\r=0"])
@example(["a\r=0"])
@example(["a\r\n=0"])
def test_csv_of_any_text_holds_no_formula(cells: list[str]) -> None:
    """Whatever the text, no cell of the CSV begins as a formula does, unless it is a number or a lone sign."""
    frame = with_text_cells(pd.DataFrame({"a": cells}, dtype=object))
    read = pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=str, keep_default_na=False)
    for cell in read["a"]:
        assert cell == as_text(cell)
