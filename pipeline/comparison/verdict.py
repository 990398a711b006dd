"""Verdicts: every pair of models on every dataset and metric, from the ledger alone; nothing is trained here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.comparison.contributions import Contributions, contributions, metrics_for
from pipeline.comparison.decisions import Decision, decide, holm, mcnemar, needed, rounded
from pipeline.comparison.intervals import Scores, Spread, over_draws, scores
from pipeline.comparison.reading import Draw, read_draws
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.wording import amounts, count, signed, with_unit
from pipeline.units import in_points, lower_is_better, metric_name

if TYPE_CHECKING:
    import pandas as pd

TWO_WAY = "two-way random effects"
ROWS_ALONE = "rows alone (one seed)"
GROUPS_ALONE = "groups alone (one seed)"
MCNEMAR = "exact McNemar (one seed)"
OVER_DRAWS = "corrected resampled t"

Pair = tuple[str, str]  # model and baseline
LABELLED = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "balanced_accuracy",
    "mcc",
)  # metrics of labels rather than of probabilities


@dataclass(frozen=True, eq=False)
class Subject:
    """What the comparison has to know of a dataset besides its predictions."""

    name: str
    part: str  # "test" or "validation": the final rows
    n_classes: int  # 0 for a regression
    metric: str  # the one shown first
    test_share: float = 0.0  # test rows over training rows where resamples share one table, else 0
    labels: str = ""  # how labels are made, where not as everybody expects: "thresholds chosen for f1"
    groups: Integers | None = None  # (rows of the table,), by row id, where rows come in groups: those are the cases
    asked: Mapping[str, int] = field(default_factory=dict)  # model → seeds asked for, where some of them failed


@dataclass(frozen=True)
class Verdict:
    """One model against one baseline on one dataset, by one metric.

    `difference` is model minus baseline, in the metric's own unit; `low` and `high` are the ends of its interval, not
    adjusted for the number of pairs, as `adjusted_p_value` is.
    """

    dataset: str
    model: str
    baseline: str
    metric: str
    primary: bool  # whether this is the metric shown first
    model_score: float
    baseline_score: float
    difference: float
    low: float
    high: float
    margin: float  # the difference that wouldn't matter
    p_value: float
    adjusted_p_value: float
    decision: Decision
    method: str
    seeds: tuple[int, int]  # finished runs of model and baseline
    seeds_asked: tuple[int, int]  # with those that failed
    rows: int
    groups: int | None  # that the rows come in, and that the interval has as its cases; None where rows are cases
    resamples: int
    pairs: int  # how many the p-value is adjusted for
    rows_needed: int | None  # None where it is decided, where no number would do, or where rows come in groups
    groups_needed: int | None  # likewise
    seeds_needed: int | None
    labels: str  # how labels are made, where the metric depends on it and it isn't as everybody expects
    sentence: str


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric of all models on one dataset, in each draw."""

    subject: Subject
    metric: str
    models: tuple[str, ...]
    draws: tuple[Scores, ...]
    seeds: tuple[int, ...]  # finished runs a draw, the fewest where draws differ
    scale: float = 1.0  # what the margin of equivalence is a multiple of

    @property
    def n_groups(self) -> int | None:
        """Number of groups that the rows come in; None where rows are cases of their own."""
        return None if self.subject.groups is None else self.draws[0].n_cases

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value is the better one."""
        return lower_is_better(self.metric)

    @property
    def values(self) -> Floats:
        """Mean score of each model, over runs and draws."""
        mean: Floats = np.mean([draw.values for draw in self.draws], axis=0)
        return mean

    def margin(self, spec: CompareSpec) -> float:
        """Difference that wouldn't matter, in the metric's own unit."""
        return spec.equivalence * self.scale

    def differences(self, first: Integers, second: Integers) -> tuple[Floats, Spread]:
        """Score of `first` minus that of `second`, and its spread over all that is drawn by chance."""
        found = [draw.differences(first, second) for draw in self.draws]
        if len(found) == 1:
            return found[0]
        values = np.stack([difference for difference, _ in found])
        spread = found[0][1]
        return values.mean(axis=0), over_draws(values, self.subject.test_share, spread.row_effect, spread.n_cases)


def measure(ledger: pd.DataFrame, subject: Subject, models: Sequence[str]) -> tuple[list[Draw], list[Measured]]:
    """Read one dataset's predictions, and measure every metric in every draw.

    Models without a finished run in every draw are left out; nothing is measured on a single row, or a single group of
    rows, which has no spread.

    Raises
    ------
    BadInput
        When runs speak of different rows.
    """
    draws = read_draws(ledger, subject.name, subject.part, subject.n_classes)
    present = tuple(model for model in models if draws and all(model in draw.models for draw in draws))
    if not present or min(_case_count(draw, subject) for draw in draws) < 2:
        return draws, []
    names = metrics_for(next(iter(draws[0].models.values())))
    return draws, [_measured(name, subject, draws, present) for name in names]


def _case_count(draw: Draw, subject: Subject) -> int:
    return len(draw.row_ids if subject.groups is None else np.unique(subject.groups[draw.row_ids]))


def _measured(metric: str, subject: Subject, draws: Sequence[Draw], models: tuple[str, ...]) -> Measured:
    gathered: list[Scores] = []
    for draw in draws:
        parts: list[Contributions] = [contributions(metric, draw.models[model]) for model in models]
        gathered.append(scores(parts, None if subject.groups is None else subject.groups[draw.row_ids]))
    seeds = tuple(min(len(draw.seeds[model]) for draw in draws) for model in models)
    truth = next(iter(draws[0].models.values())).truth
    return Measured(subject, metric, models, tuple(gathered), seeds, _scale(metric, truth))


def _scale(metric: str, truth: Integers | Floats) -> float:
    """Return what `equivalence` is a multiple of: errors in target units say little but beside the target's spread."""
    if metric in ("mae", "rmse"):
        return float(truth.std())
    return float(truth.var()) if metric == "mse" else 1.0


