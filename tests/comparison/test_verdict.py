from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, log_loss
from statsmodels.stats.proportion import proportion_confint

from pipeline.artifacts import Integers
from pipeline.comparison.decisions import rounded
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.verdict import Measured, Subject, Verdict, judge, measure
from pipeline.comparison.wording import with_unit
from tests.comparison.making import hits_ledger, make_ledger, measured_as, row_freedom, through_parquet

SKILLS = {"linear": 0.2, "relu": 1.5}


def judged(
    ledger: pd.DataFrame,
    metric: str = "accuracy",
    *,
    models: Sequence[str] = (),
    n_classes: int = 2,
    part: str = "test",
    shown: str = "",
    test_share: float = 0.0,
    groups: Integers | None = None,
    **spec: object,
) -> list[Verdict]:
    """Verdicts by one metric on dataset "d"; `groups` are those of the ledger's rows."""
    by_id = None
    if groups is not None:
        by_id = np.full(int(ledger["row_id"].max()) + 1, -1)
        by_id[np.sort(ledger["row_id"].unique())] = groups
    subject = Subject("d", part, n_classes, shown or metric, test_share, groups=by_id)
    draws, measured = measure(ledger, subject, models or list(dict.fromkeys(ledger["model"])))
    (one,) = (one for one in measured if one.metric == metric)
    return judge(one, CompareSpec.model_validate(spec), draws[0])


def the_verdict(ledger: pd.DataFrame, metric: str = "accuracy", **keys: object) -> Verdict:
    (verdict,) = judged(ledger, metric, **keys)  # type: ignore[arg-type]
    return verdict


def shares(right: Mapping[str, float], rows: int = 200, runs: int = 3) -> pd.DataFrame:
    """Ledger of models whose runs are all right on the same share of rows, the first ones."""
    return hits_ledger({model: np.tile(np.arange(rows) < share * rows, (runs, 1)) for model, share in right.items()})


def paired(first: float, second: float, rows: int = 200) -> tuple[str, str]:
    """Ends of scipy's paired interval for two such models, in points."""
    tables = [(np.arange(rows) < share * rows).astype(float) for share in (first, second)]
    interval = stats.ttest_rel(*tables).confidence_interval(0.95)
    low, high = (f"{100 * end:.1f}".replace("-", "−") for end in interval)
    return low, high


def test_a_better_model_is_called_better() -> None:
    """The sentence names both models, dataset, difference, interval, seeds and rows; nothing more is to be said."""
    low, high = paired(0.9, 0.6)
    verdict = the_verdict(shares({"linear": 0.6, "relu": 0.9}))
    assert verdict.decision == "better"
    assert verdict.sentence == (
        f"relu is better than linear on d: accuracy +30.0 points, 95 % interval [{low}, {high}], 3 seeds × 200 rows."
    )
    assert (verdict.model, verdict.baseline, verdict.model_score, verdict.baseline_score) == (
        "relu",
        "linear",
        0.9,
        0.6,
    )
    assert verdict.rows_needed is None


def test_a_worse_model_is_called_worse() -> None:
    """The difference is the model's minus the baseline's, with a real minus sign."""
    low, high = paired(0.6, 0.9)
    verdict = the_verdict(shares({"linear": 0.9, "relu": 0.6}))
    assert verdict.decision == "worse"
    assert verdict.sentence.startswith(
        f"relu is worse than linear on d: accuracy −30.0 points, 95 % interval [{low}, {high}]"
    )


def test_a_lower_log_loss_is_better() -> None:
    """Less of a loss is better: the difference is negative and the word is better, and the other way round."""
    ledger = shares({"linear": 0.6, "relu": 0.9})
    verdict = the_verdict(ledger, "log_loss")
    means = {
        model: log_loss(run["label"], run[["p_0", "p_1"]])
        for (model, seed), run in ledger.groupby(["model", "seed"])
        if seed == 0
    }
    assert verdict.difference == pytest.approx(means["relu"] - means["linear"])
    assert verdict.difference < verdict.high < 0
    assert verdict.decision == "better"
    assert verdict.sentence.startswith("relu is better than linear on d: log loss −0.42, 95 % interval [−")
    assert "points" not in verdict.sentence
    assert the_verdict(ledger, "log_loss", baseline="relu").decision == "worse"


