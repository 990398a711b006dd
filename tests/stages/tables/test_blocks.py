from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts import Dataset, describe
from pipeline.errors import BadInput
from pipeline.raw_columns import features_of
from pipeline.stages.tables.blocks import raw_frames
from tests.stages.tables.making import read

HEAD = "n,c,b,d,free,y"
ROWS = "1,u,true,31.01.2024,x,no\n2,v,false,01.02.2024,,yes\n,u,,,z,no\n4,v,true,03.02.2024,z,yes\n"


@pytest.fixture
def trained(tmp_path: Path) -> Dataset:
    return read(tmp_path, f"{HEAD}\n{ROWS}", "train.csv", drop=["free"])


def frames(trained: Dataset, folder: Path, content: str, name: str = "new.csv", at_once: int = 3) -> list[pd.DataFrame]:
    (folder / name).write_text(content, encoding="utf-8")
    return list(raw_frames(folder / name, describe(trained.columns), rows_at_once=at_once, **trained.reading))


def test_raw_columns_have_their_types(trained: Dataset, tmp_path: Path) -> None:
    """Blocks hold floats, texts, booleans and dates under the file's names, so many rows each, with their row ids."""
    first, second = frames(trained, tmp_path, f"{HEAD}\n{ROWS}")
    assert list(first) == ["n", "c", "b", "d"]
    assert first["c"].tolist() == ["u", "v", "u"]
    assert first["b"].tolist() == [True, False, None]
    assert first["d"].tolist()[:2] == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-01")]
    assert (first.index.tolist(), second.index.tolist()) == ([0, 1, 2], [3])


def test_columns_may_stand_in_any_order_and_unseen_categories_are_no_error(trained: Dataset, tmp_path: Path) -> None:
    """Columns go by name; the target and what was dropped may be there or not; a new category is -1."""
    (made,) = frames(trained, tmp_path, "free,d,c,n,b\nx,2024,w,7,TRUE\n".replace("2024", "02.02.2024"))
    values = features_of(made, describe(trained.columns))
    assert values[0, :3].tolist() == [7, -1, 1]


def test_parquet_is_read_as_csv_is(trained: Dataset, tmp_path: Path) -> None:
    """The rows of training, typed in a Parquet file, give the very features."""
    pd.DataFrame(
        {
            "d": pd.to_datetime(["2024-01-31", "2024-02-01", None, "2024-02-03"]),
            "b": [True, False, None, True],
            "c": pd.Categorical(list("uvuv")),
            "n": pd.array([1, 2, None, 4], dtype="Int64"),
        }
    ).to_parquet(tmp_path / "new.parquet")
    blocks = raw_frames(tmp_path / "new.parquet", describe(trained.columns), rows_at_once=3, **trained.reading)
    made = np.concatenate([features_of(block, describe(trained.columns)) for block in blocks])
    np.testing.assert_array_equal(made, trained.features)


BAD = {
    "missing column": ("n,c,b\n1,u,true\n", "no column 'd', which the model takes"),
    "extra column": ("n,c,b,d,more\n1,u,true,01.02.2024,9\n", "column 'more', which the file that the model was"),
    "misspelt column": ("N,c,b,d\n1,u,true,01.02.2024\n", "no column 'n'.*did you mean 'N'"),
    "words for numbers": (f"{HEAD}\n{ROWS}{ROWS}six,u,,,,\n", "column 'n', row 9: 'six' is no number"),
    "infinity": (f"{HEAD}\n-inf,u,,,,\n", "column 'n', row 1: -inf is not finite"),
    "words for booleans": (f"{HEAD}\n{ROWS}1,u,maybe,,,\n", "column 'b', row 5: 'maybe' is no boolean"),
    "another format of dates": (f"{HEAD}\n{ROWS}1,u,,2024-01-31,,\n", "column 'd', row 5: '2024-01-31' is no date"),
    "numbers for words": (f"{HEAD}\n1,3,,,,\n", "column 'c', row 1: '3' is a number, where training saw words"),
    "ragged row": (f"{HEAD}\n{ROWS}1,u\n", "line 6: has 2 cells"),
    "header only": (f"{HEAD}\n", "no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_another_table_is_refused_in_one_line(case: str, trained: Dataset, tmp_path: Path) -> None:
    """A table with missing, extra or retyped columns is refused, naming file, column, row and value."""
    content, expected = BAD[case]
    with pytest.raises(BadInput, match=expected) as raised:
        frames(trained, tmp_path, content)
    assert "new.csv" in str(raised.value)
    assert raised.value.remedy


def test_new_categories_may_be_numbers_where_some_are_words(trained: Dataset, tmp_path: Path) -> None:
    """A short last block whose categories are all new, and numbers, is no retyped column: earlier blocks had words."""
    blocks = frames(trained, tmp_path, f"{HEAD}\n{ROWS}1,7,,,,\n1,8,,,,\n", at_once=2)
    assert blocks[-1]["c"].tolist() == ["7", "8"]
    content = f"{HEAD}\n1,,,,,\n1,,,,,\n1,7,,,,\n"
    with pytest.raises(BadInput, match="column 'c', row 3: '7' is a number"):
        frames(trained, tmp_path, content, at_once=2)


def test_typed_columns_of_another_kind_are_refused(trained: Dataset, tmp_path: Path) -> None:
    """In a Parquet file the type alone tells."""
    frame = pd.DataFrame({"n": [True], "c": ["u"], "b": [True], "d": [pd.Timestamp("2024-01-31")]})
    for name, values in {"n": [True], "b": [1.0], "d": [5], "c": [3]}.items():
        frame.assign(n=[1.0]).assign(**{name: values}).to_parquet(tmp_path / "new.parquet")
        with pytest.raises(BadInput, match=f"column '{name}'"):
            list(raw_frames(tmp_path / "new.parquet", describe(trained.columns), **trained.reading))


def test_a_file_that_is_not_there_is_named(trained: Dataset, tmp_path: Path) -> None:
    """A missing table is named as it was looked for."""
    with pytest.raises(BadInput, match=r"none\.csv isn't there"):
        list(raw_frames(tmp_path / "none.csv", describe(trained.columns), **trained.reading))