def judge(measured: Measured, spec: CompareSpec, draw: Draw, asked: Sequence[Pair] | None = None) -> list[Verdict]:
    """Compare the pairs that are asked for, as far as both models were measured.

    Parameters
    ----------
    measured:
        One metric on one dataset.
    spec:
        Which pairs, how sure, and what would not matter.
    draw:
        The first draw, for the exact test of two single networks.
    asked:
        Model and baseline of each pair; None for those that the spec names.
    """
    models = measured.models
    pairs = list(_pairs(models, spec)) if asked is None else list(_places(models, asked))
    if not pairs or np.isnan(measured.values).any():
        return []
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    difference, spread = measured.differences(first, second)
    half = spread.half_width(spec.alpha)
    low, high, p_values = difference - half, difference + half, spread.p_value(difference)
    methods = [_method(measured, *pair) for pair in pairs]
    for i, (pair, method) in enumerate(zip(pairs, methods, strict=True)):
        if method == MCNEMAR:  # the interval holds the exact one too, lest it contradict the exact p-value
            p_values[i], *exact = _exact(measured, draw, *pair, spec.alpha)
            low[i], high[i] = min(low[i], exact[0]), max(high[i], exact[1])
    adjusted = holm(p_values)
    return [
        _verdict(
            measured,
            spec,
            pair,
            _Found(*(float(part[i]) for part in (difference, low, high, p_values, adjusted))),
            spread.at(i),
            methods[i],
            len(pairs),
        )
        for i, pair in enumerate(pairs)
    ]


def _pairs(models: Sequence[str], spec: CompareSpec) -> Iterator[tuple[int, int]]:
    """Indices of model and baseline; of all pairs the later model is held against the earlier."""
    if spec.pairs == "all":
        yield from ((later, earlier) for earlier in range(len(models)) for later in range(earlier + 1, len(models)))
        return
    baseline = spec.baseline if spec.baseline is not None else models[0]
    if baseline in models:
        place = models.index(baseline)
        yield from ((index, place) for index in range(len(models)) if index != place)


def _places(models: Sequence[str], asked: Sequence[Pair]) -> Iterator[tuple[int, int]]:
    yield from ((models.index(model), models.index(other)) for model, other in asked if {model, other} <= set(models))


def _method(measured: Measured, first: int, second: int) -> str:
    if len(measured.draws) > 1:
        return OVER_DRAWS
    seeds = (measured.seeds[first], measured.seeds[second])
    if min(seeds) > 1:
        return TWO_WAY
    if measured.n_groups is not None:
        return GROUPS_ALONE  # McNemar's test takes rows for independent
    return MCNEMAR if max(seeds) == 1 and measured.metric == "accuracy" else ROWS_ALONE


def _exact(measured: Measured, draw: Draw, first: int, second: int, alpha: float) -> tuple[float, float, float]:
    one, other = (draw.models[measured.models[index]] for index in (first, second))
    return mcnemar(one.labels()[0] == one.truth, other.labels()[0] == other.truth, alpha)


@dataclass(frozen=True)
class _Found:
    """The numbers of one verdict."""

    difference: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float


