"""Small things that many tests make."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.artifacts import Column, Dataset, Task
from pipeline.stages.generate import DatasetSpec, generate


def dataset(name: str = "d", **keys: object) -> Dataset:
    """A dataset as an experiment file would describe it: `dataset(make="moons", noise=0.3)`."""
    return generate(name, DatasetSpec.model_validate(keys))


MIXED = (
    Column("age", "number"),
    Column("vip", "boolean"),
    Column("city", "category", ("Bruck", "Graz", "Linz", "Wien")),
    Column("since", "date", part="days"),
    Column("since", "date", ("Monday", "Tuesday"), part="weekday"),
)


def mixed_dataset(n_rows: int = 400, task: Task = "binary", seed: int = 0) -> Dataset:
    """A table as it comes from a file: numbers, booleans, categories, dates, and a tenth of each of them missing.

    The target depends on age and city.
    """
    rng = np.random.default_rng(seed)
    age, vip, city = rng.normal(50, 10, n_rows), rng.integers(0, 2, n_rows), rng.integers(0, 4, n_rows)
    days, weekday = rng.integers(18_000, 20_000, n_rows), rng.integers(0, 2, n_rows)
    score = (age - 50) / 10 + np.array([-2.0, 0.0, 0.0, 2.0])[city] + 0.3 * rng.normal(size=n_rows)
    features = np.column_stack([age, vip, city, days, weekday]).astype(np.float64)
    features[rng.random(features.shape) < 0.1] = np.nan
    names = ("age", "vip", "city", "since", "since: weekday")
    if task == "regression":
        return Dataset("mixed", features, score, task, names, (), "mixed.csv", "digest", columns=MIXED)
    cuts, classes = ([0.0], ("no", "yes")) if task == "binary" else ([-1.0, 1.0], ("low", "middle", "high"))
    labels = np.digitize(score, cuts).astype(np.int64)
    return Dataset("mixed", features, labels, task, names, classes, "mixed.csv", "digest", columns=MIXED)


def customers(n_rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A table as people keep them: umlauts, HTML and formulas in names and texts, codes, dates, gaps everywhere.

    Three targets: `klasse` (two classes), `stufe` (three), `preis` (real).
    """
    rng = np.random.default_rng(seed)
    size, town = rng.normal(50, 10, n_rows).round(2), rng.choice([*TOWNS], n_rows)
    since = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 500, n_rows), unit="D")
    columns = {
        "größe": size,
        "kinder": pd.array(rng.integers(0, 4, n_rows), dtype="Int64"),
        "=ort": town,
        "code": pd.array(rng.integers(1, 4, n_rows), dtype="Int64"),
        "vip": pd.array(rng.random(n_rows) < 0.5, dtype="boolean"),
        "<i>seit</i>": since.strftime("%d.%m.%Y"),
    }
    table = pd.DataFrame({name: pd.Series(values).mask(rng.random(n_rows) < 0.08) for name, values in columns.items()})
    score = (size - 50) / 10 + pd.Series(town).map(TOWNS) + 0.4 * rng.normal(size=n_rows)
    stages = pd.cut(score, [-np.inf, -1, 1, np.inf], labels=["<b>tief</b>", "mittel", "höher 😀"])
    return table.assign(klasse=np.where(score > 0, "=ja", "nö"), stufe=stages.astype(object), preis=score.round(3))


TOWNS = {"Wien": 2.0, "Graz": -2.0, "=SUM(1;2)": 0.0, "<b>Linz</b>": 0.0, "Łódź 😀": 0.0}
