"""The whole comparison, and every number of its verdicts a second time from the file alone.

The second route uses pandas, scikit-learn and scipy, and none of the pipeline: pseudo-values by leaving each row out of
scikit-learn's metric, an analysis of variance by sums, the p-value by root finding.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn import metrics as sk

from pipeline.comparison.ceilings import Law
from pipeline.comparison.comparability import RowsLookedAt
from pipeline.comparison.contributions import CLASSIFICATION
from pipeline.comparison.outcome import KnownTruth, Outcome, conclude, costs, outcome_json
from pipeline.comparison.simplest import Cost
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.verdict import Subject, Verdict
from tests.comparison.making import make_ledger, row_freedom, through_parquet
from tests.comparison.test_ceilings import known

MODELS = {"linear": 0.3, "relu": 1.0, "wide": 1.4}
SUBJECTS = (
    Subject("two", "test", 2, "accuracy"),
    Subject("three", "validation", 3, "f1"),
    Subject("line", "test", 0, "mae"),
    Subject("drawn", "test", 2, "accuracy", test_share=0.25),
)


def the_ledger() -> pd.DataFrame:
    """Two classes, three classes, a regression and resamples, in one table."""
    ledger = pd.concat(
        [
            make_ledger(MODELS, dataset="two", seeds=3, rows=20),
            make_ledger(MODELS, dataset="three", n_classes=3, seeds=2, rows=20, part="validation"),
            make_ledger(MODELS, dataset="line", n_classes=0, seeds=2, rows=20),
            make_ledger(MODELS, dataset="drawn", seeds=2, rows=20, draws=3),
        ]
    )
    # One run of one model diverged.
    return ledger[~((ledger["dataset"] == "two") & (ledger["model"] == "wide") & (ledger["seed"] == 1))]


def the_runs(ledger: pd.DataFrame) -> pd.DataFrame:
    """`metrics.csv`, as far as it's needed: a row a run."""
    runs = ledger.drop_duplicates(["dataset", "model", "seed", "resample"])[["dataset", "model", "seed"]]
    parameters = runs["model"].map({"linear": 30, "relu": 20, "wide": 900})
    return runs.assign(status="FINISHED", parameters=parameters, train_seconds=1.0 + runs["seed"], predict_seconds=1e-5)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return through_parquet(the_ledger(), tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="module")
def moons() -> Law:
    return known({"make": "moons", "noise": 0.3})


@pytest.fixture(scope="module")
def outcome(ledger: pd.DataFrame, moons: Law) -> Outcome:
    truth = {"two": KnownTruth("moons", moons, np.full((200, 2), 0.5))}
    return conclude(ledger, the_runs(ledger), SUBJECTS, list(MODELS), CompareSpec(pairs="all"), truth)


def by_scikit_learn(metric: str, run: pd.DataFrame, n_classes: int) -> float:
    """One metric of one run's rows."""
    truth = run["label"].to_numpy()
    if not n_classes:
        functions = {
            "mae": sk.mean_absolute_error,
            "mse": sk.mean_squared_error,
            "rmse": sk.root_mean_squared_error,
            "r2": sk.r2_score,
        }
        return float(functions[metric](truth, run["prediction"].to_numpy()))
    shares = run[[f"p_{label}" for label in range(n_classes)]].to_numpy()
    labels = shares.argmax(axis=1) if n_classes > 2 else (run["p_1"] > run["threshold"]).to_numpy(int)
    if metric == "accuracy":
        return float(sk.accuracy_score(truth, labels))
    if metric == "log_loss":
        return float(sk.log_loss(truth, shares, labels=range(n_classes)))
    if metric == "roc_auc":
        one = {"y_score": shares[:, 1]} if n_classes == 2 else {"y_score": shares, "multi_class": "ovr"}
        return float(sk.roc_auc_score(truth, **one))
    if metric == "average_precision":
        of_classes = (truth, shares[:, 1]) if n_classes == 2 else (truth[:, None] == np.arange(n_classes), shares)
        return float(sk.average_precision_score(*of_classes))
    if metric in ("balanced_accuracy", "mcc"):
        of_labels = {"balanced_accuracy": sk.balanced_accuracy_score, "mcc": sk.matthews_corrcoef}
        return float(of_labels[metric](truth, labels))
    score = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[metric]
    which = {"average": "binary"} if n_classes == 2 else {"average": "macro", "labels": range(n_classes)}
    return float(score(truth, labels, zero_division=0, **which))


