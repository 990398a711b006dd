from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV

from pipeline.artifacts import Floats, Integers
from pipeline.comparison import thresholds
from pipeline.comparison.thresholds import HALF, RANDOM_STATE, REPLICATES, Goal, choose, parse_goal
from pipeline.errors import BadInput

COST = Goal("cost", fp=2, fn=5)
GOALS = [Goal("accuracy"), Goal("f1"), Goal("youden"), COST, Goal("precision", 0.8), Goal("recall", 0.9)]

Rows = tuple[Integers, Floats]


def some_rows(seed: int = 0, rows: int = 60, digits: int = 2) -> Rows:
    """Truth and scores that say something of it; rounded, so that scores tie."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, rows)
    scores = 1 / (1 + np.exp(-random.normal(1.5 * truth - 0.7, 1)))
    return truth, scores.round(digits)


def worth(goal: Goal, truth: Integers, labels: Integers) -> tuple[float, ...]:
    """What labels are worth, by scikit-learn's metrics: what counts first, and among equals next."""
    match goal.name:
        case "accuracy":
            return (metrics.accuracy_score(truth, labels),)
        case "f1":
            return (metrics.f1_score(truth, labels, zero_division=0),)
        case "youden":
            hits, passes = (metrics.recall_score(truth, labels, pos_label=label, zero_division=0) for label in (1, 0))
            return (hits + passes - 1 if 0 < truth.mean() < 1 else 0,)
        case "cost":
            _, false_positives, false_negatives, _ = metrics.confusion_matrix(truth, labels, labels=[0, 1]).ravel()
            return (-(goal.fp * false_positives + goal.fn * false_negatives) / len(truth),)
    scores = {
        "precision": metrics.precision_score(truth, labels, zero_division=0),
        "recall": metrics.recall_score(truth, labels, zero_division=0),
    }
    floored = scores.pop(goal.name)
    (other,) = scores.values()
    return (1, other, floored) if floored >= goal.level else (0, floored, other)


def every_division(scores: Floats) -> list[float]:
    """A threshold for each way to divide the rows by their scores."""
    edges = [0.0, *sorted(set(scores.tolist())), 1.0]
    return [(low + high) / 2 for low, high in pairwise(edges)]


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.rule)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_no_threshold_serves_the_goal_better(goal: Goal, seed: int) -> None:
    """The chosen threshold is worth, by scikit-learn, as much as the best of all; of equals it is nearest to 0.5."""
    truth, scores = some_rows(seed, rows=25)
    chosen = choose(goal, truth, scores)
    worths = {at: tuple(np.round(worth(goal, truth, scores > at), 12)) for at in every_division(scores)}
    best = max(worths.values())
    assert worths[chosen.value] == best
    assert abs(chosen.value - 0.5) == min(abs(at - 0.5) for at, value in worths.items() if value == best)
    floored = goal.name in ("precision", "recall")
    assert chosen.validation_score == pytest.approx(best[1] if floored else best[0])
    assert chosen.reached == (not floored or best[0] == 1)
    assert chosen.value not in scores


