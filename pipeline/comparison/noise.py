"""Noise taken apart: how a score would move if only the seed, the test rows or the split were drawn anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import Floats
from pipeline.comparison.verdict import Measured


@dataclass(frozen=True)
class Noise:
    """Standard deviations that each source alone gives the score of one training, in the metric's own unit.

    None where a source wasn't sampled: one seed tells nothing about seeds, one split nothing about splits.
    """

    dataset: str
    model: str
    metric: str
    seed: float | None  # another seed, the same rows
    test_rows: float  # as many other test rows (where rows come in groups, as many other groups), the same networks
    split: float | None  # other training rows (and other data of the same law)


def noise(measured: Measured) -> list[Noise]:
    """Take the spread of each model's score apart, by the same two-way analysis as the intervals'.

    Variances are estimated without bias and cut at 0. That of the split is what is left of the variance between draws
    when the parts of seeds and test rows are taken away.
    """
    spreads = [draw.alone() for draw in measured.draws]
    runs = np.array(measured.seeds)
    interaction = np.mean([spread.interaction for spread in spreads], axis=0)
    seeds = np.maximum(np.mean([spread.seeds for spread in spreads], axis=0) - interaction, 0.0)
    rows = np.mean([spread.rows for spread in spreads], axis=0)
    split = _of_split(measured, rows + seeds + interaction)
    return [
        Noise(
            measured.subject.name,
            model,
            measured.metric,
            seed=float(np.sqrt(seeds[place] * runs[place])) if runs[place] > 1 else None,
            test_rows=float(np.sqrt(rows[place])),
            split=None if split is None else float(split[place]),
        )
        for place, model in enumerate(measured.models)
    ]


def _of_split(measured: Measured, within: Floats) -> Floats | None:
    if len(measured.draws) < 2:
        return None
    between = np.var([draw.values for draw in measured.draws], axis=0, ddof=1)
    deviation: Floats = np.sqrt(np.maximum(between - within, 0.0))
    return deviation