def pseudo_values(metric: str, run: pd.DataFrame, n_classes: int) -> np.ndarray:
    """What leaving each row out changes."""
    n, whole = len(run), by_scikit_learn(metric, run, n_classes)
    without = [by_scikit_learn(metric, run.drop(index), n_classes) for index in run.index]
    return n * whole - (n - 1) * np.array(without)


def row_effect(metric: str, runs: list[pd.DataFrame], n_classes: int) -> float:
    """How many rows of n one row that went wrong counts for."""
    if metric == "accuracy":
        return 1.0
    if metric == "log_loss" or not n_classes:
        return 0.0
    n, effects = len(runs[0]), []
    sizes = runs[0]["label"].value_counts()
    if metric == "balanced_accuracy":
        return float(n / sizes.min() / n_classes)
    if metric == "mcc":
        return float(1 / (1 - ((sizes / n) ** 2).sum()))
    for label in (1,) if n_classes == 2 else range(n_classes):
        positive = int((runs[0]["label"] == label).sum())
        if n_classes == 2:
            predicted = np.mean([(run["p_1"] > run["threshold"]).sum() for run in runs])
        else:
            columns = [f"p_{one}" for one in range(n_classes)]
            predicted = np.mean([(run[columns].to_numpy().argmax(axis=1) == label).sum() for run in runs])
        below = {"precision": predicted, "recall": positive, "f1": positive + predicted}
        below |= {"roc_auc": min(positive, n - positive) / 0.2, "average_precision": positive / 0.3}
        effects.append(n / below[metric])
    return float(np.mean(effects))


def single_draws(ledger: pd.DataFrame) -> Iterator[tuple[Subject, str, dict[str, Any]]]:
    """Of each dataset that is measured once, and each metric: scores, pseudo-values and row effects of each model."""
    for subject in SUBJECTS[:3]:
        rows = ledger[ledger["dataset"] == subject.name]
        for metric in CLASSIFICATION if subject.n_classes else ("mae", "mse", "rmse", "r2"):
            found = {}
            for model, runs_of_model in rows.groupby("model"):
                runs = [run for _, run in runs_of_model.groupby("seed")]
                found[str(model)] = (
                    [by_scikit_learn(metric, run, subject.n_classes) for run in runs],
                    np.stack([pseudo_values(metric, run, subject.n_classes) for run in runs]),
                    row_effect(metric, runs, subject.n_classes),
                )
            yield subject, metric, found


def variances(rows: np.ndarray) -> tuple[float, float]:
    """Of a mean over (runs, rows): by seeds, and the part of it that runs × rows add."""
    runs, n = rows.shape
    left = rows - rows.mean(axis=1, keepdims=True) - rows.mean(axis=0) + rows.mean()
    return rows.mean(axis=1).var(ddof=1) / runs, (left**2).sum() / ((runs - 1) * (n - 1) * runs * n)


def half_width(
    alpha: float, *, n: int, of_rows: float, freedom: float, of_seeds: float, welch: float, effect: float
) -> float:
    """Half of the interval: Student's for rows, but never below the rule of three, and Student's for seeds."""
    by_rows = stats.t.isf(alpha / 2, freedom) * math.sqrt(of_rows)
    by_seeds = stats.t.isf(alpha / 2, welch) * math.sqrt(of_seeds)
    return math.hypot(max(by_rows, -math.log(alpha) * effect / n), by_seeds)


