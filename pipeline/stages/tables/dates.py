"""Tell whether texts are dates, and in which format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pipeline.raw_columns import ISO, dates_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ISO_FORM = r"\d{4}-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?)?"
_DATES = ("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y")  # the last two may be month first
_TIMES = ("", " %H:%M", " %H:%M:%S")
_DIGITS = {"%Y": r"\d{4}", "%d": r"\d{1,2}", "%m": r"\d{1,2}", "%H": r"\d{1,2}", "%M": r"\d{2}", "%S": r"\d{2}"}


@dataclass(frozen=True)
class Unclear:
    """Dates that can be read in two ways, day or month first."""

    example: str


def date_format(texts: pa.Array) -> str | Unclear | None:
    """Return the format in which all texts are dates; None when there is none."""
    for form in _formats():
        if _all_match(texts, _pattern(form)):
            return _fitting(texts, form)
    return None


def mostly_dates(texts: pa.Array) -> str | None:
    """Return the format in which more than half of the texts are dates, though not all."""
    import pyarrow.compute as pc

    def count(likely: pa.Array) -> int:
        return pc.sum(likely).as_py() or 0

    for form in _formats():
        if 2 * count(pc.match_substring_regex(texts, _pattern(form))) > len(texts):
            found = {one: count(like_dates(texts, one)) for one in (form, *_other_order(form))}
            best = max(found, key=found.__getitem__)
            return best if 2 * found[best] > len(texts) else None
    return None


def like_dates(texts: pa.Array, form: str) -> pa.Array:
    """Return which texts are dates of a format, (texts,); days that no calendar has are none."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    matches = pc.match_substring_regex(texts, _pattern(form))
    read = pd.to_datetime(pd.Series(texts.to_pylist(), dtype=object), format=form, utc=True, errors="coerce")
    return pc.and_(matches, pa.array(read.notna()))


def _fitting(texts: pa.Array, form: str) -> str | Unclear | None:
    """Hold texts that look like a format against the calendar, day first and month first."""
    both = [form, *_other_order(form)]
    read = {one: dates for one in both if (dates := _read(texts, one)) is not None}
    if len(read) == 2 and not read[both[0]].equals(read[both[1]]):
        return Unclear(str(texts[0]))
    return next(iter(read), None)


def _other_order(form: str) -> Sequence[str]:
    """Month first for day first; dots and a leading year leave no doubt."""
    return [form.replace("%d", "%x").replace("%m", "%d").replace("%x", "%m")] if form[:3] in ("%d/", "%d-") else []


def _read(texts: pa.Array, form: str) -> pd.DatetimeIndex | None:
    import pandas as pd

    try:
        return dates_of(pd.Series(texts.to_pylist(), dtype=object), form)
    except ValueError:
        return None


@cache
def _formats() -> tuple[str, ...]:
    return (ISO, *(date + time for date in _DATES for time in _TIMES))


@cache
def _pattern(form: str) -> str:
    if form == ISO:
        return f"^{_ISO_FORM}$"
    return "^" + re.sub(r"%\w", lambda match: _DIGITS[match.group()], form.replace(".", r"\.")) + "$"


def _all_match(texts: pa.Array, pattern: str) -> bool:
    import pyarrow.compute as pc

    # A few first: most columns are no dates, and their first texts say so.
    return all(pc.all(pc.match_substring_regex(part, pattern)).as_py() for part in (texts[:20], texts))