def test_models_that_agree_on_thousands_of_rows_are_equivalent() -> None:
    """An interval within the margin says so, with the margin."""
    verdict = the_verdict(shares({"linear": 0.9, "relu": 0.9}, rows=2000), equivalence=0.01)
    assert verdict.decision == "equivalent"
    assert verdict.sentence == (
        "relu and linear are equivalent on d: accuracy 0 points, 95 % interval [−0.1, 0.1], 3 seeds × 2,000 rows."
        " A difference within ±1.0 point counts as none."
    )


def test_agreeing_on_few_rows_is_no_equivalence() -> None:
    """Two models that are right on the same 50 rows aren't separable, and nobody can say how many rows would tell."""
    verdict = the_verdict(shares({"linear": 0.9, "relu": 0.9}, rows=50))
    assert verdict.decision == "not separable"
    assert (verdict.rows_needed, verdict.seeds_needed, verdict.p_value) == (None, None, 1.0)
    assert verdict.sentence.endswith("3 seeds × 50 rows.")


@pytest.mark.parametrize(
    ("skill", "random_state", "by_rows", "by_seeds"),
    [(1.7, 7, True, True), (1.3, 7, True, False), (1.3, 2, False, True)],
)
def test_models_that_are_not_separable_say_what_would_separate_them(
    skill: float, random_state: int, by_rows: bool, by_seeds: bool
) -> None:
    """The rows and the seeds that would tell are the verdict's, rounded up; what wouldn't tell isn't named."""
    verdict = the_verdict(make_ledger({"linear": 0.8, "relu": skill}, seeds=9, rows=40, random_state=random_state))
    assert verdict.decision == "not separable"
    assert verdict.low < 0 < verdict.high
    assert (verdict.rows_needed is not None, verdict.seeds_needed is not None) == (by_rows, by_seeds)
    assert verdict.sentence.startswith("relu and linear can't be told apart on d: ")
    numbers = ((verdict.rows_needed, "rows"), (verdict.seeds_needed, "seeds"))
    ways = [f"{rounded(number):,} {word}" for number, word in numbers if number is not None]
    assert verdict.sentence.endswith(
        f" If the difference is as large as it looks, about {' or '.join(ways)} would tell."
    )


def test_where_it_takes_both_rows_and_seeds_it_is_said() -> None:
    """A small difference between restless models on few rows: more of one alone never tells."""
    random = np.random.default_rng(3)
    right = {model: random.random((3, 40)) < [[0.3], [0.6], [0.9]] for model in ("linear", "relu")}
    for hits in right.values():
        hits[:, :8] = False
    right["relu"][1, 9:11] = True
    verdict = the_verdict(hits_ledger(right))
    assert (verdict.rows_needed, verdict.seeds_needed) == (None, None)
    assert verdict.difference != 0
    assert verdict.sentence.endswith("Neither more rows nor more seeds alone would tell: it takes both.")


def test_one_run_each_are_compared_as_runs() -> None:
    """With one seed it's two networks that are compared, by McNemar's exact test, and the sentence says so."""
    first, second = np.arange(100) < 60, np.arange(100) < 80
    verdict = the_verdict(hits_ledger({"linear": first, "relu": second}))
    assert verdict.method == "exact McNemar (one seed)"
    assert verdict.p_value == pytest.approx(stats.binomtest(20, 20, 0.5).pvalue)
    assert verdict.sentence.startswith("this run of relu is better than this run of linear on d: accuracy +20.0 points")
    assert verdict.sentence.endswith("1 seed × 100 rows. With one seed, the luck of training isn't in the interval.")