@pytest.mark.slow
def test_every_verdict_follows_from_the_file_by_another_route(ledger: pd.DataFrame, outcome: Outcome) -> None:
    """Scores, differences, intervals and p-values of all pairs and metrics come out of scikit-learn and scipy too."""
    verdicts = {(v.dataset, v.metric, v.model, v.baseline): v for v in outcome.verdicts}
    checked = 0
    for subject, metric, found in single_draws(ledger):
        for baseline, model in itertools.combinations(MODELS, 2):
            verdict = verdicts[subject.name, metric, model, baseline]
            (first, rows, effect), (second, base_rows, base_effect) = found[model], found[baseline]
            n = rows.shape[1]
            parts, both = zip(variances(rows), variances(base_rows), strict=True)
            apart = rows.mean(axis=0) - base_rows.mean(axis=0)
            of_rows = apart.var(ddof=1) / n - sum(both)
            welch = sum(parts) ** 2 / sum(
                part**2 / (len(table) - 1) for part, table in zip(parts, (rows, base_rows), strict=True)
            )
            half = partial(
                half_width,
                n=n, of_rows=max(of_rows, 0.0), freedom=n - 1 if effect else row_freedom(apart),
                of_seeds=sum(parts), welch=welch, effect=max(effect, base_effect),
            )  # fmt: skip
            difference = float(np.mean(first) - np.mean(second))
            assert verdict.model_score == pytest.approx(np.mean(first))
            assert verdict.baseline_score == pytest.approx(np.mean(second))
            assert verdict.difference == pytest.approx(difference, abs=1e-12)
            assert verdict.high - verdict.low == pytest.approx(2 * half(0.05), rel=1e-6)
            assert verdict.high + verdict.low == pytest.approx(2 * difference, abs=1e-12)
            p_value = optimize.brentq(lambda p, half=half, d=difference: half(p) - abs(d), 1e-15, 1.0)
            assert verdict.p_value == pytest.approx(p_value, rel=1e-4)
            assert (verdict.rows, verdict.seeds) == (n, (len(first), len(second)))
            checked += 1
    assert checked == 3 * (9 + 9 + 4)


def test_verdicts_over_draws_follow_from_the_file_by_another_route(ledger: pd.DataFrame, outcome: Outcome) -> None:
    """Differences over resamples are the means of scikit-learn's in each draw, for every metric and pair."""
    rows = ledger[ledger["dataset"] == "drawn"]
    verdicts = [verdict for verdict in outcome.verdicts if verdict.dataset == "drawn"]
    assert len(verdicts) == 3 * 9
    runs = list(rows.groupby(["resample", "model", "seed"]))
    scores = {
        metric: {key: by_scikit_learn(metric, run, 2) for key, run in runs}
        for metric in dict.fromkeys(verdict.metric for verdict in verdicts)
    }
    for verdict in verdicts:
        score = scores[verdict.metric]
        found = [
            np.mean([score[draw, verdict.model, seed] - score[draw, verdict.baseline, seed] for seed in (0, 1)])
            for draw in range(3)
        ]
        assert verdict.difference == pytest.approx(np.mean(found), abs=1e-12)
        by_draws = stats.t.ppf(0.975, 2) * math.sqrt((1 / 3 + 0.25) * np.var(found, ddof=1))
        half = verdict.high - verdict.difference
        assert half == pytest.approx(by_draws) if verdict.metric == "log_loss" else half >= by_draws


def test_p_values_are_adjusted_within_a_dataset_and_a_metric(outcome: Outcome) -> None:
    """Holm's correction counts the pairs of one dataset and metric, by hand."""
    for _, group in itertools.groupby(outcome.verdicts, key=lambda verdict: (verdict.dataset, verdict.metric)):
        verdicts = sorted(group, key=lambda verdict: verdict.p_value)
        assert len(verdicts) == verdicts[0].pairs == 3
        largest = 0.0
        for place, verdict in enumerate(verdicts):
            largest = max(largest, min((3 - place) * verdict.p_value, 1.0))
            assert verdict.adjusted_p_value == pytest.approx(largest)


