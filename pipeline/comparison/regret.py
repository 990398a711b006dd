"""Regret: how far each model stays behind the Bayes rule, where the law of the data is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import Floats
from pipeline.comparison.contributions import Predictions, contributions
from pipeline.comparison.intervals import scores
from pipeline.comparison.reading import Draw
from pipeline.units import lower_is_better

METRICS = ("accuracy", "log_loss")  # what the Bayes rule, and the posterior, can't be beaten in


@dataclass(frozen=True)
class Regret:
    """What a model loses against the Bayes rule on the same rows, with its interval; positive means behind."""

    model: str
    metric: str
    regret: float
    low: float
    high: float


@dataclass(frozen=True)
class Ceiling:
    """The best that is possible on one dataset; None and empty where the law of the data isn't known."""

    dataset: str
    law: str  # "moons", or "unknown"
    bayes_accuracy: float | None  # over all rows there could be
    bayes_log_loss: float | None
    regrets: tuple[Regret, ...] = ()


def regrets(
    draw: Draw, models: Sequence[str], posterior: Floats, alpha: float, metrics: Sequence[str] = METRICS
) -> tuple[Regret, ...]:
    """Compare each model with the Bayes rule, paired on the draw's rows.

    Parameters
    ----------
    draw:
        Predictions on some rows.
    models:
        Whom to compare.
    posterior:
        True class probabilities of the draw's rows, (rows, classes).
    alpha:
        Share of intervals that may miss.
    metrics:
        By what; accuracy makes sense only where labels are made to be right most often.
    """
    truth = next(iter(draw.models.values())).truth
    # The rule isn't trained: two equal runs have no spread over seeds, and so add none.
    rule = Predictions(truth, np.stack([posterior, posterior]), np.full(2, 0.5))
    found = []
    for metric in metrics:
        gathered = scores([contributions(metric, one) for one in (*(draw.models[model] for model in models), rule)])
        places = np.arange(len(models))
        difference, spread = gathered.differences(np.full(len(models), len(models)), places)
        behind = -difference if lower_is_better(metric) else difference
        half = spread.half_width(alpha)
        found += [
            Regret(model, metric, float(behind[i]), float(behind[i] - half[i]), float(behind[i] + half[i]))
            for i, model in enumerate(models)
        ]
    return tuple(found)