def test_one_run_each_by_other_metrics_stand_on_rows_alone() -> None:
    """McNemar's test is of labels; log loss of two single runs is a paired t-test over rows, few of which decide."""
    ledger = make_ledger(SKILLS, seeds=1, rows=50)
    verdict = the_verdict(ledger, "log_loss")
    assert verdict.method == "rows alone (one seed)"
    losses = {
        model: -np.log(np.where(run["label"] == 1, run["p_1"], run["p_0"])) for model, run in ledger.groupby("model")
    }
    apart = losses["relu"] - losses["linear"]
    freedom, error = row_freedom(apart), stats.sem(apart)
    assert freedom < 40
    assert verdict.p_value == pytest.approx(2 * stats.t.sf(abs(apart.mean()) / error, freedom))
    assert (verdict.low, verdict.high) == pytest.approx(stats.t.interval(0.95, freedom, apart.mean(), error))


RIGHT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


@settings(deadline=None, max_examples=60)
@given(RIGHT, st.sampled_from([0.001, 0.01, 0.05, 0.2, 0.4]))
def test_the_interval_of_two_single_runs_never_contradicts_their_p_value(
    rows: list[tuple[bool, bool]], alpha: float
) -> None:
    """It holds the one of rows alone and the exact one; 0 is outside just when the exact p-value is below alpha."""
    first, second = np.array(rows, dtype=bool).T
    verdict = the_verdict(hits_ledger({"linear": first, "relu": second}), alpha=alpha)
    wins, losses, n = int((second > first).sum()), int((first > second).sum()), len(rows)
    assert verdict.p_value == pytest.approx(stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0)

    apart = second.astype(float) - first
    by_rows = max(stats.t.isf(alpha / 2, n - 1) * apart.std(ddof=1) / math.sqrt(n), -math.log(alpha) / n)
    ends = [apart.mean() - by_rows, apart.mean() + by_rows]
    if wins + losses:
        share = proportion_confint(wins, wins + losses, alpha, method="beta")
        ends += [(2 * float(end) - 1) * (wins + losses) / n for end in share]
    assert (verdict.low, verdict.high) == pytest.approx((min(ends), max(ends)), abs=1e-9)
    assert (verdict.p_value < alpha) == (verdict.low > 1e-12 or verdict.high < -1e-12)


def test_one_run_against_five_is_called_a_run() -> None:
    """Of one run and five the one is compared as this run, the others as their model, whichever is the baseline."""
    many = np.tile(np.arange(100) < 60, (5, 1))
    for right, claim in (
        ({"many": many, "odd": np.arange(100) < 90}, "this run of odd is better than many on d: "),
        ({"odd": np.arange(100) < 90, "many": many}, "many is worse than this run of odd on d: "),
    ):
        verdict = the_verdict(hits_ledger(right))
        assert verdict.sentence.startswith(claim)
        assert verdict.sentence.endswith("With one seed, the luck of training isn't in the interval.")


@pytest.mark.parametrize(
    ("metric", "scale"), [("mae", np.std), ("rmse", np.std), ("mse", np.var), ("r2", lambda _: 1.0)]
)
def test_errors_are_equivalent_within_a_part_of_the_targets_spread(
    metric: str, scale: Callable[[np.ndarray], float]
) -> None:
    """The margin of an error is in standard deviations of the target, of MSE in variances; so the unit is no matter."""
    ledger = make_ledger({"linear": 20.0, "relu": 21.0}, n_classes=0, rows=200)
    decisions = set()
    for unit in (0.001, 1.0, 1000.0):
        scaled = ledger.assign(label=unit * ledger["label"], prediction=unit * ledger["prediction"])
        target = scaled.loc[(scaled["model"] == "relu") & (scaled["seed"] == 0), "label"].to_numpy()
        verdict = the_verdict(scaled, metric, n_classes=0, equivalence=0.02)
        assert verdict.margin == pytest.approx(0.02 * scale(target))
        assert measured_as(metric, scaled, n_classes=0).scale == pytest.approx(scale(target))
        decisions.add(verdict.decision)
        half_as_wide = 0.5 * max(abs(verdict.low), abs(verdict.high)) / scale(target)
        assert the_verdict(scaled, metric, n_classes=0, equivalence=half_as_wide).decision != "equivalent"
        assert f"within ±{with_unit(metric, verdict.margin)} counts as none" in verdict.sentence
    assert decisions == {"equivalent"}