def test_decisions_follow_from_their_numbers(outcome: Outcome) -> None:
    """Equivalent within the margin; else better or worse by the adjusted p-value; and the sentence says the word."""
    lower = {"log_loss", "mae", "mse", "rmse"}
    seen = set()
    for verdict in outcome.verdicts:
        gain = -verdict.difference if verdict.metric in lower else verdict.difference
        if max(abs(verdict.low), abs(verdict.high)) <= 0.01:
            word = "equivalent"
        elif verdict.adjusted_p_value < 0.05:
            word = "better" if gain > 0 else "worse"
        else:
            word = "not separable"
        assert verdict.decision == word
        assert {"not separable": "can't be told apart"}.get(word, word) in verdict.sentence
        seen.add(word)
    assert {"better", "not separable"} <= seen


def test_the_metric_shown_first_comes_first(outcome: Outcome) -> None:
    """Datasets in the order of the file, each with its own first metric first; only that one's verdicts are primary."""
    order = list(dict.fromkeys((verdict.dataset, verdict.metric) for verdict in outcome.verdicts))
    firsts = {dataset: next(metric for name, metric in order if name == dataset) for dataset, _ in order}
    assert firsts == {subject.name: subject.metric for subject in SUBJECTS}
    primary: list[Verdict] = outcome.primary()
    assert {(one.dataset, one.metric) for one in primary} == set(firsts.items())
    assert len(primary) == 3 * len(SUBJECTS)


def test_everything_is_concluded_for_every_dataset(outcome: Outcome) -> None:
    """Noise for each model and metric, a recommendation for each dataset, agreement and ceilings for classes only."""
    names = [subject.name for subject in SUBJECTS]
    assert len(outcome.noise) == 3 * (9 + 9 + 4 + 9)
    assert [one.dataset for one in outcome.recommendations] == names
    assert [one.metric for one in outcome.recommendations] == [subject.metric for subject in SUBJECTS]
    assert {(one.dataset, one.model, one.baseline) for one in outcome.agreements} == {
        (name, model, baseline)
        for name in ("two", "three", "drawn")
        for baseline, model in itertools.combinations(MODELS, 2)
    }
    assert [(one.dataset, one.law) for one in outcome.ceilings] == [
        ("two", "moons"), ("three", "unknown"), ("drawn", "unknown"),
    ]  # fmt: skip
    assert outcome.ranking is not None
    assert outcome.ranking.datasets == 4
    assert {one.split is None for one in outcome.noise if one.dataset != "drawn"} == {True}
    assert {one.split is None for one in outcome.noise if one.dataset == "drawn"} == {False}


def test_the_ceiling_is_that_of_the_rows_own_ids(ledger: pd.DataFrame, moons: Law) -> None:
    """The true probabilities are looked up by row id, not by place: a rule that knows the labels has no errors."""
    rows = ledger[(ledger["dataset"] == "two") & (ledger["model"] == "linear") & (ledger["seed"] == 0)]
    posterior = np.full((rows["row_id"].max() + 1, 2), 0.5)
    posterior[rows["row_id"], rows["label"].astype(int)] = 0.99
    posterior[rows["row_id"], 1 - rows["label"].astype(int)] = 0.01
    found = conclude(
        ledger,
        the_runs(ledger),
        SUBJECTS[:1],
        list(MODELS),
        CompareSpec(),
        {"two": KnownTruth("moons", moons, posterior)},
    )
    (ceiling,) = found.ceilings
    assert (ceiling.bayes_accuracy, ceiling.bayes_log_loss) == (1 - moons.bayes_error, moons.bayes_log_loss)
    scores = {verdict.baseline: verdict.baseline_score for verdict in found.primary()}
    (regret,) = (one for one in ceiling.regrets if (one.model, one.metric) == ("linear", "accuracy"))
    assert regret.regret == pytest.approx(1 - scores["linear"])