def _verdict(
    measured: Measured,
    spec: CompareSpec,
    pair: tuple[int, int],
    found: _Found,
    spread: Spread,
    method: str,
    n_pairs: int,
) -> Verdict:
    model, baseline = pair
    decision = decide(
        -found.difference if measured.lower_is_better else found.difference,
        found.low,
        found.high,
        found.adjusted_p_value,
        alpha=spec.alpha,
        equivalence=measured.margin(spec),
    )
    seeds = (measured.seeds[model], measured.seeds[baseline])
    cases_needed, seeds_needed = None, None
    if decision == "not separable" and found.difference and method == TWO_WAY:
        cases_needed, seeds_needed = needed(found.difference, spread, min(seeds), spec.alpha / n_pairs)
    in_groups = measured.n_groups is not None
    verdict = Verdict(
        dataset=measured.subject.name,
        model=measured.models[model],
        baseline=measured.models[baseline],
        metric=measured.metric,
        primary=measured.metric == measured.subject.metric,
        model_score=float(measured.values[model]),
        baseline_score=float(measured.values[baseline]),
        difference=found.difference,
        low=found.low,
        high=found.high,
        margin=measured.margin(spec),
        p_value=found.p_value,
        adjusted_p_value=found.adjusted_p_value,
        decision=decision,
        method=method,
        seeds=seeds,
        seeds_asked=(_asked(measured, model), _asked(measured, baseline)),
        rows=measured.draws[0].n_rows,
        groups=measured.n_groups,
        resamples=len(measured.draws),
        pairs=n_pairs,
        rows_needed=None if in_groups else cases_needed,
        groups_needed=cases_needed if in_groups else None,
        seeds_needed=seeds_needed,
        labels=measured.subject.labels if measured.metric in LABELLED else "",
        sentence="",
    )
    return replace(verdict, sentence=sentence(verdict, spec, measured.subject.part))


def _asked(measured: Measured, place: int) -> int:
    """Return how many seeds of a model there would be, had none failed."""
    return max(measured.subject.asked.get(measured.models[place], 0), measured.seeds[place])


def sentence(verdict: Verdict, spec: CompareSpec, part: str) -> str:
    """Say a verdict so that it can be repeated, with its interval and what it stands on."""
    line = f"{_claim(verdict)}: {found_words(verdict, spec)}, {_basis(verdict, part)}"
    return ". ".join([line, *_remarks(verdict, spec)]) + "."


def found_words(verdict: Verdict, spec: CompareSpec) -> str:
    """Write the difference with its interval."""
    difference, low, high = amounts(verdict.metric, verdict.difference, verdict.low, verdict.high)
    points = " points" if in_points(verdict.metric) else ""
    found = f"{metric_name(verdict.metric)} {signed(difference)}{points}"
    return f"{found}, {100 * (1 - spec.alpha):g} % interval [{low}, {high}]"


def _claim(verdict: Verdict) -> str:
    model, baseline, where = verdict.model, verdict.baseline, f"on {verdict.dataset}"
    if verdict.decision == "equivalent":
        return f"{model} and {baseline} are equivalent {where}"
    if verdict.decision == "not separable":
        return f"{model} and {baseline} can't be told apart {where}"
    first, second = (
        f"this run of {name}" if seeds == verdict.resamples == 1 else name
        for name, seeds in zip((model, baseline), verdict.seeds, strict=True)
    )
    return f"{first} is {verdict.decision} than {second} {where}"


def _basis(verdict: Verdict, part: str) -> str:
    rows = f"{_seeds(verdict)} × {count(verdict.rows, 'row')}"
    if verdict.groups is not None:
        rows += f" in {count(verdict.groups, 'group')}"
    if part != "test":
        rows += f" ({part} rows: there are no test rows)"
    if verdict.resamples > 1:
        rows += f" × {count(verdict.resamples, 'resample')}"
    return f"{rows}, {verdict.labels}" if verdict.labels else rows


def _seeds(verdict: Verdict) -> str:
    """Say how many seeds there are of either model: "10 seeds", "9 of 10 seeds", "9 of 10 and 10 seeds"."""
    pairs = zip(verdict.seeds, verdict.seeds_asked, strict=True)
    first, second = (f"{done}" if done == asked else f"{done} of {asked}" for done, asked in pairs)
    if first != second:
        return f"{first} and {second} seeds"
    return f"{first} seed" if verdict.seeds_asked[0] == 1 else f"{first} seeds"


def _remarks(verdict: Verdict, spec: CompareSpec) -> Iterator[str]:
    if verdict.decision == "equivalent":
        yield f"A difference within ±{with_unit(verdict.metric, verdict.margin)} counts as none"
    if min(verdict.seeds) < 2 and verdict.resamples < 2:
        yield "With one seed, the luck of training isn't in the interval"
    if verdict.decision != "not separable":
        return
    if verdict.p_value < spec.alpha <= verdict.adjusted_p_value:
        yield f"The interval leaves out 0, which one of {verdict.pairs} pairs may do by chance"
    would_tell = needed_words(verdict)
    if would_tell:
        yield f"If the difference is as large as it looks, about {would_tell} would tell"
    elif verdict.difference and verdict.method == TWO_WAY:
        cases = "rows" if verdict.groups is None else "groups"
        yield f"Neither more {cases} nor more seeds alone would tell: it takes both"


def needed_words(verdict: Verdict) -> str:
    """Name the rows (or groups) or seeds that would tell two models apart; empty where no number would."""
    ways = (
        (verdict.rows_needed, "rows"),
        (verdict.groups_needed, "groups"),
        (verdict.seeds_needed, "seeds"),
    )
    return " or ".join(f"{rounded(number):,} {word}" for number, word in ways if number)