@pytest.mark.parametrize("metric", ["accuracy", "f1", "log_loss"])
def test_the_margin_of_classes_is_the_number_of_the_file(metric: str) -> None:
    """Shares and log loss have a unit that everybody knows."""
    assert the_verdict(make_ledger(SKILLS), metric, equivalence=0.03).margin == 0.03


def test_single_runs_that_are_not_separable_ask_for_no_number_of_rows() -> None:
    """What rows or seeds would tell isn't known from one seed, and isn't said."""
    ledger = make_ledger({"linear": 0.8, "relu": 1.3}, seeds=1, rows=40)
    for metric in ("accuracy", "f1", "log_loss"):
        verdict = the_verdict(ledger, metric)
        assert (verdict.decision, verdict.rows_needed, verdict.seeds_needed) == ("not separable", None, None)
        assert verdict.difference != 0
        assert verdict.sentence.endswith("1 seed × 40 rows. With one seed, the luck of training isn't in the interval.")


@pytest.mark.parametrize(("ways", "random_state"), [("rows_needed", 7), ("seeds_needed", 19)])
def test_among_many_pairs_more_is_needed(ways: str, random_state: int) -> None:
    """Each pair may spend only its part of alpha, and the number of rows or seeds that would tell is that part's."""
    ledger = make_ledger({"linear": 0.8, "relu": 1.3, "wide": 1.3}, seeds=9, rows=40, random_state=random_state)
    alone = the_verdict(ledger[ledger["model"] != "wide"])
    beside = judged(ledger)[0]
    assert (alone.difference, alone.low, alone.high) == (beside.difference, beside.low, beside.high)
    assert getattr(alone, ways) < getattr(beside, ways)
    assert getattr(beside, ways) == getattr(the_verdict(ledger[ledger["model"] != "wide"], alpha=0.025), ways)


def test_rows_of_the_validation_part_are_named() -> None:
    """Where there are no test rows the sentence says whose rows it stands on."""
    ledger = make_ledger(SKILLS, part="validation")
    verdict = the_verdict(ledger, part="validation")
    assert "3 seeds × 60 rows (validation rows: there are no test rows)" in verdict.sentence
    assert measure(ledger, Subject("d", "test", 2, "accuracy"), list(SKILLS)) == ([], [])


@pytest.mark.parametrize("test_share", [0.0, 0.25])
def test_resamples_are_compared_draw_by_draw(test_share: float, tmp_path: Path) -> None:
    """Over draws the verdict is a one-sample t-test of their differences, corrected where the draws overlap."""
    ledger = through_parquet(make_ledger(SKILLS, draws=6, seeds=2), tmp_path)
    verdict = the_verdict(ledger, "log_loss", test_share=test_share)
    score = {
        key: log_loss(run["label"], run[["p_0", "p_1"]]) for key, run in ledger.groupby(["resample", "model", "seed"])
    }
    found = [np.mean([score[draw, "relu", seed] - score[draw, "linear", seed] for seed in (0, 1)]) for draw in range(6)]
    assert verdict.difference == pytest.approx(np.mean(found))
    error = math.sqrt((1 / 6 + test_share) * np.var(found, ddof=1))
    assert verdict.p_value == pytest.approx(2 * stats.t.sf(abs(np.mean(found)) / error, 5))
    assert verdict.high - verdict.difference == pytest.approx(stats.t.ppf(0.975, 5) * error)
    assert verdict.model_score == pytest.approx(np.mean([score[draw, "relu", s] for draw in range(6) for s in (0, 1)]))
    assert (verdict.method, verdict.resamples) == ("corrected resampled t", 6)
    assert "2 seeds × 60 rows × 6 resamples" in verdict.sentence


def test_one_seed_in_each_of_several_resamples_is_no_single_run() -> None:
    """Resampling draws seeds anew too: models are compared, not runs."""
    for draws, alpha in ((2, 0.2), (8, 0.05)):
        verdict = the_verdict(make_ledger({"linear": 0.2, "relu": 3.0}, draws=draws, seeds=1), alpha=alpha)
        assert verdict.sentence.startswith("relu is better than linear on d")
        assert "luck of training" not in verdict.sentence


