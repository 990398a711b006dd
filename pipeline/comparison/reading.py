"""Reading the ledger: the predictions of every run of every model on the same rows, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.comparison.contributions import Predictions
from pipeline.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Draw:
    """All predictions on one drawing of one dataset."""

    row_ids: Integers  # (rows,), ascending
    models: dict[str, Predictions]  # those with a finished run, in the ledger's order
    seeds: dict[str, tuple[int, ...]]


def read_draws(ledger: pd.DataFrame, dataset: str, part: str, n_classes: int) -> list[Draw]:
    """Read one dataset's final rows, draw by draw.

    Parameters
    ----------
    ledger:
        `predictions.parquet`.
    dataset, part:
        Whose rows, ``"test"`` or ``"validation"``.
    n_classes:
        Number of classes; 0 for a regression.

    Raises
    ------
    BadInput
        When two runs of a draw don't speak of the same rows with the same truth.
    """
    rows = ledger[(ledger["dataset"] == dataset) & (ledger["split"] == part)]
    return [_read(draw, dataset, n_classes) for _, draw in rows.groupby("resample", sort=True)]


def _read(draw: pd.DataFrame, dataset: str, n_classes: int) -> Draw:
    columns = [f"p_{label}" for label in range(n_classes)] or ["prediction"]
    row_ids: Integers | None = None
    truth: Integers | Floats = np.empty(0)
    tables: dict[str, list[tuple[int, Floats, float]]] = {}
    for (model, _), run in draw.groupby(["model", "seed"], sort=False):
        seed = int(run["seed"].iloc[0])
        ordered = run.sort_values("row_id")
        ids, labels = ordered["row_id"].to_numpy(), ordered["label"].to_numpy()
        if row_ids is None:
            row_ids, truth = ids, labels
        elif not np.array_equal(ids, row_ids) or not np.array_equal(labels, truth):
            raise BadInput(
                f"{model} with seed {seed} was measured on other rows, or other labels, than the runs before it",
                field=f"datasets.{dataset}",
                remedy="compare runs of the same data and split",
            )
        threshold = float(ordered["threshold"].iloc[0]) if n_classes == 2 else float("nan")
        tables.setdefault(str(model), []).append((seed, ordered[columns].to_numpy(np.float64), threshold))
    assert row_ids is not None  # groups are never empty
    return Draw(
        row_ids,
        {model: _predictions(truth, runs, n_classes) for model, runs in tables.items()},
        {model: tuple(seed for seed, _, _ in runs) for model, runs in tables.items()},
    )


def _predictions(truth: Integers | Floats, runs: list[tuple[int, Floats, float]], n_classes: int) -> Predictions:
    predicted = np.stack([table for _, table, _ in runs])
    cuts = np.array([threshold for _, _, threshold in runs])
    return Predictions(truth, predicted if n_classes else predicted[..., 0], cuts)
