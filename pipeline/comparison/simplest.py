"""Simplest within noise: the model with the fewest parameters that isn't worse than the best by more than matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.verdict import Measured
from pipeline.comparison.wording import with_unit
from pipeline.units import metric_name


@dataclass(frozen=True)
class Cost:
    """What a model costs: medians over its finished runs."""

    parameters: int | None  # None where a model has no such measure
    train_seconds: float  # one run's share of its population's training
    predict_seconds: float  # one row alone, from raw features to probabilities

    @property
    def size(self) -> float:
        """Parameters; a model without that measure counts as larger than any that has it."""
        return math.inf if self.parameters is None else self.parameters

    @property
    def size_text(self) -> str:
        """The same in brackets, behind a model's name; empty where there is no such measure."""
        return "" if self.parameters is None else f" ({self.parameters:,} parameters)"


@dataclass(frozen=True)
class Standing:
    """How far a model is behind the best, and what it costs. `behind` is positive for every model but the best."""

    model: str
    score: float
    behind: float
    low: float
    high: float
    within_noise: bool  # whether it may be no worse than `equivalence`
    shown: bool  # whether the interval even excludes that it is worse than that
    cost: Cost


@dataclass(frozen=True)
class Recommendation:
    """The model to take on one dataset, with all models beside it, the smallest first."""

    dataset: str
    metric: str
    model: str
    best: str
    standings: tuple[Standing, ...]
    sentence: str


def recommend(measured: Measured, spec: CompareSpec, costs: Mapping[str, Cost]) -> Recommendation | None:
    """Choose the smallest model within noise of the best one; None when a score isn't defined.

    Within noise means that the interval of its distance to the best reaches `equivalence`: the data don't show that it
    is worse by more. It is the spirit of the one-standard-error rule (Breiman, Friedman, Olshen & Stone 1984) with the
    verdict's own interval.
    """
    if np.isnan(measured.values).any():
        return None
    best, others = _best(measured, costs), np.arange(len(measured.models))
    difference, spread = measured.differences(np.full(len(others), best), others)
    behind = -difference if measured.lower_is_better else difference
    half = np.where(others == best, 0.0, spread.half_width(spec.alpha))
    margin = measured.margin(spec)
    standings = [
        Standing(
            model,
            score=float(measured.values[place]),
            behind=float(behind[place]),
            low=float(behind[place] - half[place]),
            high=float(behind[place] + half[place]),
            within_noise=bool(behind[place] - half[place] <= margin),
            shown=bool(behind[place] + half[place] <= margin),
            cost=costs[model],
        )
        for place, model in enumerate(measured.models)
    ]
    standings.sort(key=lambda one: (one.cost.size, one.behind))
    chosen = next(one for one in standings if one.within_noise)
    return Recommendation(
        measured.subject.name,
        measured.metric,
        chosen.model,
        measured.models[best],
        tuple(standings),
        _sentence(chosen, measured.models[best], standings, measured, spec),
    )


def _best(measured: Measured, costs: Mapping[str, Cost]) -> int:
    """Index of the model with the best mean score; of equal ones the smallest."""
    gains = -measured.values if measured.lower_is_better else measured.values
    sizes = [costs[model].size for model in measured.models]
    return min(range(len(gains)), key=lambda place: (-gains[place], sizes[place]))


def _sentence(chosen: Standing, best: str, standings: Sequence[Standing], measured: Measured, spec: CompareSpec) -> str:
    where, metric = measured.subject.name, metric_name(measured.metric)
    size = chosen.cost.size_text
    if chosen.model == best:
        alike = [one.model for one in standings if one is not chosen and one.within_noise]
        if alike:
            is_known = all(one.cost.parameters is not None for one in standings if one.within_noise)
            no_smaller = ", and no smaller" if is_known else ""
            beside = f"{', '.join(alike)} {'is' if len(alike) == 1 else 'are'} within noise of it{no_smaller}"
        else:
            beside = f"no other model comes within noise of its {metric}"
        return f"{where}: take {best}{size}; {beside}."
    margin = with_unit(measured.metric, measured.margin(spec))
    if chosen.shown:
        return f"{where}: take {chosen.model}{size}; it is no more than {margin} of {metric} behind {best}, the best."
    most = with_unit(measured.metric, chosen.high)
    return (
        f"{where}: {chosen.model}{size} will do; that it is more than {margin} of {metric} behind {best}, the best,"
        f" isn't shown (it may be up to {most})."
    )
