"""Reading the ledger: one model run's rows of one part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.artifacts import Floats, Integers
from pipeline.labels import predicted_labels


@dataclass(frozen=True, eq=False)
class Member:
    """One model run's predictions for one part."""

    model: str
    seed: int
    labels: Integers  # (rows,), the truth
    probabilities: Floats  # (rows, classes)
    threshold: float  # NaN unless there are two classes

    @property
    def predicted(self) -> Integers:
        """Labels that the run gave the rows, (rows,)."""
        return predicted_labels(self.probabilities, self.threshold)


@dataclass(frozen=True, eq=False)
class Contest:
    """One class against the rest, in one model run."""

    model: str
    seed: int
    class_name: str
    truth: Integers  # (rows,), 1 for the class
    scores: Floats  # (rows,), its probability
    threshold: float  # above which a row was given to the class; NaN unless there are two classes


def members(ledger: pd.DataFrame, n_classes: int, part: str) -> Iterator[Member]:
    """Yield each model run of one dataset, in the ledger's order.

    A ledger over several datasets has as many `p_` columns as the largest needs; the further ones are left aside.

    Raises
    ------
    ValueError
        When the ledger has no rows of this part.
    """
    rows_of_part = ledger[ledger["split"] == part]
    if rows_of_part.empty:
        raise ValueError(f"the ledger has no {part} rows")
    columns = [f"p_{label}" for label in range(n_classes)]
    for (model, _), rows in rows_of_part.groupby(["model", "seed"], sort=False):
        probabilities: Floats = rows[columns].to_numpy(np.float64)
        truth, threshold = rows["label"].to_numpy(np.int64), float(rows["threshold"].iloc[0])
        yield Member(str(model), int(rows["seed"].iloc[0]), truth, probabilities, threshold)


def contests(ledger: pd.DataFrame, class_names: Sequence[str], part: str) -> Iterator[Contest]:
    """Yield each class of each model run against the rest; of two classes only the second."""
    labels = [1] if len(class_names) == 2 else range(len(class_names))
    for member in members(ledger, len(class_names), part):
        for label in labels:
            truth: Integers = (member.labels == label).astype(np.int64)
            scores = member.probabilities[:, label]
            yield Contest(member.model, member.seed, class_names[label], truth, scores, member.threshold)
