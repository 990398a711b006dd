from __future__ import annotations

import re
import string
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import LARGEST, Dataset, describe
from pipeline.errors import BadInput
from pipeline.raw_columns import features_of
from pipeline.stages.tables.blocks import raw_frames
from pipeline.stages.tables.spec import TableSpec
from pipeline.stages.tables.table import read_dataset
from tests.stages.tables.making import read, rows_of


def half(row: int) -> str:
    return ("no", "yes")[row % 2]


def number(row: int) -> float:
    return row * row / 8


def feature(dataset: Dataset, name: str) -> list[float]:
    values: list[float] = dataset.features[:, dataset.feature_names.index(name)].tolist()
    return values


MIXED = """\
age;city;vip;signup;spent;y
31;Graz;true;2024-01-31 13:30;1,5;no
;"Wien; Mitte";FALSE;2024-02-01;-2;yes
47;NA;True;;1e3;yes
 52 ; Graz ;;2024-02-01T06:00:00+06:00;,25;no
"""


def test_each_kind_of_column_is_read_as_what_it_is(tmp_path: Path) -> None:
    """Numbers, texts, booleans and dates become features in original units; what is missing becomes NaN."""
    made = read(tmp_path, MIXED)
    assert made.feature_names == (
        *("age", "city", "vip", "signup", "signup: month", "signup: weekday", "signup: hour", "spent"),
    )
    assert made.columns[1].categories == ("Graz", "Wien; Mitte")
    assert made.columns[4].categories[1] == "February"
    nan, january_31 = np.nan, (pd.Timestamp("2024-01-31") - pd.Timestamp("1970-01-01")).days
    expected = [
        [31, 0, 1, january_31 + 13.5 / 24, 0, 2, 13, 1.5],
        [nan, 1, 0, january_31 + 1, 1, 3, 0, -2],
        [47, nan, 1, nan, nan, nan, nan, 1000],
        [52, 0, nan, january_31 + 1, 1, 3, 0, 0.25],
    ]
    np.testing.assert_array_equal(made.features, expected)
    assert made.target.tolist() == [0, 1, 1, 0]
    assert (made.task, made.class_names, made.source) == ("binary", ("no", "yes"), "t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_however_it_is_written_it_is_the_same_table(
    encoding: str, delimiter: str, line_end: str, tmp_path: Path
) -> None:
    """Delimiter, line ends, and an encoding with a byte order mark are detected; other encodings are given."""
    text = "größe,Straße,y\n1,a,ja\n2,b,nein\n3,a,ja\n4,b,nein\n".replace(",", delimiter).replace("\n", line_end)
    given = {} if encoding in ("utf-8", "utf-8-sig", "utf-16") else {"encoding": encoding}
    made = read(tmp_path, text.encode(encoding), **given)
    assert made.feature_names == ("größe", "Straße")
    np.testing.assert_array_equal(made.features, [[1, 0], [2, 1], [3, 0], [4, 1]])
    assert made.class_names == ("ja", "nein")


