"""From a table's own columns to features: one function for training, prediction and served models.

It stands alone, on numpy and pandas, since a copy of this file lies beside each served model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MICROSECONDS_A_DAY = 86_400_000_000
ISO = "ISO8601"  # of dates: what pandas calls every form of ISO 8601


def features_of(frame: pd.DataFrame, columns: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
    """Turn raw columns into features.

    A number is itself; a boolean 0 or 1; a category its place in `categories`, or -1 where it is none of them; a date
    the days since 1970, or its month, weekday (Monday is 0) or hour. What is missing is NaN.

    Parameters
    ----------
    frame:
        The raw columns by name, in any order, (rows, …): numbers; booleans; texts; dates, or texts in the format that
        training read. Other columns are ignored.
    columns:
        What each feature is made of: `source`, `kind`, `categories`, `part`, `format`.

    Returns
    -------
    numpy.ndarray
        Shape (rows, features).

    Raises
    ------
    ValueError
        When a column is missing, or holds what its kind can't: the message names the column.
    """
    features = np.empty((len(frame), len(columns)))
    dates: dict[str, pd.DatetimeIndex] = {}
    for place, column in enumerate(columns):
        source = column["source"]
        if source not in frame.columns:
            raise ValueError(f"column {source!r} is missing")
        try:
            if column["kind"] == "date" and source not in dates:
                dates = {source: dates_of(frame[source], column["format"])}
            features[:, place] = _feature(frame[source], column, dates)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {source!r}: {error}") from error
    return features


def raw_frame(features: npt.NDArray[np.float64], columns: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Turn features back into raw columns, as `features_of` takes them: dates as text, what is missing as None or NaN.

    Times of the day are kept to the microsecond; that a category was none of the known is not.
    """
    raw: dict[str, Any] = {}
    for values, column in zip(features.T, columns, strict=True):
        if column["kind"] == "number":
            raw[column["source"]] = values
        elif column["kind"] == "boolean":
            raw[column["source"]] = _chosen((False, True), values)
        elif column["kind"] == "category":
            raw[column["source"]] = _chosen(column["categories"], values)
        elif column["part"] == "days":
            dates = pd.to_datetime(pd.Series(np.rint(values * MICROSECONDS_A_DAY)), unit="us")
            raw[column["source"]] = _written(dates, column["format"])
    return pd.DataFrame(raw)


def _chosen(known: Sequence[Any], places: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    last = np.array([*known, None], dtype=object)  # None for gaps, and for -1
    return last[np.where(np.isnan(places), -1, places).astype(np.int64)]


def _written(dates: pd.Series, format_: str | None) -> pd.Series:
    has_times = bool((dates.dropna() != dates.dropna().dt.normalize()).any())
    iso = "%Y-%m-%dT%H:%M:%S.%f" if has_times else "%Y-%m-%d"
    texts = dates.dt.strftime(iso if format_ in (None, ISO) else format_).astype(object)
    written: pd.Series = texts.where(dates.notna(), None)
    return written


def dates_of(values: pd.Series, format_: str | None) -> pd.DatetimeIndex:
    """Read dates to the microsecond; a time with an offset is turned into UTC.

    Raises
    ------
    ValueError
        When a text is no date of this format.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    elif values.dtype.kind != "M":
        texts = pd.Series(values, dtype=object).map(str.strip, na_action="ignore")
        values = pd.to_datetime(texts, format=format_, utc=True).dt.tz_localize(None)
    return pd.DatetimeIndex(values).as_unit("us")


def _feature(
    values: pd.Series, column: Mapping[str, Any], dates: Mapping[str, pd.DatetimeIndex]
) -> npt.NDArray[np.float64]:
    if column["kind"] == "date":
        return _part(dates[column["source"]], column["part"])
    if column["kind"] == "category":
        return _places(values, column["categories"])
    numbers: npt.NDArray[np.float64] = (_truths(values) if column["kind"] == "boolean" else values).to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    return numbers


def _part(dates: pd.DatetimeIndex, part: str) -> npt.NDArray[np.float64]:
    if part == "days":
        days: npt.NDArray[np.float64] = np.where(dates.isna(), np.nan, dates.asi8 / MICROSECONDS_A_DAY)
        return days
    named = {"month": dates.month, "weekday": dates.day_of_week, "hour": dates.hour}
    values = np.asarray(named[part], dtype=np.float64)  # NaN where there is no date
    return values - 1 if part == "month" else values


def _truths(values: pd.Series) -> pd.Series:
    truths = values.map({False: 0.0, True: 1.0})
    odd = values[truths.isna() & values.notna()]
    if len(odd):
        raise ValueError(f"{odd.iloc[0]!r} is neither true nor false")
    return truths


def _places(values: pd.Series, categories: Sequence[str]) -> npt.NDArray[np.float64]:
    codes, texts = (values.cat.codes, values.cat.categories) if values.dtype == "category" else pd.factorize(values)
    known = [text.strip() for text in categories]
    found = [_text(value, set(known)) for value in texts]
    places = pd.Index(np.array(known, dtype=object)).get_indexer(pd.Index(np.array(found, dtype=object)))
    placed: npt.NDArray[np.float64] = np.append(places.astype(np.float64), np.nan)[np.asarray(codes)]
    return placed  # none of the known is -1; the last place is that of code -1, missing


def _text(value: Any, known: Set[str]) -> str:
    """Write a value as the category that it is: of codes, 3 and 3.0 are the same, for JSON with gaps has the latter."""
    if isinstance(value, str):
        return value.strip()
    written = [str(value), str(value).lower()]
    if isinstance(value, (int, float)) and value % 1 == 0:
        written += [str(int(value)), str(float(value))]
    return next((text for text in written if text in known), written[0])
