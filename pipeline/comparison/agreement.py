"""Where two models disagree: how often only one of them is right, and on which rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import Floats
from pipeline.comparison.reading import Draw

MOST_ROWS = 10


@dataclass(frozen=True)
class Agreement:
    """Shares of rows, over all pairs of a run of one model and a run of the other; they sum to 1."""

    dataset: str
    model: str
    baseline: str
    both_right: float
    only_model: float
    only_baseline: float
    both_wrong: float
    deciding_rows: tuple[int, ...]  # row ids on which the models differ most, the most decisive first


def agreement(draw: Draw, dataset: str, model: str, baseline: str) -> Agreement:
    """Tabulate where two models are right."""
    first, second = share_right(draw, model), share_right(draw, baseline)
    apart = np.abs(first - second)
    order = np.lexsort((draw.row_ids, -apart))
    deciding = [int(draw.row_ids[place]) for place in order[:MOST_ROWS] if apart[place] > 0]
    return Agreement(
        dataset,
        model,
        baseline,
        both_right=float((first * second).mean()),
        only_model=float((first * (1 - second)).mean()),
        only_baseline=float(((1 - first) * second).mean()),
        both_wrong=float(((1 - first) * (1 - second)).mean()),
        deciding_rows=tuple(deciding),
    )


def share_right(draw: Draw, model: str) -> Floats:
    """Share of a model's runs that label each row right, (rows,)."""
    predictions = draw.models[model]
    share: Floats = (predictions.labels() == predictions.truth).mean(axis=0)
    return share
