"""The tables of a verdict, as page and terminal show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.comparison.outcome import Outcome
from pipeline.comparison.regret import Ceiling
from pipeline.comparison.simplest import Recommendation, Standing
from pipeline.comparison.verdict import Verdict, needed_words
from pipeline.comparison.wording import amounts, signed, with_unit
from pipeline.units import in_points, metric_name

MOST_SENTENCES = 8  # more of them are read as a table


@dataclass(frozen=True)
class VerdictRow:
    """One verdict as cells of a table."""

    dataset: str
    pair: str
    metric: str
    difference: str
    interval: str
    p_value: str
    decision: str
    needed: str


def verdict_rows(verdicts: Sequence[Verdict]) -> list[VerdictRow]:
    """Write verdicts as rows."""
    return [_row(verdict) for verdict in verdicts]


def _row(verdict: Verdict) -> VerdictRow:
    difference, low, high = amounts(verdict.metric, verdict.difference, verdict.low, verdict.high)
    return VerdictRow(
        verdict.dataset,
        f"{verdict.model} − {verdict.baseline}",
        metric_name(verdict.metric) + (", points" if in_points(verdict.metric) else ""),
        signed(difference),
        f"[{low}, {high}]",
        "< 0.001" if verdict.adjusted_p_value < 0.001 else f"{verdict.adjusted_p_value:.3f}",
        verdict.decision,
        needed_words(verdict),
    )


def standing_rows(recommendation: Recommendation) -> list[tuple[str, ...]]:
    """Write models by size: name, parameters, score, behind the best, s to train, ms to predict a row."""
    return [_standing(one, recommendation) for one in recommendation.standings]


def _standing(one: Standing, recommendation: Recommendation) -> tuple[str, ...]:
    (score,) = amounts(recommendation.metric, one.score)
    behind, low, high = amounts(recommendation.metric, one.behind, one.low, one.high)
    is_best = one.model == recommendation.best
    return (
        one.model,
        "–" if one.cost.parameters is None else f"{one.cost.parameters:,}",
        score,
        "best" if is_best else f"{behind} [{low}, {high}]",
        f"{one.cost.train_seconds:.3g}",
        f"{1000 * one.cost.predict_seconds:.3g}",
        "recommended" if one.model == recommendation.model else "",
    )


def ceiling_lines(ceiling: Ceiling) -> list[str]:
    """Say how good anything can be on a dataset, and how far each model stays behind."""
    if ceiling.bayes_accuracy is None or ceiling.bayes_log_loss is None:
        return ["The law of these data isn't known, so neither is the best that is possible."]
    lines = [
        f"No model can expect more than {100 * ceiling.bayes_accuracy:.1f} % accuracy, or less than"
        f" {ceiling.bayes_log_loss:.3g} log loss: that is what the Bayes rule of {ceiling.law} reaches."
    ]
    for metric in dict.fromkeys(regret.metric for regret in ceiling.regrets):
        behind = []
        for regret in ceiling.regrets:
            if regret.metric == metric:
                _, low, high = amounts(metric, regret.regret, regret.low, regret.high)
                behind.append(f"{regret.model} {with_unit(metric, regret.regret)} [{low}, {high}]")
        lines.append(f"Behind the Bayes rule on these rows, in {metric_name(metric)}: {'; '.join(behind)}.")
    return lines


def agreement_rows(outcome: Outcome, dataset: str) -> list[tuple[str, ...]]:
    """Write where pairs of models are right: pair, four shares in percent, and the rows that decide."""
    return [
        (
            f"{one.model} and {one.baseline}",
            *(f"{100 * share:.1f} %" for share in (one.both_right, one.only_model, one.only_baseline, one.both_wrong)),
            ", ".join(str(row) for row in one.deciding_rows) or "none",
        )
        for one in outcome.agreements
        if one.dataset == dataset
    ]


def sentences(outcome: Outcome) -> list[str]:
    """Return what can be repeated: verdicts by the metric shown first, unless there are too many to say."""
    shown = [verdict.sentence for verdict in outcome.primary()]
    return shown if len(shown) <= MOST_SENTENCES else []


def conclusions(outcome: Outcome) -> list[str]:
    """Return recommendations, and the ranks where there are several datasets."""
    lines = [one.sentence for one in outcome.recommendations if len(one.standings) > 1]
    judged = {verdict.dataset for verdict in outcome.verdicts}
    lines += [
        f"{one.dataset}: the baseline {outcome.baseline} has no finished run, so nothing was held against it."
        for one in outcome.recommendations
        if one.dataset not in judged
        and outcome.spec.pairs == "baseline"
        and outcome.baseline not in {standing.model for standing in one.standings}
    ]
    return [*lines, outcome.ranking.sentence] if outcome.ranking else lines
