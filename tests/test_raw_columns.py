from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import raw_columns
from pipeline.artifacts import Column, describe
from pipeline.raw_columns import features_of

COLUMNS = describe(
    [
        Column("d", "date", part="days", format="%d.%m.%Y"),
        Column("d", "date", tuple("JFMAMJJASOND"), "month", "%d.%m.%Y"),
        Column("d", "date", tuple("MTWTFSS"), "weekday", "%d.%m.%Y"),
        Column("d", "date", part="hour", format="%d.%m.%Y"),
        Column("n", "number"),
        Column("b", "boolean"),
        Column("c", "category", ("Graz", "Linz")),
    ]
)
RAW = {
    "c": [" Graz", None, "Wien", "Linz"],
    "b": [True, False, None, True],
    "n": [1.5, None, 3, 4],
    "d": ["01.01.1970", "31.12.1969", None, " 29.02.2024 "],
}
NAN = np.nan
EXPECTED = [
    [0, 0, 3, 0, 1.5, 1, 0],
    [-1, 11, 2, 0, NAN, 0, NAN],
    [NAN, NAN, NAN, NAN, 3, NAN, -1],
    [19782, 1, 3, 0, 4, 1, 1],
]


def test_raw_columns_become_features() -> None:
    """Days since 1970, months and weekdays from 0, hours, numbers, 0 and 1, places of categories; NaN where missing."""
    np.testing.assert_array_equal(features_of(pd.DataFrame(RAW), COLUMNS), EXPECTED)


def test_it_does_not_matter_how_pandas_holds_them() -> None:
    """Objects, pandas' own types with NA, categoricals and dates with or without a zone give the same features."""
    dates = pd.to_datetime(pd.Series(RAW["d"]).str.strip(), format="%d.%m.%Y")
    typed = pd.DataFrame(
        {
            "n": pd.array(RAW["n"], dtype="Float64"),
            "b": pd.array(RAW["b"], dtype="boolean"),
            "c": pd.Categorical(RAW["c"]),
            "d": dates,
            "other": 1,
        }
    )
    for frame in (
        typed,
        typed.assign(c=pd.array(RAW["c"], dtype="string")),
        typed.assign(d=dates.dt.tz_localize("UTC")),
    ):
        np.testing.assert_array_equal(features_of(frame, COLUMNS), EXPECTED)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("n", ["one", 2, 3, 4], "'one'"),
        ("b", ["maybe", True, True, True], "'maybe' is neither true nor false"),
        ("d", ["2024-01-31", None, None, None], "2024-01-31"),
    ],
)
def test_other_kinds_are_refused(name: str, values: list[object], said: str) -> None:
    """A value that its column can't hold is named together with the column, and so is a missing column."""
    frame = pd.DataFrame(RAW)
    with pytest.raises(ValueError, match=f"column '{name}': .*{said}"):
        features_of(frame.assign(**{name: pd.Series(values, dtype=object)}), COLUMNS)
    with pytest.raises(ValueError, match=f"column '{name}' is missing"):
        features_of(frame.drop(columns=name), COLUMNS)


def test_it_stands_alone(tmp_path: Path) -> None:
    """A copy of the file works where nothing of Photofinish is."""
    (tmp_path / "copied.py").write_text(Path(raw_columns.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    code = "import sys, copied; assert not [name for name in sys.modules if name.startswith('pipeline')]"
    subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"], cwd=tmp_path, check=True
    )


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ([3, 1], ("1", "3")),
        ([3.0, None, 1.0], ("1", "3")),
        ([3, 1.0], ("1.0", "3.0")),
        ([True, None, False], ("False", "True")),
        ([True, False], ("false", "true")),
        ([2.5, "x "], ("2.5", "x")),
    ],
)
def test_codes_are_categories_however_they_come(values: list[object], known: tuple[str, ...]) -> None:
    """Whole numbers that JSON turned into fractions, for there was a gap, and truths are the texts of training."""
    columns = describe([Column("c", "category", known)])
    for dtype in (object, None):
        places = features_of(pd.DataFrame({"c": pd.Series(values, dtype=dtype)}), columns)[:, 0]
        assert set(places[~np.isnan(places)]) == {0, 1}
        assert np.isnan(places).tolist() == [value is None for value in values]
