from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.stages.tables.files import Format, open_table

DETECTED = {
    "a,b\n1,2\n": (",", "."),
    "a;b\n1,5;2\n": (";", ","),
    "a;b\n1.5;2\n": (";", "."),
    "a;b\n1,5;2.5\n2.5;3.5\n": (";", "."),
    "a\tb\n1,5\tx\n": ("\t", ","),
    "a|b\n1|2\n": ("|", "."),
    "a;b\nx, y, z;1\nu, v, w;2\n": (";", "."),
    '"a, of x, y";b\n1;2\n': (";", "."),
    "a,b;c\n1,2\n3,4\n": (",", "."),
    "\n\na;b\n1;2\n": (";", "."),
}


@pytest.mark.parametrize("text", DETECTED)
def test_delimiter_and_decimal_are_detected(text: str, tmp_path: Path) -> None:
    """The delimiter is what parts most rows as it parts the header; the decimal comma is seen in numbers."""
    (tmp_path / "t.csv").write_text(text)
    delimiter, decimal = DETECTED[text]
    assert open_table(tmp_path / "t.csv", "t.csv").format == Format(delimiter, "utf-8", decimal)


def test_columns_that_ought_to_be_there_tell_the_delimiter(tmp_path: Path) -> None:
    """Where both readings are as good, it is the one whose header has the target."""
    (tmp_path / "t.csv").write_text("a,b;c,d\n1,2;3,4\n")
    for hint, delimiter in ((["d"], ","), (["a,b"], ";")):
        found = open_table(tmp_path / "t.csv", "t.csv", hint=hint).format
        assert found is not None
        assert found.delimiter == delimiter


def test_what_is_given_is_not_detected(tmp_path: Path) -> None:
    """Delimiter and decimal may be given; a byte order mark outweighs what is given."""
    (tmp_path / "t.csv").write_text("a,b;c\n1,5;2\n", encoding="utf-8-sig")
    found = open_table(tmp_path / "t.csv", "t.csv", delimiter=",", encoding="cp1252", decimal=".")
    assert found.format == Format(",", "utf-8", ".")
    assert found.names == ("a", "b;c")