@pytest.mark.parametrize("goal", [*GOALS, Goal("precision", 1.0)], ids=lambda goal: goal.rule)
def test_the_interval_is_that_of_a_plain_loop(goal: Goal) -> None:
    """Low and high are the 2.5th and 97.5th percentile of what is chosen on rows drawn with replacement, one by one."""
    random = np.random.default_rng(5)  # scores that say nothing, so that what is chosen lies far apart
    truth, scores = random.integers(0, 2, 15), random.random(15).round(2)
    drawn = np.random.default_rng(RANDOM_STATE).multinomial(15, np.full(15, 1 / 15), size=REPLICATES)[:15]
    candidates = sorted(every_division(scores), key=lambda at: (abs(at - 0.5), at))
    values = []
    for times in drawn:
        rows = np.repeat(np.arange(15), times)
        worths = [tuple(np.round(worth(goal, truth[rows], scores[rows] > at), 12)) for at in candidates]
        values.append(candidates[worths.index(max(worths))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "REPLICATES", 15)
        patch.setattr(thresholds, "CELLS_PER_BLOCK", 4 * 15)  # three blocks of four, and one of three
        chosen = choose(goal, truth, scores)
    assert [chosen.low, chosen.high] == pytest.approx(np.percentile(values, [2.5, 97.5]))


def test_the_interval_is_the_same_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many replicates are counted at once bounds the memory, and changes nothing."""
    truth, scores = some_rows()
    whole = choose(COST, truth, scores)
    for cells in (7 * len(truth), 1):  # seven replicates, and never less than one
        monkeypatch.setattr(thresholds, "CELLS_PER_BLOCK", cells)
        assert choose(COST, truth, scores) == whole
    assert whole.low < whole.high


@pytest.mark.parametrize(
    ("goal", "scoring"),
    [
        (Goal("accuracy"), "accuracy"),
        (Goal("f1"), "f1"),
        (Goal("youden"), metrics.make_scorer(metrics.balanced_accuracy_score, adjusted=True)),
        (COST, metrics.make_scorer(lambda truth, labels: worth(COST, truth, labels)[0])),
    ],
    ids=lambda value: getattr(value, "rule", ""),
)
def test_sklearns_tuned_threshold_is_worth_the_same(goal: Goal, scoring: object) -> None:
    """TunedThresholdClassifierCV, given the same candidates on the same held-out rows, finds as good a threshold."""
    features = np.random.default_rng(1).normal(size=(160, 3))
    truth = (features[:, 0] + np.random.default_rng(2).normal(size=160) > 0.5).astype(int)
    classifier = LogisticRegression().fit(features[:80], truth[:80])
    scores = classifier.predict_proba(features[80:])[:, 1]
    grid = np.array(every_division(scores))
    tuned = TunedThresholdClassifierCV(classifier, scoring=scoring, thresholds=grid, cv="prefit", refit=False)
    tuned.fit(features[80:], truth[80:])
    chosen = choose(goal, truth[80:], scores)
    assert chosen.validation_score == pytest.approx(tuned.best_score_)


def test_a_floor_that_no_threshold_reaches_is_told() -> None:
    """Where no precision is high enough, the threshold of the highest one is taken, and isn't called reached.

    Of equally high ones that of the higher recall is taken, though another be nearer to 0.5.
    """
    truth, scores = np.array([1, 1, 0, 1, 0]), np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    missed = choose(Goal("precision", 0.7), truth, scores)
    assert not missed.reached
    assert missed.value == pytest.approx(0.05)  # all rows positive: 3 of 5 are right, more than above any other
    assert missed.validation_score == pytest.approx(0.6)
    assert choose(Goal("precision", 0.6), truth, scores).reached
    level = choose(Goal("precision", 0.7), np.array([1, 0, 1, 0]), np.array([0.2, 0.4, 0.6, 0.8]))
    assert (level.value, level.reached) == (0.1, False)  # half are right there, as above 0.5


def test_rows_of_one_class_or_one_score_give_a_threshold() -> None:
    """Nothing to tell apart is no error: without a better one the threshold stays as near to 0.5 as it can."""
    ones, same = np.ones(4, dtype=np.int64), np.full(4, 0.25)
    for goal in GOALS:
        for truth in (ones, 1 - ones, np.array([0, 1, 0, 1])):
            assert 0 < choose(goal, truth, same).value < 1
    assert choose(Goal("youden"), ones, same).value == 0.625


def test_scores_of_nought_and_one_divide_too() -> None:
    """Certain networks give scores of exactly 0 and 1; what no threshold can part stays together."""
    truth, scores = np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0])
    assert choose(Goal("accuracy"), truth, scores).value == 0.5
    assert choose(Goal("accuracy"), 0 * truth, scores).value == 1.0  # nothing lies above
    assert choose(Goal("recall", 1.0), np.array([1, 0, 1, 1]), scores).reached is False


def test_neighbouring_floats_are_parted() -> None:
    """Between two scores with no number in between, the threshold is the lower one: labels are 1 above it."""
    low = 0.3
    for high in (np.nextafter(low, 1), np.nextafter(np.nextafter(low, 1), 1)):
        chosen = choose(Goal("accuracy"), np.array([0, 1]), np.array([low, high]))
        assert low <= chosen.value < high


def test_a_fixed_threshold_needs_no_rows() -> None:
    """A number is taken as it is, with an interval of no width; a goal without rows is refused."""
    none = np.empty(0)
    fixed = choose(Goal(level=0.3), none.astype(np.int64), none)
    assert (fixed.value, fixed.low, fixed.high, fixed.goal, fixed.reached) == (0.3, 0.3, 0.3, "0.3", True)
    with pytest.raises(ValueError, match="no rows"):
        choose(Goal("f1"), none.astype(np.int64), none)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (0.5, "0.5"),
        (0.25, "0.25"),
        ("accuracy", "accuracy"),
        ("f1", "f1"),
        ("youden", "youden"),
        ("precision>=0.95", "precision>=0.95"),
        ("recall  >= .9", "recall>=0.9"),
        ("recall >= 1", "recall>=1"),
        ({"cost": {"fp": 1, "fn": 5}}, "cost fp=1 fn=5"),
        ({"cost": {"fn": 2.5, "fp": 1e-3}}, "cost fp=0.001 fn=2.5"),
    ],
)
def test_a_goal_has_one_name(written: object, rule: str) -> None:
    """However a goal is written, its rule is one canonical text, and what it is written back as means the same.

    So does the goal itself, as Python code gives it.
    """
    goal = parse_goal(written)
    assert goal.rule == rule
    assert parse_goal(goal.as_written()) == parse_goal(goal) == goal
    assert goal.is_default == (goal == HALF) == (written == 0.5)
    fixed = f"threshold {rule}" if written != 0.5 else ""
    assert goal.words == (fixed if isinstance(written, float) else f"thresholds chosen for {rule}")


@pytest.mark.parametrize(
    "written",
    [
        0,
        1,
        1.5,
        -0.1,
        float("nan"),
        True,
        "0.5",
        "F2",
        "precision",
        "precision>=1.2",
        "precision>=0",
        "recall>0.9",
        "recall>=1.2.3",
        "accuracy>=0.9",
        {"cost": {"fp": 1}},
        {"cost": {"fp": 0, "fn": 1}},
        {"cost": {"fp": float("inf"), "fn": 1}},
        {"cost": {"fp": True, "fn": 1}},
        {"cost": {"fp": "1", "fn": 1}},
        {"cost": {"fp": 1, "fn": 5, "tp": 0}},
        {"cost": {"fp": 1, "fn": 5}, "f1": True},
        {"cost": 3},
        [0.5],
    ],
)
def test_what_is_no_goal_is_refused(written: object) -> None:
    """Anything else is complained about, with everything that is possible as the remedy."""
    with pytest.raises(BadInput, match="no threshold") as complaint:
        parse_goal(written)
    for possible in ("accuracy", "f1", "youden", "precision>=0.95", "recall>=0.9", "{cost: {fp: 1, fn: 5}}"):
        assert possible in complaint.value.remedy


def test_groups_are_drawn_whole() -> None:
    """With groups the interval is that of a loop which draws groups with replacement, all rows of each."""
    random = np.random.default_rng(5)
    truth, scores, groups = random.integers(0, 2, 24), random.random(24).round(2), random.permutation(24) // 4 * 10
    goal = Goal("accuracy")
    drawn = np.random.default_rng(RANDOM_STATE).multinomial(6, np.full(6, 1 / 6), size=REPLICATES)[:15]
    candidates = sorted(every_division(scores), key=lambda at: (abs(at - 0.5), at))
    values = []
    for times in drawn:
        rows = np.concatenate([np.flatnonzero(groups == 10 * group) for group in np.repeat(np.arange(6), times)])
        worths = [tuple(np.round(worth(goal, truth[rows], scores[rows] > at), 12)) for at in candidates]
        values.append(candidates[worths.index(max(worths))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "REPLICATES", 15)
        chosen = choose(goal, truth, scores, groups)
    assert [chosen.low, chosen.high] == pytest.approx(np.percentile(values, [2.5, 97.5]))
    assert chosen.value == choose(goal, truth, scores).value


def test_rows_of_one_group_each_are_rows() -> None:
    """Groups of one row in the rows' order give the interval of rows."""
    truth, scores = some_rows()
    assert choose(COST, truth, scores, np.arange(len(truth)) - 5) == choose(COST, truth, scores)
