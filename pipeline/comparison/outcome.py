"""The outcome of a comparison: all that is said of its models, and how it lies in `verdicts.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import Floats
from pipeline.comparison.agreement import Agreement, agreement
from pipeline.comparison.ceilings import Law
from pipeline.comparison.comparability import RowsLookedAt
from pipeline.comparison.noise import Noise, noise
from pipeline.comparison.ranks import Ranking, rank
from pipeline.comparison.reading import Draw
from pipeline.comparison.regret import METRICS, Ceiling, regrets
from pipeline.comparison.simplest import Cost, Recommendation, recommend
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.verdict import Measured, Pair, Subject, Verdict, judge, measure

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1  # raise it when a reader of verdicts.json would have to change


@dataclass(frozen=True, eq=False)
class KnownTruth:
    """The law behind a dataset's rows, and what it says of them."""

    name: str  # "moons"
    law: Law
    posterior: Floats  # (rows of the table, classes), by row id


@dataclass(frozen=True, eq=False)
class Outcome:
    """Everything that a comparison concludes, dataset by dataset in the order of the file."""

    spec: CompareSpec  # with the baseline that counts
    verdicts: tuple[Verdict, ...]
    noise: tuple[Noise, ...]
    recommendations: tuple[Recommendation, ...]
    agreements: tuple[Agreement, ...]
    ceilings: tuple[Ceiling, ...]
    ranking: Ranking | None

    @property
    def baseline(self) -> str:
        """The model that the others are held against."""
        return str(self.spec.baseline)

    def primary(self) -> list[Verdict]:
        """Verdicts by the metric shown first."""
        return [verdict for verdict in self.verdicts if verdict.primary]


def conclude(
    ledger: pd.DataFrame,
    runs: pd.DataFrame,
    subjects: Sequence[Subject],
    models: Sequence[str],
    spec: CompareSpec,
    known: Mapping[str, KnownTruth],
    pairs: Sequence[Pair] | None = None,
) -> Outcome:
    """Compare all models on all datasets, from their predictions alone.

    Parameters
    ----------
    ledger, runs:
        `predictions.parquet` and `metrics.csv`.
    subjects:
        The datasets, in the order of the file.
    models:
        All models, in the order of the file.
    spec:
        What is compared, and how sure one wants to be.
    known:
        The truth behind datasets whose law is known.
    pairs:
        The pairs to compare, instead of those that the spec asks for.

    Raises
    ------
    BadInput
        When runs that are to be compared speak of different rows.
    """
    spec = spec.model_copy(update={"baseline": spec.baseline or models[0]})
    verdicts: list[Verdict] = []
    noises: list[Noise] = []
    recommendations: list[Recommendation] = []
    agreements: list[Agreement] = []
    ceilings: list[Ceiling] = []
    first: list[Measured] = []
    for subject in subjects:
        draws, measured = measure(ledger, replace(subject, asked=_asked(runs, subject.name)), models)
        if not measured:
            continue
        (shown,) = (one for one in measured if one.metric == subject.metric)
        first.append(shown)
        for one in (shown, *(other for other in measured if other is not shown)):
            verdicts += judge(one, spec, draws[0], pairs)
            noises += noise(one)
        recommended = recommend(shown, spec, costs(runs, subject.name))
        recommendations += [recommended] if recommended else []
        if subject.n_classes:
            judged = dict.fromkeys((v.model, v.baseline) for v in verdicts if v.dataset == subject.name)
            agreements += [agreement(draws[0], subject.name, *pair) for pair in judged]
            ceilings.append(_ceiling(subject, draws[0], shown.models, known.get(subject.name), spec.alpha))
    return Outcome(
        spec,
        tuple(verdicts),
        tuple(noises),
        tuple(recommendations),
        tuple(agreements),
        tuple(ceilings),
        rank(first, spec.alpha),
    )


def _asked(runs: pd.DataFrame, dataset: str) -> dict[str, int]:
    """Count each model's seeds on one dataset, those that failed among them."""
    seeds = runs[runs["dataset"] == dataset].groupby("model")["seed"].nunique()
    return {str(model): int(count) for model, count in seeds.items()}


def costs(runs: pd.DataFrame, dataset: str) -> dict[str, Cost]:
    """Medians over the finished runs of each model on one dataset."""
    finished = runs[(runs["dataset"] == dataset) & (runs["status"] == "FINISHED")]
    columns = finished.groupby("model")[["parameters", "train_seconds", "predict_seconds"]].median()
    return {
        str(model): Cost(_whole(row.parameters), float(row.train_seconds), float(row.predict_seconds))
        for model, row in columns.iterrows()
    }


def _whole(parameters: Any) -> int | None:
    return None if math.isnan(parameters) else int(parameters)


def _ceiling(subject: Subject, draw: Draw, models: Sequence[str], known: KnownTruth | None, alpha: float) -> Ceiling:
    if known is None:
        return Ceiling(subject.name, "unknown", None, None)
    metrics = ("log_loss",) if subject.labels else METRICS
    return Ceiling(
        subject.name,
        known.name,
        1 - known.law.bayes_error,
        known.law.bayes_log_loss,
        regrets(draw, models, known.posterior[draw.row_ids], alpha, metrics),
    )


def outcome_json(outcome: Outcome, test_sets: Mapping[str, RowsLookedAt]) -> dict[str, Any]:
    """Return the outcome as plain JSON values; numbers that aren't defined are null. reports/README.md documents it."""
    plain = {
        "schema": SCHEMA,
        "alpha": outcome.spec.alpha,
        "equivalence": outcome.spec.equivalence,
        "pairs": outcome.spec.pairs,
        "baseline": outcome.baseline,
        "test_sets": {name: asdict(rows) for name, rows in test_sets.items()},
        "verdicts": [asdict(verdict) for verdict in outcome.verdicts],
        "noise": [asdict(one) for one in outcome.noise],
        "recommendations": [asdict(one) for one in outcome.recommendations],
        "agreement": [asdict(one) for one in outcome.agreements],
        "ceilings": [asdict(one) for one in outcome.ceilings],
        "ranking": asdict(outcome.ranking) if outcome.ranking else None,
    }
    defined: dict[str, Any] = _defined(plain)
    return defined


def _defined(value: Any) -> Any:
    """Replace what JSON can't say."""
    if isinstance(value, dict):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