def test_labels_that_arent_made_to_be_right_have_no_regret_by_accuracy(ledger: pd.DataFrame, moons: Law) -> None:
    """Where thresholds serve another goal the Bayes rule is no measure of labels, and only log loss is held to it."""
    subject = replace(SUBJECTS[0], labels="thresholds chosen for f1")
    truth = {"two": KnownTruth("moons", moons, np.full((200, 2), 0.5))}
    (ceiling,) = conclude(ledger, the_runs(ledger), [subject], list(MODELS), CompareSpec(), truth).ceilings
    assert [(one.model, one.metric) for one in ceiling.regrets] == [(model, "log_loss") for model in MODELS]


def test_seeds_that_failed_are_counted_among_those_that_were_asked_for(ledger: pd.DataFrame) -> None:
    """Each dataset has its own count of seeds, finished and asked for, and the sentence says both."""
    failed = pd.DataFrame({"dataset": ["two"], "model": ["wide"], "seed": [1], "status": ["FAILED"]})
    runs = pd.concat([the_runs(ledger), failed], ignore_index=True)
    pair = [("wide", "linear")]
    two, drawn = conclude(ledger, runs, SUBJECTS[::3], list(MODELS), CompareSpec(), {}, pair).primary()
    assert (two.seeds, two.seeds_asked) == ((2, 3), (3, 3))
    assert "2 of 3 and 3 seeds × 20 rows" in two.sentence
    assert (drawn.seeds, drawn.seeds_asked) == ((2, 2), (2, 2))


def test_pairs_that_are_asked_for_replace_those_of_the_file(ledger: pd.DataFrame) -> None:
    """Just the pairs that are named are compared and counted, in order, without one whose model has no runs."""
    asked = [("wide", "relu"), ("linear", "wide"), ("linear", "gone")]
    subjects, spec = SUBJECTS[:1], CompareSpec(pairs="all")
    found = conclude(ledger, the_runs(ledger), subjects, list(MODELS), spec, {}, asked).primary()
    assert [(verdict.model, verdict.baseline, verdict.pairs) for verdict in found] == [
        ("wide", "relu", 2),
        ("linear", "wide", 2),
    ]
    usual = conclude(ledger, the_runs(ledger), subjects, list(MODELS), spec, {}).primary()
    (same,) = [verdict for verdict in usual if (verdict.model, verdict.baseline) == ("wide", "relu")]
    assert (found[0].difference, found[0].p_value) == (same.difference, same.p_value)


def test_the_outcome_is_valid_json(outcome: Outcome) -> None:
    """It can be written without NaN, and reads back as it was; names of keys are those of the values."""
    rows = RowsLookedAt(30, "test", "a" * 64, looks=2)
    plain = outcome_json(outcome, {"two": rows})
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text) == plain
    assert set(plain) == {
        "schema", "alpha", "equivalence", "pairs", "baseline", "verdicts", "noise", "recommendations", "agreement",
        "ceilings", "ranking", "test_sets",
    }  # fmt: skip
    assert plain["test_sets"] == {"two": {"rows": 30, "part": "test", "digest": "a" * 64, "looks": 2}}
    assert (plain["schema"], plain["alpha"], plain["equivalence"], plain["pairs"], plain["baseline"]) == (
        1, 0.05, 0.01, "all", "linear",
    )  # fmt: skip
    assert [one["sentence"] for one in plain["verdicts"]] == [one.sentence for one in outcome.verdicts]
    assert plain["verdicts"][0]["seeds"] == list(outcome.verdicts[0].seeds)
    assert plain["recommendations"][0]["standings"][0]["cost"]["parameters"] == 20
    assert outcome.ranking is not None
    assert plain["ranking"]["mean_ranks"] == list(outcome.ranking.mean_ranks)


