from __future__ import annotations

import numpy as np
import pytest

from pipeline.comparison.simplest import Cost, Recommendation, recommend
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.wording import with_unit
from tests.comparison.making import hits_ledger, make_ledger, measured_as

SMALL, MIDDLE, LARGE = Cost(10, 1.0, 1e-5), Cost(200, 2.0, 2e-5), Cost(3_000, 9.0, 3e-5)


def hits(share: float, rows: int = 400, runs: int = 3) -> np.ndarray:
    """Runs that are all right on this share of rows, the first ones."""
    return np.tile(np.arange(rows) < share * rows, (runs, 1))


def recommended(costs: dict[str, Cost], right: dict[str, np.ndarray], **spec: float) -> Recommendation:
    found = recommend(measured_as("accuracy", hits_ledger(right)), CompareSpec.model_validate(spec), costs)
    assert found is not None
    return found


def test_the_smallest_model_that_may_be_as_good_is_taken() -> None:
    """A small model that is clearly behind is passed over; of those within noise the fewest parameters win."""
    right = {"large": hits(0.9), "small": hits(0.6), "middle": hits(0.9)}
    right["middle"][0, 0] = False  # a single slip, far within noise
    found = recommended({"large": LARGE, "small": SMALL, "middle": MIDDLE}, right)
    assert (found.model, found.best) == ("middle", "large")
    assert [one.model for one in found.standings] == ["small", "middle", "large"]
    assert [one.within_noise for one in found.standings] == [False, True, True]
    assert found.standings[1].cost == MIDDLE


def test_a_model_of_unknown_size_counts_as_the_largest() -> None:
    """Of models within noise one whose parameters are known is taken; of a size that isn't known nothing is said."""
    unknown = Cost(None, 1.0, 1e-5)
    found = recommended({"trees": unknown, "large": LARGE}, {"trees": hits(0.9), "large": hits(0.9)})
    assert (found.model, [one.model for one in found.standings]) == ("large", ["large", "trees"])
    assert found.sentence == "d: take large (3,000 parameters); trees is within noise of it."
    alone = recommended({"trees": unknown, "small": SMALL}, {"trees": hits(0.9), "small": hits(0.2)})
    assert alone.model == "trees"
    assert alone.sentence == "d: take trees; no other model comes within noise of its accuracy."


def test_the_best_has_the_best_mean_over_runs_and_draws() -> None:
    """Of losses the lowest, of shares the highest."""
    ledger = make_ledger({"a": 0.2, "b": 2.0, "c": 0.4}, draws=2)
    for metric in ("log_loss", "accuracy", "f1"):
        found = recommend(measured_as(metric, ledger), CompareSpec(), dict.fromkeys("abc", SMALL))
        assert found is not None
        assert found.best == "b"


def test_of_equally_good_models_the_smallest_is_the_best() -> None:
    """Two models that are right on the same rows: the smaller one is taken, and nothing is said of falling behind."""
    right = {"large": hits(0.9), "small": hits(0.9)}
    found = recommended({"large": LARGE, "small": SMALL}, right)
    assert (found.model, found.best) == ("small", "small")
    assert "will do" not in found.sentence


def test_the_best_is_behind_nobody() -> None:
    """The best is 0 behind itself, surely, whatever the margin; others are behind by the difference of their scores."""
    right = {"a": hits(0.9), "b": hits(0.7)}
    for equivalence in (0.01, 0.0):
        b, a = recommended({"a": LARGE, "b": SMALL}, right, equivalence=equivalence).standings
        assert (a.behind, a.low, a.high, a.shown, a.within_noise) == (0, 0, 0, True, True)
        assert b.behind == pytest.approx(0.2)
        assert (a.score, b.score) == pytest.approx((0.9, 0.7))


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_intervals_are_the_verdicts(metric: str) -> None:
    """How far a model is behind has the interval that the verdict gives the two, and positive is always worse."""
    measured = measured_as(metric, make_ledger({"weak": 0.3, "strong": 2.0}, rows=200))
    found = recommend(measured, CompareSpec(), {"weak": SMALL, "strong": LARGE})
    assert found is not None
    assert found.best == "strong"
    (weak,) = (one for one in found.standings if one.model == "weak")
    difference, spread = measured.differences(np.array([0]), np.array([1]))
    half = float(spread.half_width(0.05)[0])
    assert weak.behind == pytest.approx(abs(difference[0]))
    assert (weak.low, weak.high) == pytest.approx((weak.behind - half, weak.behind + half))