def test_parquet_and_csv_give_one_dataset(tmp_path: Path) -> None:
    """The same values give the same digest, from whichever file they come."""
    frame = pd.DataFrame(
        {
            "n": [1.5, np.nan, 3.0, 4.0],
            "i": [5, 6, 8, 9],
            "c": ["a", None, "b", "a"],
            "b": [True, False, None, True],
            "d": pd.to_datetime(["2024-01-01", "2024-02-03", None, "1960-05-06 07:08:09"], format="ISO8601"),
            "y": ["u", "v", "u", "v"],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    from_csv = read(tmp_path, frame.to_csv(index=False))
    from_parquet = read_dataset("d", TableSpec(file="t.parquet", target="y"), tmp_path)
    np.testing.assert_array_equal(from_parquet.features, from_csv.features)
    assert from_parquet.columns == from_csv.columns
    assert from_parquet.digest == from_csv.digest


def test_text_in_a_typed_file_stays_text(tmp_path: Path) -> None:
    """Digits that a Parquet file calls text are categories, and its NA is what it says."""
    pd.DataFrame({"zip": ["01", "NA", "01", "02"], "y": list("abab")}).to_parquet(tmp_path / "t.parquet")
    made = read_dataset("d", TableSpec(file="t.parquet", target="y"), tmp_path)
    assert made.columns[0].categories == ("01", "02", "NA")


def test_columns_that_name_rows_are_left_out_with_a_notice(tmp_path: Path) -> None:
    """Identifiers, categories of many levels and unclear dates are no features, and one sentence each says why."""
    text = rows_of(
        a=number,
        name=lambda row: f"n{row}",
        row=lambda row: 99 - row,
        customer_id=lambda row: row * row,
        year=lambda row: 2000 + row // 2,
        day=lambda row: f"{row % 9 + 1}/{row % 7 + 1}/2024",
        y=half,
    )
    made = read(tmp_path, text)
    assert made.feature_names == ("a", "year")
    named, unclear = made.notices
    assert re.search(r"name rows.*list columns in features.*: 'name', 'row', 'customer_id'\.$", named)
    assert re.search(r"'1/1/2024' can be read in two ways.*: 'day'\.$", unclear)
    listed = read(tmp_path, text, features=["row", "name"])
    assert listed.feature_names == ("row", "name")
    assert feature(listed, "row") == [99 - row for row in range(40)]
    assert listed.notices == ()


def test_categories_of_many_levels_are_left_out(tmp_path: Path) -> None:
    """A category of 51 levels is left out, one of 50 is not, and listing it keeps it."""
    lines = ["fifty,more,y", *(f"c{row % 50},c{row % 51},{half(row)}" for row in range(200))]
    made = read(tmp_path, "\n".join(lines))
    assert made.feature_names == ("fifty",)
    assert "more than 50 different texts" in made.notices[0]
    assert "'more'" in made.notices[0]
    listed = read(tmp_path, "\n".join(lines), features=["more"])
    assert len(listed.columns[0].categories) == 51


def test_codes_are_categories_where_the_file_says_so(tmp_path: Path) -> None:
    """Numbers in `categorical` are texts as written; in `drop` they aren't read at all."""
    text = rows_of(zip=lambda row: f"0{row % 3}", odd=lambda row: "1" if row else "oops", y=half)
    made = read(tmp_path, text, categorical=["zip"], drop=["odd"])
    assert made.feature_names == ("zip",)
    assert made.columns[0].categories == ("00", "01", "02")


def test_what_means_missing_can_be_given(tmp_path: Path) -> None:
    """`na_values` takes texts and numbers, beside what pandas takes for missing."""
    text = rows_of(
        a=lambda row: ("?", "-9", "-9.0", "null", str(row))[min(row, 4)], c=lambda row: "?a"[row % 2], y=half
    )
    made = read(tmp_path, text, na_values=["?", -9])
    assert np.isnan(feature(made, "a")).tolist() == [True] * 4 + [False] * 36
    assert made.columns[1].categories == ("a",)


def test_weights_groups_and_times_are_read_and_are_no_features(tmp_path: Path) -> None:
    """The columns that weigh, group and order rows come out as such; listed in features they are both."""
    text = rows_of(
        a=number,
        w=lambda row: row + 0.5,
        who=lambda row: f"c{row // 4}",
        when=lambda row: f"{row % 28 + 1:02}.02.2024 12:00",
        y=half,
    )
    made = read(tmp_path, text, weights="w", group="who")
    assert made.weights is not None
    assert made.weights.tolist() == [row + 0.5 for row in range(40)]
    assert made.groups is not None
    assert made.groups.tolist() == [row // 4 for row in range(40)]
    assert made.feature_names[0] == "a"
    assert not {"w", "who"} & set(made.feature_names)
    assert "'w', 'who'" in made.notices[0]
    timed = read(tmp_path, text, time="when", features=["when", "a"])
    assert timed.times is not None
    assert timed.times.tolist() == feature(timed, "when")
    assert timed.times[1] - timed.times[0] == 1
    assert timed.columns[0].format == "%d.%m.%Y %H:%M"


def test_rows_without_a_target_stay(tmp_path: Path) -> None:
    """A row whose target is missing keeps its place, belongs to no part, and is counted."""
    made = read(tmp_path, rows_of(a=number, y=lambda row: "" if row in (3, 5) else half(row)))
    assert made.target[[2, 3, 4, 5]].tolist() == [0, -1, 0, -1]
    assert len(made.labelled) == 38
    assert made.notices == ("2 rows have no 'y' and belong to no part of the split.",)


def test_digest_tells_tables_apart(tmp_path: Path) -> None:
    """Other values, other names of columns and other categories give other digests; another file name doesn't."""
    text = rows_of(a=number, c=lambda row: "uv"[row % 2], y=half)
    first = read(tmp_path, text)
    assert read(tmp_path, text, "other.csv").digest == first.digest
    for changed in (text.replace("0.125", "0.25"), text.replace("a,", "b,", 1), text.replace(",u,", ",x,")):
        assert read(tmp_path, changed).digest != first.digest


# Hypothesis: tables of every kind of column, with what people call things and leave out.
names = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("{}<>&\n"), min_size=1, max_size=8)
kinds = {
    "number": st.floats(-LARGEST, LARGEST) | st.integers(-(10**6), 10**6).map(float),
    "boolean": st.booleans(),
    "category": st.sampled_from(["Graz", 'said "no"', "a;b,c", "<b>x</b>", "=1+1", "zwei\nZeilen", "東京", "'s"]),
    "date": st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")).map(
        lambda date: date.replace(microsecond=0)
    ),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, list[str]]:
    """A frame and the kinds of its columns; the last column, `y`, is the target."""
    rows = draw(st.integers(4, 15))  # too few for anything to look like an identifier
    titles = draw(
        st.lists(names.filter(lambda name: name.strip() and name != "y"), min_size=1, max_size=4, unique=True)
    )
    drawn = [draw(st.sampled_from(sorted(kinds))) for _ in titles]
    frame = {}
    for title, kind in zip(titles, drawn, strict=True):
        values = draw(st.lists(st.none() | kinds[kind], min_size=rows, max_size=rows).filter(any_known))
        frame[title] = pd.Series(values, dtype="float64" if kind == "number" else object)
    frame["y"] = pd.Series(["no", "yes"] * rows)[:rows].astype(object)
    return pd.DataFrame(frame), [*drawn, "category"]


def any_known(values: list[object]) -> bool:
    return any(value is not None for value in values)


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_what_is_read_is_what_was_written(
    table: tuple[pd.DataFrame, list[str]], delimiter: str, encoding: str, quoted: bool
) -> None:
    """A table of mixed kinds, odd names and missing values is read as it was, row for row, and again for prediction."""
    frame, drawn = table
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv = frame.to_csv(index=False, sep=delimiter, quoting=1 if quoted else 0, lineterminator="\n")
        made = read(folder, csv.encode(encoding), delimiter=delimiter)
        frames = raw_frames(folder / "t.csv", describe(made.columns), rows_at_once=3, **made.reading)
        again = np.concatenate([features_of(block, describe(made.columns)) for block in frames])
    np.testing.assert_array_equal(again, made.features)
    assert made.target.tolist() == [row % 2 for row in range(len(frame))]
    for title, kind in zip(frame.columns[:-1], drawn, strict=False):
        place = made.feature_names.index(title)
        read_back = made.features[:, place]
        assert made.columns[place].kind == kind
        for value, feature_value in zip(frame[title], read_back, strict=True):
            assert np.isnan(feature_value) if pd.isna(value) else same(value, feature_value, made, place)


def same(value: object, read_back: float, made: Dataset, place: int) -> bool:
    if isinstance(value, str):
        return made.columns[place].categories[int(read_back)] == value
    if isinstance(value, datetime):
        return bool(np.isclose(read_back, (pd.Timestamp(value) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)))
    return bool(read_back == float(value))  # type: ignore[arg-type]


cell = st.text(string.printable + "äöß€東\ufeff\u2028\0", max_size=6) | st.sampled_from(
    ["1", "2", "0.5", "1,5", "NA", "inf", "true", "2024-01-31", "1/2/2024", "31.12.2024", "9999-12-31", "2024-02-31"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(cell, min_size=1, max_size=4), min_size=0, max_size=25), st.binary(max_size=6), st.booleans())
def test_nothing_but_bad_input_comes_of_any_file(rows: list[list[str]], tail: bytes, same_width: bool) -> None:
    """Whatever a file holds, it is read or refused in one line that says why."""
    if same_width:
        rows = [[*row, "", "", ""][:3] for row in rows]
    text = "a,b,y\n" + "\n".join(",".join(row) for row in rows)
    with tempfile.TemporaryDirectory() as name:
        said = complaint(Path(name), text.encode() + tail)
    assert said is None or (said.remedy and len(str(said).splitlines()) == 1)


def complaint(folder: Path, content: bytes) -> BadInput | None:
    """Read a table, and see that it is whole; or return why not."""
    try:
        made = read(folder, content)
    except BadInput as error:
        return error
    assert made.features.shape == (len(made.target), len(made.feature_names))
    assert not np.isinf(made.features).any()
    assert len(made.labelled) >= 2
    return None
