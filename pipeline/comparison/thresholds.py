"""The threshold on the probability of class 1: what it is to be good for, and choosing it on validation rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from pipeline.artifacts import Floats, Integers, Threshold
from pipeline.comparison.spec import MetricName
from pipeline.errors import BadInput

GoalName = Literal["fixed", "accuracy", "f1", "youden", "precision", "recall", "cost"]

REPLICATES = 500
RANDOM_STATE = 42  # of the resampled rows: the same rows give the same interval
CONFIDENCE = 0.95
CELLS_PER_BLOCK = 2_000_000  # replicates × rows that are counted at once: bounds the memory

REMEDY = "use a number between 0 and 1, accuracy, f1, youden, precision>=0.95, recall>=0.9, or {cost: {fp: 1, fn: 5}}"
NAMED: dict[str, GoalName] = {"accuracy": "accuracy", "f1": "f1", "youden": "youden"}
COMPARED: dict[GoalName, MetricName] = {"f1": "f1", "precision": "recall", "recall": "precision"}
FLOORED: dict[str, GoalName] = {"precision": "precision", "recall": "recall"}


@dataclass(frozen=True)
class Goal:
    """What a threshold is chosen for; unless told otherwise it is fixed at 0.5.

    `level` is the fixed threshold itself, or the precision or recall that must be reached; `fp` and `fn` are what a
    false positive and a false negative cost.
    """

    name: GoalName = "fixed"
    level: float = 0.5
    fp: float = 1.0
    fn: float = 1.0

    @property
    def rule(self) -> str:
        """The goal in one text: "0.5", "f1", "precision>=0.95", "cost fp=1 fn=5"."""
        if self.name == "fixed":
            return _plain(self.level)
        if self.name == "cost":
            return f"cost fp={_plain(self.fp)} fn={_plain(self.fn)}"
        return f"{self.name}>={_plain(self.level)}" if self.name in FLOORED else self.name

    @property
    def is_fixed(self) -> bool:
        """Whether the threshold is given, so that no rows are needed to choose it."""
        return self.name == "fixed"

    @property
    def words(self) -> str:
        """What to say of labels beside a number; nothing where it is the threshold that everybody expects."""
        if self.is_default:
            return ""
        return f"threshold {self.rule}" if self.is_fixed else f"thresholds chosen for {self.rule}"

    @property
    def is_default(self) -> bool:
        """Whether it is the threshold that everybody expects."""
        return self == HALF

    @property
    def compared(self) -> MetricName | None:
        """Metric to compare models by at thresholds chosen so: recall at the same precision; None for the usual one."""
        return COMPARED.get(self.name)

    def as_written(self) -> float | str | dict[str, dict[str, float]]:
        """Return the goal as an experiment file writes it."""
        if self.name == "cost":
            return {"cost": {"fp": self.fp, "fn": self.fn}}
        return self.level if self.is_fixed else self.rule


HALF = Goal()


def parse_goal(written: Any) -> Goal:
    """Read a goal as an experiment file writes it.

    Raises
    ------
    BadInput
        When it is none; the remedy lists what is possible.
    """
    goal = _parse(written)
    if goal is None:
        raise BadInput(f"{written!r} is no threshold, nor what to choose one for", remedy=REMEDY)
    return goal


_PRICE = {"type": "number", "exclusiveMinimum": 0}
_PRICES = {"fp": _PRICE, "fn": _PRICE}
_COST = {"type": "object", "properties": _PRICES, "required": [*_PRICES], "additionalProperties": False}
_COSTS = {"type": "object", "properties": {"cost": _COST}, "required": ["cost"], "additionalProperties": False}
_FLOORS = [
    {"title": f"{name}>=0.95", "type": "string", "pattern": rf"^\s*{name}\s*>=\s*[\d.]+(e-?\d+)?\s*$"}
    for name in FLOORED
]
_WRITTEN = [
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"enum": [*NAMED]},
    *_FLOORS,
    {"title": "{cost: {fp: 1, fn: 5}}", **_COSTS},
]
ThresholdSpec = Annotated[
    Goal, PlainValidator(parse_goal), PlainSerializer(Goal.as_written), WithJsonSchema({"anyOf": _WRITTEN})
]


def _parse(written: Any) -> Goal | None:
    match written:
        case Goal():
            return written
        case int() | float():  # True is 1, and False 0
            return Goal(level=float(written)) if 0 < written < 1 else None
        case str() if written in NAMED:
            return Goal(NAMED[written])
        case str():
            return _floored(written)
        case {"cost": {"fp": fp, "fn": fn, **beside}, **others} if not beside and not others:
            return Goal("cost", fp=float(fp), fn=float(fn)) if _is_price(fp) and _is_price(fn) else None
    return None


def _floored(written: str) -> Goal | None:
    """Read `precision>=0.95`, with or without spaces."""
    found = re.fullmatch(r"\s*(precision|recall)\s*>=\s*([\d.]+(?:e-?\d+)?)\s*", written)
    try:
        level = float(found[2]) if found else 0.0
    except ValueError:
        return None
    return Goal(FLOORED[found[1]], level) if found and 0 < level <= 1 else None


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < np.inf


def _plain(number: float) -> str:
    """Write a number with all its digits, 1.0 as 1."""
    return repr(float(number)).removesuffix(".0")


def choose(goal: Goal, truth: Integers, scores: Floats, groups: Integers | None = None) -> Threshold:
    """Choose the threshold that serves a goal best on some rows; a fixed one is returned as it is.

    Candidates lie midway between neighbouring distinct scores, and one below and one above all of them, so that every
    division of the rows is among them and no score ties with a candidate. `precision>=x` asks for the highest recall
    among the thresholds whose precision is at least x (`recall>=x` the other way round), and of equal recall for the
    higher precision; when none reaches x, for the highest precision, and of equal precision for the higher recall.
    Whatever is still equal is decided by which candidate is nearest to 0.5.

    The interval is the 95 % percentile bootstrap (Efron & Tibshirani 1993, chapter 13): the rows are resampled with
    replacement 500 times (whole groups of rows where they come in groups, Davison & Hinkley 1997, section 3.8), and
    each time the best of the same candidates is chosen. It is a rough one. The best place
    on a step function is not a regular estimator: its distribution is lumpy and converges slowly, and the bootstrap's
    coverage is not assured. It shows how far the choice hangs on the rows it was made on, and leaves the network as
    it is.

    Parameters
    ----------
    goal:
        What the threshold is to be good for.
    truth:
        1 for the rows of class 1, else 0, shape (rows,).
    scores:
        Probability of class 1, shape (rows,).
    groups:
        The group of each row, shape (rows,); None where rows are independent.

    Raises
    ------
    ValueError
        When there are no rows to choose on.
    """
    if goal.is_fixed:
        return Threshold(goal.level, goal.level, goal.level, goal.rule)
    if not len(truth):
        raise ValueError("no rows to choose a threshold on")
    candidates = _candidates(scores)
    tally = _tally(truth, scores, candidates)
    merits = _merits(goal, tally(np.ones((1, len(truth)), dtype=np.int64)))
    (best,) = _best(merits, candidates)
    chosen = [
        candidates[_best(_merits(goal, tally(weights)), candidates)] for weights in _resampled(len(truth), groups)
    ]
    low, high = np.quantile(np.concatenate(chosen), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Threshold(
        float(candidates[best]),
        float(low),
        float(high),
        goal.rule,
        reached=bool(merits.reached[0, best]),
        validation_score=float(merits.score[0, best]),
    )


@dataclass(frozen=True, eq=False)
class _Counts:
    """What each candidate gets right and wrong in each replicate."""

    true_positives: Integers  # (replicates, candidates)
    false_positives: Integers
    positives: Integers  # (replicates, 1): rows of class 1
    negatives: Integers


@dataclass(frozen=True, eq=False)
class _Merits:
    """How good each candidate is, (replicates, candidates): the first counts most, the next among equals."""

    reached: npt.NDArray[np.bool_]  # whether precision or recall is as high as asked for
    score: Floats
    second: Floats


def _candidates(scores: Floats) -> Floats:
    edges = np.concatenate([[0.0], np.unique(scores), [1.0]])
    lower, upper = edges[:-1], edges[1:]
    middle = (lower + upper) / 2
    # Between neighbouring floats the middle is one of them; at the lower one a label is still what it is above it.
    candidates: Floats = np.where(middle < upper, middle, lower)
    return candidates


def _tally(truth: Integers, scores: Floats, candidates: Floats) -> Callable[[Integers], _Counts]:
    """Return what counts rows above each candidate, given how often each row occurs, (replicates, rows).

    Own code, since scikit-learn's curves take one set of weights at a time.
    """
    order = np.argsort(scores)
    is_positive = truth[order]
    places = np.searchsorted(scores[order], candidates, side="right")  # rows from there on lie above

    def above(weights: Integers) -> tuple[Integers, Integers]:
        up_to = np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))
        return up_to[:, -1:] - up_to[:, places], up_to[:, -1:]

    def count(weights: Integers) -> _Counts:
        of_sorted = weights[:, order]
        true_positives, positives = above(of_sorted * is_positive)
        false_positives, negatives = above(of_sorted * (1 - is_positive))
        return _Counts(true_positives, false_positives, positives, negatives)

    return count


def _resampled(rows: int, groups: Integers | None) -> Iterator[Integers]:
    """Yield how often each row is drawn, a block of replicates at a time, (replicates, rows)."""
    random = np.random.default_rng(RANDOM_STATE)
    cases = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(cases.max()) + 1
    block = max(1, CELLS_PER_BLOCK // rows)
    for start in range(0, REPLICATES, block):
        drawn = random.multinomial(count, np.full(count, 1 / count), size=min(block, REPLICATES - start))
        yield drawn if groups is None else drawn[:, cases]


def _merits(goal: Goal, counts: _Counts) -> _Merits:
    true, false = counts.true_positives, counts.false_positives
    positives, negatives = counts.positives, counts.negatives
    precision, recall = _ratio(true, true + false), _ratio(true, positives)
    if goal.name in FLOORED:
        floored, other = (precision, recall) if goal.name == "precision" else (recall, precision)
        reached = floored >= goal.level
        return _Merits(reached, np.where(reached, other, floored), np.where(reached, floored, other))
    if goal.name == "f1":
        score = _ratio(2 * true, true + false + positives)
    elif goal.name == "youden":
        score = _ratio(true * negatives - false * positives, positives * negatives)
    elif goal.name == "cost":
        score = -(false * goal.fp + (positives - true) * goal.fn) / (positives + negatives)
    else:
        score = _ratio(true + negatives - false, positives + negatives)
    return _Merits(np.ones(score.shape, dtype=np.bool_), score, np.zeros_like(score))


def _ratio(part: Integers, whole: Integers) -> Floats:
    """Divide; nothing of nothing is 0, as scikit-learn's `zero_division=0` has it."""
    ratio: Floats = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratio


def _best(merits: _Merits, candidates: Floats) -> Integers:
    """Return the place of each replicate's best candidate, (replicates,)."""
    best = np.ones(merits.score.shape, dtype=np.bool_)
    for merit in (merits.reached, merits.score, merits.second, -np.abs(candidates - 0.5)):
        among = np.where(best, merit, -np.inf)
        best = among == among.max(axis=1, keepdims=True)
    places: Integers = best.argmax(axis=1)
    return places
