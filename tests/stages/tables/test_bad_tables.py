"""Tables that can't be used, through the real command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main
from tests.stages.tables.making import read, rows_of

EXPERIMENT = "name: x\ndatasets: {{d: {{file: {file}, target: y{options}}}}}\nmodels: {{m: {{hidden_units: []}}}}\n"


def half(row: int) -> str:
    return ("no", "yes")[row % 2]


def number(row: int) -> float:
    return row * row / 8


GOOD = rows_of(a=number, y=half)


def changed(row: int, cell: str) -> str:
    """The good table with another first cell in a row, counted from 1."""
    lines = GOOD.splitlines()
    lines[row] = f"{cell},{lines[row].partition(',')[2]}"
    return "\n".join(lines) + "\n"


# What the file holds, further options of the dataset, and what the one line says.
BAD: dict[str, tuple[str | bytes, str, list[str]]] = {
    "empty file": (b"", "", ["is empty", "save the table again"]),
    "blank lines alone": ("\n\n", "", ["is empty"]),
    "header only": ("a,y\n", "", ["has a header and no rows"]),
    "header without a line end": ("a,y", "", ["has a header and no rows"]),
    "missing target": (GOOD.replace("y", "Y", 1), "", ["d.target", "no column 'y'", "did you mean", "'a', 'Y'"]),
    "one class": (rows_of(a=number, y="no"), "", ["column 'y'", "single class, 'no'", "at least two"]),
    "one value": (rows_of(a=number, y="1.5"), "", ["column 'y'", "the same value in every row"]),
    "no target at all": (rows_of(a=number, y=""), "", ["column 'y'", "has no values; name another target"]),
    "all-missing column": (rows_of(a=number, b="NA", y=half), "", ["column 'b'", "no values", "drop the column"]),
    "short row": (
        changed(7, "1").replace("1,yes", "1\n", 1).replace("1,no", "1", 1),
        "",
        ["line 8", "has 1 cell", "the header has 2"],
    ),
    "long row": (changed(7, "1,2"), "", ["line 8", "has 3 cells", "the header has 2", "quote the text"]),
    "mixed column": (changed(7, "x3"), "", ["column 'a', row 7", "'x3' is no number", "na_values", "categorical"]),
    "mixed dates": (
        rows_of(a=lambda row: "soon" if row == 3 else f"2024-01-{row % 28 + 1:02}", y=half),
        "",
        ["column 'a', row 4", "'soon' is no date"],
    ),
    "infinity": (changed(4, "inf"), "", ["column 'a', row 4", "inf is not finite"]),
    "overflow": (changed(4, "-1e999"), "", ["column 'a', row 4", "-inf is not finite"]),
    "a class of one row": (
        rows_of(a=number, y=lambda row: "rare" if row == 9 else half(row)),
        "",
        ["column 'y'", "class 'rare' has a single row"],
    ),
    "10,000 classes": (
        "a,y\n" + "".join(f"{row / 8},c{row // 2}\n" for row in range(20_000)),
        "",
        ["column 'y'", "10,000 classes"],
    ),
    "10,000 numbered classes": (
        "a,y\n" + "".join(f"{row / 8},{row // 2}\n" for row in range(20_000)),
        ", task: classification",
        ["column 'y'", "10,000 classes"],
    ),
    "not UTF-8": (changed(5, "Stra\xdfe").encode("latin-1"), "", ["line 6", "byte 0xdf", "UTF-8", "encoding:"]),
    "header not UTF-8": ("gr\xf6\xdfe,y\n1,no\n".encode("latin-1"), "", ["line 1", "byte 0xf6"]),
    "not even UTF-16": (b"\xff\xfea\x00,\x00y\x00\n\x00\x00\xd8\x01\x00", "", ["byte", "is not UTF-16"]),
    "wrong encoding": (changed(5, "5").encode() + "7,ä\n".encode(), ", encoding: ascii", ["line 42", "is not ASCII"]),
    "unknown encoding": (GOOD, ", encoding: utf8000", ["d.encoding", "'utf8000' is no encoding"]),
    "no text encoding": (GOOD, ", encoding: base64", ["d.encoding", "'base64' is no encoding"]),
    "open quote": (changed(6, '"12'), "", ["line 7", "a quote is opened and never closed"]),
    "open quote to the end": (GOOD[:-4] + '"yes\n8,no\n', "", ["line 41", "a quote is opened and never closed"]),
    "too many texts to keep": (
        "a,y\n" + "".join(f"t{row},{half(row)}\n" for row in range(2001)),
        ", features: [a]",
        ["d.features", "'a' has 2,001 different texts"],
    ),
    "duplicate names": ("a,a,y\n1,2,no\n", "", ["more than one column 'a'"]),
    "empty name": (",a,y\n0,1,no\n", "", ["no name for its column 1"]),
    "blank name": ("a,  ,y\n0,1,no\n", "", ["no name for its column 2"]),
    "nothing but a target": ("y\nno\nyes\n", "", ["no columns to learn from"]),
    "nothing left": (rows_of(id=lambda row: row, y=half), "", ["no columns to learn from", "in features"]),
    "features": (GOOD, ", features: [A]", ["d.features", "no column 'A'", "did you mean 'a'?"]),
    "drop": (GOOD, ", drop: [b]", ["d.drop", "no column 'b'", "'a', 'y'"]),
    "categorical": (GOOD, ", categorical: [b]", ["d.categorical", "no column 'b'"]),
    "weights": (GOOD, ", weights: b", ["d.weights", "no column 'b'"]),
    "group": (GOOD, ", group: b", ["d.group", "no column 'b'"]),
    "time": (GOOD, ", split: {time: b}", ["d.time", "no column 'b'"]),
    "group twice": (GOOD, ", group: a, split: {group: a}", ["d.group", "under split too"]),
    "positive": (GOOD, ", positive: maybe", ["d.positive", "'maybe' is none of the classes", "no, yes"]),
    "positive of many": (
        rows_of(a=number, y=lambda row: "abc"[row % 3]),
        ", positive: a",
        ["d.positive", "'y' has 3 classes"],
    ),
    "positive of a regression": (rows_of(a=number, y=number), ", positive: 1", ["d.positive", "real values"]),
    "target among features": (GOOD, ", features: [a, y]", ["d.features", "'y' is the target"]),
    "target dropped": (GOOD, ", drop: [y]", ["d.drop", "'y' is the target"]),
    "target as group": (GOOD, ", group: y", ["d.group", "'y' is the target"]),
    "kept and dropped": (GOOD, ", features: [a], drop: [a]", ["d.drop", "'a' is in features too"]),
    "listed twice": (GOOD, ", drop: [a, a]", ["d.drop", "more than once"]),
    "regression of words": (GOOD, ", task: regression", ["d.task", "'y' holds no numbers"]),
    "dates as target": (
        rows_of(a=number, y=lambda row: f"2024-01-{row % 9 + 1:02}"),
        "",
        ["column 'y'", "holds dates"],
    ),
    "weight zero": (
        rows_of(a=number, w=lambda row: row, y=half),
        ", weights: w",
        ["column 'w', row 1", "0 is no weight"],
    ),
    "weight missing": (
        rows_of(a=number, w=lambda row: "" if row == 2 else 1, y=half),
        ", weights: w",
        ["column 'w', row 3", "has no value"],
    ),
    "weight in words": (rows_of(a=number, w="heavy", y=half), ", weights: w", ["column 'w'", "holds no numbers"]),
    "group missing": (
        rows_of(a=number, g=lambda row: "" if row == 2 else "g", y=half),
        ", group: g",
        ["column 'g', row 3", "has no value"],
    ),
    "time in words": (rows_of(a=number, t="soon", y=half), ", time: t", ["column 't'", "holds no dates or numbers"]),
    "time in two ways": (
        rows_of(a=number, t=lambda row: f"{row % 9 + 1}/3/2024", y=half),
        ", time: t",
        ["column 't'", "'1/3/2024' can be read in two ways"],
    ),
    "feature in two ways": (
        rows_of(a=number, t=lambda row: f"{row % 9 + 1}/3/2024", y=half),
        ", features: [a, t]",
        ["d.features", "'1/3/2024'", "two ways"],
    ),
    "a name of ours": (
        "s: month,s,y\n" + "".join(f"1.{row},2024-{row % 9 + 1:02}-01,{half(row)}\n" for row in range(40)),
        "",
        ["column 's: month'", "part of a date column", "rename"],
    ),
    "delimiter of two characters": (GOOD, ", delimiter: '::'", ["d.delimiter", "'::' can't be used"]),
    "decimal that delimits": (GOOD, ", delimiter: ',', decimal: ','", ["d.decimal", "is the delimiter too"]),
}


def test_the_good_table_is_good(tmp_path: Path) -> None:
    """What the bad ones are changed from is read: their complaints are about the change."""
    assert read(tmp_path, GOOD).features.shape == (40, 1)


def refused(options: str, file: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run an experiment, see that one line says why not and nothing else is there then; return the line."""
    Path("x.yaml").write_text(EXPERIMENT.format(file=file, options=options), encoding="utf-8")
    before = sorted(Path().rglob("*"))
    assert main(["run", "x.yaml"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert sorted(Path().rglob("*")) == before
    assert said[0].startswith("photofinish: x.yaml: datasets.d"), said[0]
    assert "; " in said[0], said[0]
    return said[0]


@pytest.mark.parametrize("case", BAD)
def test_bad_table_gets_one_line_and_nothing_is_created(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that can't be used: exit code 2, one line with file, column, what and remedy, nothing created."""
    content, options, expected = BAD[case]
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(options, "t.csv", capsys)
    if "in two ways" not in line and "'y' is the target" not in line:
        assert "t.csv" in line or "d." in line
    for part in expected:
        assert part in line


def directory() -> str:
    Path("t.csv").mkdir()
    return "t.csv"


def way_out() -> str:
    """A link inside the experiment's folder to a file outside."""
    outside = Path().resolve().parent / "outside.csv"
    outside.write_text(GOOD)
    Path("data").symlink_to(outside.parent)
    return "data/outside.csv"


def other_kind() -> str:
    Path("t.xlsx").write_bytes(b"PK\x03\x04")
    return "t.xlsx"


def parquet(frame: pd.DataFrame | None = None, keep: float = 1.0, name: str = "t.parquet") -> str:
    frame = pd.DataFrame({"a": range(100), "y": ["no", "yes"] * 50}) if frame is None else frame
    frame.to_parquet(name)
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(keep * len(content))])
    return name


def damaged_inside() -> str:
    name = parquet()
    content = bytearray(Path(name).read_bytes())
    content[4:400] = b"\xff" * 396
    Path(name).write_bytes(content)
    return name


def nested() -> str:
    return parquet(pd.DataFrame({"a": [[1], [2]] * 20, "y": ["no", "yes"] * 20}))


FILES: dict[str, tuple[Callable[[], str], list[str]]] = {
    "missing file": (lambda: "t.csv", ["t.csv isn't there", "correct the path: it was looked for as /"]),
    "directory": (directory, ["t.csv is a directory", "give the file itself"]),
    "link out of the folder": (way_out, ["data/outside.csv", "symbolic link", "name that path openly"]),
    "zero byte": (lambda: r'"t\0.csv"', ["can't be opened"]),
    "unknown type": (other_kind, ["'t.xlsx' is no kind of file", ".csv"]),
    "Parquet cut short": (lambda: parquet(keep=0.7), ["t.parquet", "can't be read", "save the table again"]),
    "Parquet damaged inside": (damaged_inside, ["t.parquet", "can't be read"]),
    "Parquet that is none": (lambda: Path("t.parquet").write_text(GOOD) and "t.parquet", ["t.parquet can't be read"]),
    "empty Parquet": (lambda: parquet(keep=0), ["t.parquet is empty"]),
    "Parquet without rows": (lambda: parquet(pd.DataFrame({"a": [1.0], "y": ["x"]})[:0]), ["has no rows"]),
    "Parquet of lists": (nested, ["column 'a'", "values of type list", "drop the column"]),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_file_gets_one_line_and_nothing_is_created(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that can't be read: exit code 2, one line with file, what and remedy, nothing created."""
    make, expected = FILES[case]
    folder = tmp_path / "inside"
    folder.mkdir()
    monkeypatch.chdir(folder)
    line = refused("", make(), capsys)
    for part in expected:
        assert part in line


def test_options_of_csv_are_none_of_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A delimiter for a Parquet file is refused: it would say nothing."""
    monkeypatch.chdir(tmp_path)
    assert "d.delimiter: belongs to CSV files" in refused(", delimiter: ;", parquet(), capsys)


def test_a_path_that_leads_out_openly_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path starts from the experiment file's folder, not the working directory; `..` or a root may lead on."""
    (tmp_path / "outside.csv").write_text("a,y\n")
    folder = tmp_path / "experiments"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    for file in ("../outside.csv", str(tmp_path / "outside.csv")):
        (folder / "x.yaml").write_text(EXPERIMENT.format(file=file, options=""))
        assert main(["run", "experiments/x.yaml"]) == 2
        assert f"{file} has a header and no rows" in capsys.readouterr().err  # it was found, and read