def test_a_run_that_diverged_leaves_unequal_seeds() -> None:
    """Models with different numbers of finished runs are compared, and the sentence counts both."""
    ledger = make_ledger(SKILLS, seeds=3)
    verdict = the_verdict(ledger[~((ledger["model"] == "linear") & (ledger["seed"] == 1))])
    assert verdict.seeds == (3, 2)
    assert "3 and 2 seeds × 60 rows" in verdict.sentence
    assert verdict.method == "two-way random effects"


def test_another_models_single_run_changes_nothing() -> None:
    """Two models with many seeds are compared as such, also beside a model of which only one run has finished."""
    ledger = make_ledger({"linear": 0.5, "relu": 1.0, "odd": 1.0}, seeds=5, rows=200)
    lonely = ledger[~((ledger["model"] == "odd") & (ledger["seed"] > 0))]
    alone = the_verdict(ledger[ledger["model"] != "odd"])
    beside, odd = judged(lonely)
    assert beside.method == "two-way random effects"
    assert (beside.p_value, beside.low, beside.high) == (alone.p_value, alone.low, alone.high)
    assert odd.method == "rows alone (one seed)"  # of one run and five: McNemar's test is for two
    assert odd.seeds == (1, 5)
    assert (odd.p_value < 0.05) == (odd.low > 0 or odd.high < 0)


def test_a_model_that_predicts_one_class_alone_widens_only_its_own_intervals() -> None:
    """Where a model never predicts class 1 nothing is known of its precision; of two others it is what it was."""
    ledger = make_ledger({"linear": 0.5, "relu": 2.0, "never": 1.0}, seeds=5, rows=200)
    ledger.loc[ledger["model"] == "never", "threshold"] = 1.0
    beside, never = judged(ledger, "precision")
    alone = the_verdict(ledger[ledger["model"] != "never"], "precision")
    assert (beside.low, beside.high) == (alone.low, alone.high)
    assert never.high - never.low > 1


def test_many_pairs_are_adjusted_and_the_interval_is_not() -> None:
    """A pair that would be significant alone isn't among twenty, and the sentence explains its interval."""
    random = np.random.default_rng(0)
    base = random.random(300) < 0.7
    slightly = base.copy()
    slightly[np.flatnonzero(~base)[:6]] = True
    right = {"base": base, "slightly": slightly}
    for place in range(19):
        hits = base.copy()
        hits[np.flatnonzero(base)[place]], hits[np.flatnonzero(~base)[place]] = False, True
        right[f"other {place}"] = hits
    ledger = hits_ledger({model: np.tile(hits, (2, 1)) for model, hits in right.items()})
    verdict, *others = judged(ledger, equivalence=0.0)
    assert verdict.pairs == len(others) + 1 == 20
    assert verdict.p_value < 0.05 < verdict.adjusted_p_value == pytest.approx(20 * verdict.p_value)
    assert verdict.low > 0
    assert verdict.decision == "not separable"
    assert "The interval leaves out 0, which one of 20 pairs may do by chance." in verdict.sentence
    assert "chance" not in others[0].sentence
    assert "With one seed" not in verdict.sentence  # there are two


def test_the_pairs_are_those_that_were_asked_for() -> None:
    """Each model with the first, with the named baseline, or each with each, the later against the earlier."""
    ledger = make_ledger({"a": 0.5, "b": 1.0, "c": 1.5})

    def pairs(**keys: object) -> list[tuple[str, str]]:
        return [(one.model, one.baseline) for one in judged(ledger, **keys)]  # type: ignore[arg-type]

    assert pairs() == [("b", "a"), ("c", "a")]
    assert pairs(baseline="b") == [("a", "b"), ("c", "b")]
    assert pairs(pairs="all") == [("b", "a"), ("c", "a"), ("c", "b")]
    assert pairs(models=["c", "a", "b"]) == [("a", "c"), ("b", "c")]


