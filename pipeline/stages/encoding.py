"""Encode: how the features of a file's table become inputs of models, fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.artifacts import ENCODED_AT_ONCE, Column, Encoding, Floats

VERSION = 1  # part of every fingerprint of a table from a file: raise it when the same rows would give other inputs


def fit_encoding(columns: Sequence[Column], names: Sequence[str], features: Floats) -> Encoding:
    """Fit how features become inputs.

    Numbers that are missing become the median, booleans the commoner value, and where any was missing among these rows
    a further input says so. Each category that occurs in these rows, missing among them, is an input of its own; rows
    with any other have 0 in all of them. Months and weekdays are categories.

    Parameters
    ----------
    columns:
        What the features were read from, (features,).
    names:
        Of the features, (features,).
    features:
        The training rows, (rows, features), NaN where missing.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.frozen import FrozenEstimator
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    unfitted: dict[str, Any] = {
        "numbers": SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        "booleans": SimpleImputer(strategy="most_frequent", add_indicator=True, keep_empty_features=True),
        "categories": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    }
    steps, inputs, n_numbers = [], [], 0
    for treatment, transformer in unfitted.items():
        places = [place for place, column in enumerate(columns) if _treatment(column) == treatment]
        if not places:
            continue
        # Fitted one by one: a ColumnTransformer would transform all rows too, just to throw the result away.
        transformer.fit(features[:, places])
        steps.append((treatment, FrozenEstimator(transformer), places))
        inputs += _input_names(transformer, [(names[place], columns[place]) for place in places])
        n_numbers += len(places) if treatment == "numbers" else 0
    transformer = ColumnTransformer(steps, sparse_threshold=0).fit(features[:1])
    return Encoding(transformer, tuple(inputs), n_numbers)


@dataclass(frozen=True)
class Treatment:
    """What is done to one feature."""

    filling: float | None = None  # what stands in for a missing value; None of categories
    tells_missing: bool = False  # whether a further input says that the value was missing
    known: tuple[str, ...] = ()  # the categories that have an input
    number: int | None = None  # place among the inputs that are scaled


def treatments(encoding: Encoding, columns: Sequence[Column]) -> list[Treatment]:
    """Say what an encoding does to each feature, (features,)."""
    found: dict[int, Treatment] = {}
    for _, frozen, places in encoding.transformer.transformers_:
        fitted = frozen.estimator
        if hasattr(fitted, "categories_"):
            for place, codes in zip(places, fitted.categories_, strict=True):
                names = tuple(columns[place].categories[int(code)] for code in codes if not np.isnan(code))
                found[place] = Treatment(known=names, tells_missing=bool(np.isnan(codes).any()))
            continue
        indicated = set(fitted.indicator_.features_.tolist())
        for order, (place, filling) in enumerate(zip(places, fitted.statistics_.tolist(), strict=True)):
            number = order if _treatment(columns[place]) == "numbers" else None
            found[place] = Treatment(filling, order in indicated, number=number)
    return [found[place] for place in range(len(columns))]


def numbers_among(encoding: Encoding, features: Floats) -> Floats:
    """Return the inputs that are scaled, (rows, numbers); made a block of rows at a time."""
    numbers = np.empty((len(features), encoding.n_numbers))
    for start in range(0, len(features), ENCODED_AT_ONCE):
        block = slice(start, start + ENCODED_AT_ONCE)
        numbers[block] = encoding.inputs(features[block])[:, : encoding.n_numbers]
    return numbers


def _treatment(column: Column) -> str:
    if column.categories:
        return "categories"
    return "booleans" if column.kind == "boolean" else "numbers"


def _input_names(transformer: Any, columns: Sequence[tuple[str, Column]]) -> list[str]:
    """Name what a fitted transformer makes of its columns."""
    if hasattr(transformer, "categories_"):
        return [
            f"{name} is missing" if np.isnan(code) else f"{name} = {column.categories[int(code)]}"
            for (name, column), known in zip(columns, transformer.categories_, strict=True)
            for code in known
        ]
    names = [name for name, _ in columns]
    return [*names, *(f"{names[place]} is missing" for place in transformer.indicator_.features_)]
