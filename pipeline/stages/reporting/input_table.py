"""How columns of a file became inputs, a row a feature: what is filled in, which categories are known, the scaling."""

from __future__ import annotations

import numpy as np

from pipeline.artifacts import Column, Split
from pipeline.stages.encoding import Treatment, treatments

MOST_CATEGORIES = 8  # named in a row; months fit with a word on the rest
LONGEST = 24  # letters of a category's name
NOTHING = "–"


def input_rows(split: Split) -> list[tuple[str, ...]]:
    """Write how each feature became inputs: feature, kind, missing among train rows, filling, center, scale, inputs.

    Nothing where features are the inputs themselves.
    """
    dataset = split.dataset
    if split.encoding is None:
        return []
    missing = np.isnan(dataset.features[split.train]).mean(axis=0)
    rows: list[tuple[str, ...]] = []
    for name, column, share, treatment in zip(
        dataset.feature_names, dataset.columns, missing, treatments(split.encoding, dataset.columns), strict=True
    ):
        filled = _filling(column, treatment), *_scaling(split, column, treatment)
        rows.append((name, column.written_kind, _share(share), *filled, _inputs(treatment)))
    return rows


def _share(share: float) -> str:
    """Write a share so that a few missing values don't read as none."""
    if share == 0:
        return "none"
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%" if share >= 0.001 else "<0.1\N{NO-BREAK SPACE}%"


def _filling(column: Column, treatment: Treatment) -> str:
    if treatment.filling is None:
        return NOTHING
    if column.kind == "boolean":
        return f"the commoner, {'true' if treatment.filling else 'false'}"
    return f"the median, {_value(column, treatment.filling)}"


def _inputs(treatment: Treatment) -> str:
    """Name the inputs that a feature became."""
    missing = ["missing or not"] if treatment.tells_missing else []
    if treatment.filling is not None:
        return "; ".join(["its value", *missing])
    known = ", ".join(_shortened(name) for name in treatment.known[:MOST_CATEGORIES])
    left_out = len(treatment.known) - MOST_CATEGORIES
    more = [f"{left_out} more"] if left_out > 0 else []
    return "; ".join(filter(None, [known, *more, *missing]))


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _scaling(split: Split, column: Column, treatment: Treatment) -> tuple[str, str]:
    if treatment.number is None:
        return NOTHING, NOTHING
    center, scale = split.center[treatment.number], split.scale[treatment.number]
    days = " days" if column.part == "days" else ""
    return _value(column, center), f"{_number(scale)}{days}"


def _value(column: Column, value: float) -> str:
    """Write a value in its own unit: days since 1970 as a date."""
    if column.part == "days":
        return str(np.datetime64(int(np.floor(value)), "D"))
    return _number(value)


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