def test_a_wider_margin_takes_a_smaller_model() -> None:
    """What matters decides: 20 points behind is too much for a margin of 1, and nothing for one of 30."""
    right, costs = {"a": hits(0.9), "b": hits(0.7)}, {"a": LARGE, "b": SMALL}
    assert recommended(costs, right, equivalence=0.01).model == "a"
    assert recommended(costs, right, equivalence=0.3).model == "b"


def test_sentences_say_what_is_shown() -> None:
    """Nothing smaller will do; a smaller one is shown to be close; or a smaller one isn't shown to be worse."""
    right, costs = {"a": hits(0.9), "b": hits(0.7)}, {"a": LARGE, "b": SMALL}
    assert recommended(costs, right).sentence == (
        "d: take a (3,000 parameters); no other model comes within noise of its accuracy."
    )
    assert recommended(costs, right, equivalence=0.3).sentence == (
        "d: take b (10 parameters); it is no more than 30.0 points of accuracy behind a, the best."
    )
    close = {"a": hits(0.9), "b": hits(0.9)}
    close["b"][:, :4] = False
    found = recommended(costs, close, equivalence=0.012)
    assert not found.standings[0].shown
    assert found.sentence == (
        "d: b (10 parameters) will do; that it is more than 1.2 points of accuracy behind a, the best, isn't shown"
        f" (it may be up to {100 * found.standings[0].high:.1f} points)."
    )


def test_models_within_noise_of_a_best_that_is_small_are_named() -> None:
    """Where the best is the smallest too, those that may be as good aren't passed over in silence."""
    right = {"a": hits(0.9), "b": hits(0.9), "c": hits(0.9), "far": hits(0.5)}
    right["b"][0, 0] = right["c"][0, :2] = False
    costs = {"a": SMALL, "b": LARGE, "c": SMALL, "far": SMALL}
    sentence = "d: take a (10 parameters); c, b are within noise of it, and no smaller."
    assert recommended(costs, right).sentence == sentence
    del right["c"], costs["c"]
    assert recommended(costs, right).sentence == "d: take a (10 parameters); b is within noise of it, and no smaller."


def test_the_margin_of_errors_is_in_the_targets_spread() -> None:
    """A regression in another unit has the same recommendation; the margin is said in the unit."""
    ledger = make_ledger({"weak": 2.0, "strong": 3.0}, n_classes=0, rows=200)
    found = []
    for unit in (1.0, 1000.0):
        scaled = ledger.assign(label=unit * ledger["label"], prediction=unit * ledger["prediction"])
        measured = measured_as("mae", scaled, n_classes=0)
        for equivalence in (0.01, 0.5):
            one = recommend(measured, CompareSpec(equivalence=equivalence), {"weak": SMALL, "strong": LARGE})
            assert one is not None
            found.append(one)
    assert [one.model for one in found] == ["strong", "weak"] * 2
    assert [[standing.shown for standing in one.standings] for one in found] == [[False, True], [True, True]] * 2
    margin = 0.5 * np.std(10 * np.sin(np.arange(200)))
    for one, unit in ((found[1], 1), (found[3], 1000)):
        assert f"no more than {with_unit('mae', unit * margin)} of MAE behind strong" in one.sentence


def test_of_equally_small_models_the_better_is_taken() -> None:
    """Parameters alike: the smaller distance to the best decides."""
    right = {"a": hits(0.9), "b": hits(0.9), "c": hits(0.9)}
    right["a"][0, :3] = False
    right["b"][0, :2] = False
    found = recommended({"a": SMALL, "b": SMALL, "c": LARGE}, right)
    assert found.model == "b"


def test_undefined_scores_recommend_nothing() -> None:
    """ROC AUC of rows of a single class can't choose."""
    ledger = make_ledger({"a": 1.0, "b": 1.0})
    ledger["label"] = 1
    assert recommend(measured_as("roc_auc", ledger), CompareSpec(), {"a": SMALL, "b": LARGE}) is None