def test_models_without_a_finished_run_are_left_out() -> None:
    """The others are compared; without the baseline that was named there is nothing to compare with."""
    ledger = make_ledger({"a": 0.5, "b": 1.0})
    models = ["a", "b", "diverged"]
    assert [(one.model, one.baseline) for one in judged(ledger, models=models)] == [("b", "a")]
    assert judged(ledger, models=models, baseline="diverged") == []
    assert judged(ledger[ledger["model"] == "a"], models=models) == []


def test_a_model_that_lacks_in_one_draw_is_left_out_of_all() -> None:
    """Draws are averaged over the same models; two draws are several."""
    ledger = make_ledger({"a": 0.5, "b": 1.0, "c": 1.5}, draws=2)
    ledger = ledger[~((ledger["model"] == "b") & (ledger["resample"] == 1))]
    verdict = the_verdict(ledger)
    assert (verdict.model, verdict.baseline, verdict.method) == ("c", "a", "corrected resampled t")
    assert "3 seeds × 60 rows × 2 resamples" in verdict.sentence


def test_what_is_not_defined_has_no_verdict() -> None:
    """ROC AUC of rows of a single class is nobody's, and nothing is claimed."""
    ledger = make_ledger(SKILLS)
    ledger["label"] = 1
    assert judged(ledger, "roc_auc") == []
    assert len(judged(ledger, "accuracy")) == 1


def test_regressions_are_compared_in_the_targets_unit() -> None:
    """Errors are written as they are, the smaller is better, and R² the larger."""
    ledger = make_ledger({"linear": 0.5, "relu": 5.0}, n_classes=0)
    for metric, name in (("mae", "MAE"), ("r2", "R²")):
        verdict = the_verdict(ledger, metric, n_classes=0)
        assert verdict.decision == "better"
        assert verdict.sentence.startswith(f"relu is better than linear on d: {name} ")
        assert "points" not in verdict.sentence


def test_the_metric_shown_first_is_marked() -> None:
    """Verdicts by other metrics are there too, and aren't primary."""
    ledger = make_ledger(SKILLS)
    assert the_verdict(ledger, "f1").primary
    assert not the_verdict(ledger, "f1", shown="accuracy").primary


def test_how_labels_are_made_is_said_where_labels_count() -> None:
    """Thresholds that serve a goal are named beside metrics of labels, and not beside those of probabilities."""
    subject = Subject("d", "test", 2, "accuracy", labels="thresholds chosen for f1")
    draws, measured = measure(make_ledger(SKILLS), subject, list(SKILLS))
    for one in measured:
        (verdict,) = judge(one, CompareSpec(), draws[0])
        said = ", 3 seeds × 60 rows, thresholds chosen for f1." in verdict.sentence
        assert said == bool(verdict.labels) == (one.metric not in ("roc_auc", "log_loss", "average_precision"))


def test_alpha_is_the_one_of_the_file() -> None:
    """A smaller alpha is a wider interval, named in the sentence, and can turn a verdict."""
    ledger = shares({"linear": 0.80, "relu": 0.83})
    usual, strict = the_verdict(ledger), the_verdict(ledger, alpha=0.001)
    assert (usual.decision, strict.decision) == ("better", "not separable")
    assert strict.high - strict.low > usual.high - usual.low
    assert "99.9 % interval" in strict.sentence


def test_values_are_means_over_runs_and_draws() -> None:
    """A model's score is scikit-learn's, averaged over runs and then over draws, each draw counting the same."""
    ledger = make_ledger(SKILLS, draws=2, seeds=3)
    ledger = ledger[~((ledger["resample"] == 1) & (ledger["seed"] == 2) & (ledger["model"] == "relu"))]
    measured: Measured = measured_as("f1", ledger)
    score = ledger.groupby(["resample", "model", "seed"]).apply(
        lambda run: f1_score(run["label"], run["p_1"] > run["threshold"]), include_groups=False
    )
    expected = score.groupby(["resample", "model"]).mean().groupby("model").mean()
    assert dict(zip(measured.models, measured.values, strict=True)) == pytest.approx(expected.to_dict())
    assert measured.seeds == (3, 2)


