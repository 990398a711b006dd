"""The verdict on two tables of predictions, wherever they come from: they need what the ledger has, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Integers
from pipeline.comparison.contributions import CLASSIFICATION, REGRESSION
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.verdict import LABELLED, Subject, Verdict, judge, measure
from pipeline.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

SHARED = ("dataset", "split", "resample")  # that both tables have one of, where they say it
PROBABILITY = "p_"  # and the class


def compare_tables(tables: Mapping[str, pd.DataFrame], spec: CompareSpec) -> Verdict:
    """Judge a model against a baseline by what both predict for the same rows; nothing is trained.

    Parameters
    ----------
    tables:
        The model's and the baseline's, by name. Columns are the ledger's: `row_id`, `label` (the truth), `prediction`
        (a value, or a class) or `p_<class>` for every class, and where there are any `seed`, `threshold` and `group`.
    spec:
        Metric (accuracy unless given), `alpha` and `equivalence`.

    Raises
    ------
    BadInput
        When a table lacks something, when they don't speak of the same rows with the same truth, or when the metric
        isn't defined on these.
    """
    metric = spec.metric or CLASSIFICATION[0]
    checked = {name: _checked(name, table) for name, table in tables.items()}
    _check_shared(checked)
    ledger = _ledger(checked, metric)
    n_classes = len(_probability_columns(ledger))
    own_cuts = n_classes == 2 and bool((ledger["threshold"] != 0.5).any())
    labels, groups = "thresholds as given" if own_cuts else "", _groups(ledger)
    subject = Subject(ledger["dataset"].iloc[0], "test", n_classes, metric, labels=labels, groups=groups)
    draws, measured = measure(ledger, subject, list(tables))
    if not measured:
        raise BadInput("one row (or group) has no spread", field="row_id", remedy="give predictions of two or more")
    (asked,) = (one for one in measured if one.metric == metric)
    model, baseline = tables
    found = judge(asked, spec, draws[0], [(model, baseline)])
    if not found:
        remedy = "give another metric, or rows of every class"
        raise BadInput(
            f"{metric} isn't defined on these rows, whose labels are all alike", field="metric", remedy=remedy
        )
    return found[0]


def _ledger(tables: Mapping[str, pd.DataFrame], metric: str) -> pd.DataFrame:
    """Write both tables as a ledger of one dataset's test rows, with rows and classes by number."""
    import pandas as pd

    is_regression = metric in REGRESSION
    rows = pd.concat(
        [_keyed(name, table, is_regression=is_regression) for name, table in tables.items()], ignore_index=True
    )
    _check_rows(rows)
    if is_regression:
        given = [_numbers(name, table, ["prediction"]) for name, table in tables.items()]
    else:
        classes = _classes(tables, rows["label"], metric)
        given = [_probabilities(name, table, classes, metric) for name, table in tables.items()]
        rows["label"] = rows["label"].map(classes.index)
    rows["row_id"], rows["seed"] = _codes(rows["row_id"]), _codes(rows["seed"])  # both may be texts
    return rows.join(pd.concat(given, ignore_index=True)).assign(dataset=_where(tables), split="test", resample=0)