def test_what_is_not_defined_is_null() -> None:
    """Test rows of one class have no ROC AUC: its noise is null, its verdicts aren't there, the rest is.

    Where it is the metric shown first, no model is recommended.
    """
    ledger = make_ledger(MODELS, dataset="two")
    ledger["label"] = 1
    subject = replace(SUBJECTS[0], metric="roc_auc")
    outcome = conclude(ledger, the_runs(ledger), [subject], list(MODELS), CompareSpec(), {})
    plain = json.loads(json.dumps(outcome_json(outcome, {}), allow_nan=False))
    assert {one["metric"] for one in plain["verdicts"]} == set(CLASSIFICATION) - {"roc_auc"}
    assert [one["test_rows"] for one in plain["noise"] if one["metric"] == "roc_auc"] == [None] * 3
    assert (plain["ranking"], plain["recommendations"]) == (None, [])
    assert plain["ceilings"][0] == {
        "dataset": "two", "law": "unknown", "bayes_accuracy": None, "bayes_log_loss": None, "regrets": [],
    }  # fmt: skip


def test_datasets_on_which_nothing_finished_are_left_out(ledger: pd.DataFrame) -> None:
    """The other datasets are concluded; with nothing at all there is an empty outcome that is JSON nonetheless."""
    subjects = (Subject("absent", "test", 2, "accuracy"), *SUBJECTS[:1])
    found = conclude(ledger, the_runs(ledger), subjects, list(MODELS), CompareSpec(), {})
    assert {verdict.dataset for verdict in found.verdicts} == {"two"}
    nothing = conclude(ledger, the_runs(ledger), subjects[:1], list(MODELS), CompareSpec(), {})
    assert nothing.verdicts == nothing.noise == nothing.recommendations == ()
    assert json.dumps(outcome_json(nothing, {}), allow_nan=False)


def test_the_baseline_is_the_first_model_of_the_file_even_without_runs(ledger: pd.DataFrame) -> None:
    """Where the first model diverged nothing else is silently compared; a model that is named is the baseline then."""

    def found(**keys: object) -> tuple[str, set[tuple[str, str]]]:
        outcome = conclude(
            ledger, the_runs(ledger), SUBJECTS[:1], ["diverged", *MODELS], CompareSpec.model_validate(keys), {}
        )
        assert [one.model for one in outcome.recommendations[0].standings] == ["relu", "linear", "wide"]
        return outcome.baseline, {(one.model, one.baseline) for one in outcome.verdicts}

    assert found() == ("diverged", set())
    assert found(baseline="relu") == ("relu", {("linear", "relu"), ("wide", "relu")})
    assert found(pairs="all") == ("diverged", {("relu", "linear"), ("wide", "linear"), ("wide", "relu")})


def test_costs_are_medians_over_finished_runs() -> None:
    """Neither another dataset's runs nor those that failed count, and one slow run doesn't either.

    A model that has no parameters to count has no number of them.
    """
    runs = pd.DataFrame(
        {
            "dataset": ["d"] * 4 + ["e", "d"],
            "model": ["m"] * 5 + ["trees"],
            "status": ["FINISHED"] * 3 + ["FAILED", "FINISHED", "FINISHED"],
            "parameters": [30, 30, 30, 30, 70, np.nan],
            "train_seconds": [1.0, 2.0, 90.0, 0.1, 5.0, 3.0],
            "predict_seconds": [1e-5, 3e-5, 2e-5, 1.0, 1.0, 4e-5],
        }
    )
    assert costs(runs, "d") == {"m": Cost(30, 2.0, 2e-5), "trees": Cost(None, 3.0, 4e-5)}


def test_the_file_alone_decides(ledger: pd.DataFrame, outcome: Outcome, tmp_path: Path) -> None:
    """The rows in another order, through the file once more: the same outcome to the last digit that counts."""
    shuffled = through_parquet(ledger.sort_values(["row_id", "p_0"], kind="stable"), tmp_path)
    again = conclude(shuffled, the_runs(shuffled), SUBJECTS[:2], list(MODELS), outcome.spec, {})
    before = [one for one in outcome.verdicts if one.dataset in ("two", "three")]
    assert [one.sentence for one in again.verdicts] == [one.sentence for one in before]
    assert [one.p_value for one in again.verdicts] == pytest.approx([one.p_value for one in before])