def test_a_single_row_has_no_spread_and_gets_no_verdict() -> None:
    """One test row can't say how far it is off; two can, and everything that follows is defined."""
    ledger = make_ledger({"linear": 1.0, "relu": 2.0})
    for rows, measured in ((1, 0), (2, 9)):
        few = ledger[ledger["row_id"].isin(sorted(ledger["row_id"].unique())[:rows])]
        assert len(measure(few, Subject("d", "test", 2, "accuracy"), ("linear", "relu"))[1]) == measured


def grouped_ledger(random_state: int = 0, seeds: int = 3, resamples: int = 1) -> tuple[pd.DataFrame, Integers]:
    """Two models that differ from group to group more than between themselves: 30 groups of 8 rows, in no order."""
    random = np.random.default_rng(random_state)
    groups = random.permutation(np.repeat(np.arange(30), 8))
    right = {model: 0.5 + random.normal(size=30)[groups] + random.normal(size=(seeds, 240)) > 0 for model in ("a", "b")}
    ledger = hits_ledger(right)
    return pd.concat([ledger.assign(resample=draw) for draw in range(resamples)], ignore_index=True), groups


def test_rows_in_groups_are_not_cases_of_their_own() -> None:
    """The interval is wider by far, the difference the same, and the sentence says in how many groups the rows come."""
    ledger, groups = grouped_ledger()
    plain, grouped = the_verdict(ledger), the_verdict(ledger, groups=groups)
    assert grouped.difference == plain.difference
    assert grouped.high - grouped.low > 1.5 * (plain.high - plain.low)
    assert ((plain.rows, plain.groups), (grouped.rows, grouped.groups)) == ((240, None), (240, 30))
    assert ", 3 seeds × 240 rows in 30 groups." in grouped.sentence
    assert " group" not in plain.sentence


def test_the_groups_verdict_is_that_of_the_groups_means() -> None:
    """With groups of one size and one run each, it is scipy's paired t-test over the groups' shares of right rows."""
    ledger, groups = grouped_ledger(seeds=1)
    verdict = the_verdict(ledger, groups=groups)
    right = {
        model: ((run["p_1"] > run["threshold"]).astype(int) == run["label"]).groupby(groups).mean()
        for model, run in ledger.reset_index(drop=True).groupby("model", sort=False)
        for run in [run.reset_index(drop=True)]
    }
    test = stats.ttest_rel(right["b"], right["a"])
    assert verdict.method == "groups alone (one seed)"
    assert verdict.p_value == pytest.approx(test.pvalue)
    assert (verdict.low, verdict.high) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_what_would_tell_is_a_number_of_groups() -> None:
    """More rows of the same groups would tell little: it is groups, or seeds, that are asked for."""
    for random_state in range(20):
        ledger, groups = grouped_ledger(random_state)
        verdict = the_verdict(ledger, groups=groups)
        assert verdict.rows_needed is None
        if verdict.groups_needed:
            assert verdict.groups_needed > 30
            assert f"about {rounded(verdict.groups_needed):,} groups" in verdict.sentence
            return
    pytest.fail("no verdict asked for groups")


def test_where_it_takes_both_groups_and_seeds_it_is_said() -> None:
    """As with rows; with groups the word is groups."""
    random = np.random.default_rng(3)
    right = {model: random.random((3, 40)) < [[0.3], [0.6], [0.9]] for model in ("linear", "relu")}
    for hits in right.values():
        hits[:, :8] = False
    right["relu"][1, 9:11] = True
    verdict = the_verdict(hits_ledger(right), groups=np.arange(40))
    assert verdict.sentence.endswith("Neither more groups nor more seeds alone would tell: it takes both.")


def test_resamples_count_groups_too() -> None:
    """Over draws the spread is between draws, and what the rows come in is said all the same."""
    ledger, groups = grouped_ledger(resamples=3)
    verdict = the_verdict(ledger, groups=groups, test_share=0.25)
    assert verdict.method == "corrected resampled t"
    assert "3 seeds × 240 rows in 30 groups × 3 resamples" in verdict.sentence
    one = measure(ledger, Subject("d", "test", 2, "accuracy", groups=np.zeros(10_000, dtype=int)), ("a", "b"))
    assert one[1] == []