def _checked(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without columns that are empty, as a ledger has some for the sake of other datasets."""
    if table.empty:
        raise BadInput("has no rows", field=name, remedy="give one for each row_id, and seed")
    table = table.dropna(axis="columns", how="all").reset_index(drop=True)
    for column in ("row_id", "label"):
        _check_column(name, table, column)
    for column in ("model", *SHARED):
        if column in table and table[column].nunique() > 1:
            first, second = table[column].drop_duplicates()[:2]
            raise BadInput(
                f"has rows of {column} {first} and of {column} {second}", field=name, remedy="keep those of one"
            )
    return table


def _check_column(name: str, table: pd.DataFrame, column: str) -> None:
    if column not in table:
        listed = ", ".join(str(one) for one in table.columns)
        raise BadInput(f"has no column {column!r}", field=name, remedy=f"name it so: its columns are {listed}")
    gaps = np.flatnonzero(table[column].isna())
    if len(gaps):
        raise BadInput(f"has no value in column {column!r}, row {gaps[0] + 1}", field=name, remedy="fill it in")


def _check_shared(tables: Mapping[str, pd.DataFrame]) -> None:
    for column in SHARED:
        said = {name: table[column].iloc[0] for name, table in tables.items() if column in table}
        if len(set(said.values())) > 1:
            words = " and ".join(f"{name} has {column} {value}" for name, value in said.items())
            raise BadInput(words, remedy="give predictions of the same rows")


def _where(tables: Mapping[str, pd.DataFrame]) -> str:
    """What the rows are called in the verdict's sentence."""
    first = next(iter(tables.values()))
    name = str(first["dataset"].iloc[0]) if "dataset" in first else "these rows"
    part = str(first["split"].iloc[0]) if "split" in first else "test"
    return name if part == "test" else f"{name} ({part} rows)"


def _keyed(name: str, table: pd.DataFrame, *, is_regression: bool) -> pd.DataFrame:
    """Return what tells rows from one another, and what is true of them."""
    import pandas as pd

    truth = _numbers(name, table, ["label"])["label"] if is_regression else _named(table["label"])
    keys = {"model": name, "seed": 0, "row_id": table["row_id"], "label": truth}
    for column in ("seed", "group"):
        if column in table:
            _check_column(name, table, column)
            keys[column] = table[column]
    return pd.DataFrame(keys)


def _check_rows(rows: pd.DataFrame) -> None:
    """Hold every run of both against each other: the same rows, each once, with one truth and in one group."""
    again = rows.duplicated(["model", "seed", "row_id"])
    if again.any():
        model, seed, row = rows.loc[again, ["model", "seed", "row_id"]].iloc[0]
        remedy = "give each row once, and a column seed where there are several runs"
        raise BadInput(f"has row {row} more than once with seed {seed}", field=model, remedy=remedy)
    for column in rows.columns.intersection(["label", "group"]):
        wide = rows.pivot(index="row_id", columns=["model", "seed"], values=column)
        absent = np.argwhere(wide.isna())
        if len(absent):
            model, seed = wide.columns[absent[0][1]]
            lacking = f"row {wide.index[absent[0][0]]}" + ("" if column == "label" else f" in column {column!r}")
            raise BadInput(
                f"with seed {seed} lacks {lacking}, which other runs have", field=model, remedy="compare the same rows"
            )
        differing = np.argwhere(wide.ne(wide.iloc[:, 0], axis="index"))
        if len(differing):
            row, run = differing[0]
            model, seed = wide.columns[run]
            raise BadInput(
                f"row {wide.index[row]} has the {column} {wide.iloc[row, run]} with seed {seed},"
                f" and {wide.iloc[row, 0]} in {wide.columns[0][0]}",
                field=model,
                remedy="compare predictions of the same data",
            )


def _named(column: pd.Series) -> pd.Series:
    """Write classes as text; whole numbers as such, also where other rows' gaps have made the column one of floats."""
    from pandas.api.types import is_float_dtype

    whole = is_float_dtype(column) and bool((column % 1 == 0).all())
    return (column.astype("int64") if whole else column).astype(str)


def _has_labels(table: pd.DataFrame, metric: str) -> bool:
    """Whether predicted classes count, and not probabilities."""
    return metric in LABELLED and "prediction" in table


def _classes(tables: Mapping[str, pd.DataFrame], truth: pd.Series, metric: str) -> list[str]:
    """Name every class there is, sorted as text: of two, the second is the one that precision and recall speak of."""
    true = found = set(truth)
    for name, table in tables.items():
        if _has_labels(table, metric):
            predicted = set(_named(table["prediction"].dropna()))
            if predicted.isdisjoint(true):
                raise BadInput(
                    f"predicts {min(predicted)}, which like all it predicts is never the label, as {min(true)} is",
                    field=name,
                    remedy=f"write classes alike in both columns, or compare numbers by {', '.join(REGRESSION)}",
                )
            found = found | predicted
        else:
            found = found | {column.removeprefix(PROBABILITY) for column in _probability_columns(table)}
    return sorted(found)


def _probability_columns(table: pd.DataFrame) -> list[str]:
    return [str(column) for column in table.columns if str(column).startswith(PROBABILITY)]


def _probabilities(name: str, table: pd.DataFrame, classes: Sequence[str], metric: str) -> pd.DataFrame:
    """Columns p_0 … p_k, and the threshold; a predicted class has all the probability."""
    import pandas as pd

    places = [f"{PROBABILITY}{place}" for place in range(len(classes))]
    if _has_labels(table, metric):
        _check_column(name, table, "prediction")
        codes = pd.Categorical(_named(table["prediction"]), categories=list(classes)).codes
        return pd.DataFrame(np.eye(len(classes))[codes], columns=places).assign(threshold=0.5)
    if not _probability_columns(table):
        wanted = ", ".join(f"{PROBABILITY}{label}" for label in classes)
        column = f"'prediction', nor {wanted}" if metric in LABELLED else wanted
        remedy = "add it" if metric in LABELLED else f"add them, or use a metric of classes: {', '.join(LABELLED)}"
        raise BadInput(f"has no column {column}", field=name, remedy=remedy)
    given = _numbers(name, table, [f"{PROBABILITY}{label}" for label in classes])
    outside = np.argwhere((given.to_numpy() < 0) | (given.to_numpy() > 1))
    if len(outside):
        row, column = outside[0]
        raise BadInput(
            f"{given.iloc[row, column]:g} in column {given.columns[column]!r}, row {row + 1}, is no probability",
            field=name,
            remedy="give probabilities between 0 and 1, not logits",
        )
    cut = _numbers(name, table, ["threshold"])["threshold"] if "threshold" in table else 0.5
    return given.set_axis(places, axis="columns").assign(threshold=cut)


def _numbers(name: str, table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns as numbers."""
    for column in columns:
        _check_column(name, table, column)
        try:
            finite = np.isfinite(table[column].to_numpy(dtype=np.float64))
        except (TypeError, ValueError):
            finite = np.zeros(1, dtype=np.bool_)
        if not finite.all():
            raise BadInput(f"has something else than numbers in column {column!r}", field=name, remedy="give numbers")
    return table[list(columns)].astype(np.float64)


def _codes(column: pd.Series) -> Integers:
    """Number what there is from 0, in the order of rows."""
    import pandas as pd

    codes: Integers = pd.factorize(column)[0].astype(np.int64)
    return codes


def _groups(ledger: pd.DataFrame) -> Integers | None:
    """Group of each row by its number; None where rows are cases of their own."""
    if "group" not in ledger:
        return None
    return _codes(ledger.drop_duplicates("row_id")["group"])  # rows are numbered as they come
