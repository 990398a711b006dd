from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.stages.tables.dates import Unclear, date_format, like_dates, mostly_dates

FORMATS = {
    "ISO8601": ["2024-01-31", "2024-01-31T13:30", "2024-01-31 13:30:05.25", "2024-01-31T13:30:05Z", "2024-02"],
    "%Y/%m/%d": ["2024/01/02", "2024/1/31"],
    "%d.%m.%Y": ["01.02.2024", "1.2.1999"],
    "%d.%m.%Y %H:%M": ["01.02.2024 9:15"],
    "%d/%m/%Y": ["01/02/2024", "13/02/2024"],
    "%m/%d/%Y": ["01/02/2024", "02/13/2024"],
    "%m/%d/%Y %H:%M:%S": ["02/13/2024 09:15:30"],
    "%d-%m-%Y": ["31-01-2024"],
}


@pytest.mark.parametrize("expected", FORMATS)
def test_format_of_dates_is_told(expected: str) -> None:
    """ISO 8601, year first, dots, and slashes or dashes where one date says which number is the day."""
    assert date_format(pa.array(FORMATS[expected])) == expected


@pytest.mark.parametrize("texts", [["01/02/2024"], ["1-2-2024 10:00", "3-4-2024 11:00"]])
def test_day_and_month_are_not_guessed(texts: list[str]) -> None:
    """Dates that can be read either way are unclear; where day and month are equal it doesn't matter."""
    assert date_format(pa.array(texts)) == Unclear(texts[0])
    assert date_format(pa.array(["02/02/2024", "11/11/2023"])) == "%d/%m/%Y"


@pytest.mark.parametrize(
    "texts",
    [["2024-02-30"], ["2024-13"], ["13/02/2024", "02/13/2024"], ["01.02.24"], ["2024-01-31", "soon"], ["20240131"]],
)
def test_what_is_no_date_is_none(texts: list[str]) -> None:
    """Days that no calendar has, two orders in one column, years of two digits and plain numbers are no dates."""
    assert date_format(pa.array(texts)) is None


def test_texts_among_dates_are_found() -> None:
    """Where most texts are dates of a format, those that aren't are told from them, impossible days too."""
    texts = pa.array(["02/13/2024", "soon", "02/14/2024", "14/02/2024", "02/15/2024", "02/16/2024"])
    assert mostly_dates(texts) == "%m/%d/%Y"
    assert like_dates(texts, "%m/%d/%Y").to_pylist() == [True, False, True, False, True, True]
    assert mostly_dates(pa.array(["31.01.2024", "31.02.2024", "31.03.2024"])) == "%d.%m.%Y"
    assert mostly_dates(pa.array(["soon", "later", "2024-01-31"])) is None
