from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import Goal
from pipeline.comparison.verdict import Subject, judge, measure
from pipeline.stages.evaluate import evaluate
from pipeline.stages.ledger import ledger_frame, run_key, runs_frame
from pipeline.stages.reporting.verdict_tables import conclusions, sentences, verdict_rows
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.stages.verdict import forest_frame, known_truth, noise_frame, verdict
from pipeline.training.spec import ModelSpec
from tests.making import dataset

MODELS = {
    "linear": ModelSpec.model_validate(
        {"hidden_units": [], "training": {"optimizer": "Adam", "lr": 0.05, "epochs": 30}}
    ),
    "relu": ModelSpec.model_validate(
        {"hidden_units": [8], "training": {"optimizer": "Adam", "lr": 0.05, "epochs": 60}}
    ),
}


@pytest.fixture(scope="module")
def trained() -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Splits, runs and ledger of two models on circles, whose law is known, and on iris, whose law isn't."""
    made = {"circles": dataset("circles", make="circles", n_samples=200, noise=0.05, factor=0.5)}
    made["iris"] = dataset("iris", load="iris")
    splits = {name: split(data, SplitSpec()) for name, data in made.items()}
    models = [
        evaluate(one, run)
        for one in splits.values()
        for name, spec in MODELS.items()
        for run in train(TrainTask(one, settle(one, name, spec), (0, 1, 2), "cpu"))
    ]
    run_ids = {run_key(model.trained): "-".join(map(str, run_key(model.trained))) for model in models}
    return splits, runs_frame(models, run_ids, {}), ledger_frame(models, run_ids)


def judged(trained: tuple[dict, pd.DataFrame, pd.DataFrame], **spec: object):
    splits, runs, ledger = trained
    metrics = dict.fromkeys(splits, "accuracy")
    return verdict(splits, runs, ledger, tuple(MODELS), CompareSpec(**spec), metrics=metrics)


def test_networks_that_differ_are_told_apart(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """On circles the ReLU networks beat the linear ones, by just the difference of the runs' own metrics."""
    outcome = judged(trained)
    (circles,) = [one for one in outcome.primary() if one.dataset == "circles"]
    runs = trained[1]
    means = runs[runs["dataset"] == "circles"].groupby("model")["accuracy"].mean()
    assert circles.decision == "better"
    assert circles.difference == pytest.approx(means["relu"] - means["linear"])
    assert circles.sentence.startswith("relu is better than linear on circles: accuracy +")


def test_every_metric_has_its_verdict(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """Differences of all nine metrics are those of the model runs' means, on two classes and on three."""
    outcome, runs = judged(trained), trained[1]
    assert len(outcome.verdicts) == 2 * 9
    for one in outcome.verdicts:
        means = runs[runs["dataset"] == one.dataset].groupby("model")[one.metric].mean()
        assert one.difference == pytest.approx(means["relu"] - means["linear"], abs=1e-9)
        assert one.low <= one.difference <= one.high


def test_groups_of_the_splits_are_the_verdicts_cases(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """A split's groups, by row id, are what the interval is made of; a dataset that has none is judged by rows."""
    splits, runs, ledger = trained
    groups = np.arange(200) // 5
    table = dataclasses.replace(splits["circles"].dataset, groups=groups)
    given = {**splits, "circles": dataclasses.replace(splits["circles"], dataset=table)}
    circles, iris = judged((given, runs, ledger)).primary()
    draws, measured = measure(ledger, Subject("circles", "test", 2, "accuracy", groups=groups), tuple(MODELS))
    assert [circles] == judge(measured[0], CompareSpec(), draws[0])
    assert (circles.groups, iris.groups) == (len(set((splits["circles"].test // 5).tolist())), None)
    assert circles.low != judged(trained).primary()[0].low


def test_the_law_of_generated_data_gives_the_ceiling(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """Circles' Bayes rule can't be beaten but by luck; the law of iris is unknown, and nothing is made up for it."""
    outcome = judged(trained)
    circles, iris = outcome.ceilings
    assert (circles.law, iris.law) == ("circles", "unknown")
    assert circles.bayes_accuracy == pytest.approx(1.0, abs=1e-3)  # rings half a unit apart, with noise 0.05
    regrets = {(one.model, one.metric): one.regret for one in circles.regrets}
    assert regrets["linear", "accuracy"] > 0.3
    assert all(regret >= 0 for (_, metric), regret in regrets.items() if metric == "accuracy")
    assert (iris.bayes_accuracy, iris.regrets) == (None, ())


def test_posterior_is_looked_up_by_row_id(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """The truth behind a row is that of its own features, whatever the order of the split."""
    splits = trained[0]
    known = known_truth(splits["circles"])
    assert known is not None
    right = known.posterior.argmax(axis=1) == splits["circles"].dataset.target
    assert right.mean() > 0.99
    assert known_truth(splits["iris"]) is None


def test_draws_of_one_table_widen_the_interval() -> None:
    """Resamples of a shared table overlap: test rows over training rows is added to one over their number."""
    one = split(dataset("iris", load="iris"), SplitSpec())
    random = np.random.default_rng(0)
    frames = []
    for resample in range(4):
        for model, ahead in (("a", 0.0), ("b", 0.3)):
            for seed in (0, 1):
                chances = random.dirichlet(np.ones(3), size=30)
                labels = random.integers(0, 3, 30)
                chances[np.arange(30), labels] += ahead
                columns = {"row_id": np.arange(30), "label": np.arange(30) % 3, "split": "test", "threshold": np.nan}
                keys = {"dataset": "iris", "model": model, "seed": seed, "run_id": "", "resample": resample}
                frames.append(pd.DataFrame(keys | columns | {f"p_{k}": chances[:, k] for k in range(3)}))
    ledger = pd.concat(frames)
    runs = pd.DataFrame({"dataset": "iris", "model": ["a", "b"], "seed": 0, "status": "FINISHED", "parameters": 1})
    runs = runs.assign(train_seconds=1.0, predict_seconds=1.0)
    widths = []
    for shared in ((), ("iris",)):
        outcome = verdict(
            {"iris": one}, runs, ledger, ("a", "b"), CompareSpec(), metrics={"iris": "log_loss"}, shared_tables=shared
        )
        (found,) = outcome.primary()
        assert found.method == "corrected resampled t"
        widths.append(found.high - found.low)
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((1 / 4 + 30 / 90) / (1 / 4)))


def test_frames_hold_what_pictures_draw(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """A forest has a row a pair, and noise a row for each source, missing where there was one split."""
    outcome = judged(trained)
    forest = forest_frame(outcome, "accuracy")
    assert list(forest["dataset"]) == ["circles", "iris"]
    assert forest_frame(outcome, "f1").empty
    noise = noise_frame(outcome, dict.fromkeys(trained[0], "accuracy"), "accuracy")
    assert len(noise) == 2 * 2 * 3
    assert noise.loc[noise["source"] == "split", "deviation"].isna().all()
    assert noise.loc[noise["source"] != "split", "deviation"].notna().all()


def test_many_verdicts_are_a_table_alone(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """Two verdicts are said in full; a dozen are left to the table, which has them all."""
    outcome = judged(trained)
    assert len(sentences(outcome)) == 2
    crowded = dataclasses.replace(outcome, verdicts=outcome.verdicts * 6)
    assert sentences(crowded) == []
    assert len(verdict_rows(crowded.primary())) == 12


def test_a_baseline_without_runs_is_told(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """Where the baseline diverged there is no verdict, and a line says why; the others are still recommended from."""
    splits, runs, ledger = trained
    runs = runs.assign(status=runs["status"].mask(runs["model"] == "linear", "FAILED"))
    metrics = dict.fromkeys(splits, "accuracy")
    only = ledger[ledger["model"] == "relu"]
    outcome = verdict(splits, runs, only, tuple(MODELS), CompareSpec(), metrics=metrics)
    assert outcome.verdicts == ()
    assert "circles: the baseline linear has no finished run, so nothing was held against it." in conclusions(outcome)


def test_regret_in_accuracy_is_for_labels_that_aim_at_it(trained: tuple[dict, pd.DataFrame, pd.DataFrame]) -> None:
    """At thresholds chosen for something else, models fall behind in accuracy on purpose; the log loss still counts."""
    splits, runs, ledger = trained
    metrics = dict.fromkeys(splits, "accuracy")
    outcome = verdict(splits, runs, ledger, tuple(MODELS), CompareSpec(), metrics=metrics, goal=Goal("f1"))
    circles, _ = outcome.ceilings
    assert {one.metric for one in circles.regrets} == {"log_loss"}
    (one,) = [found for found in outcome.primary() if found.dataset == "circles"]
    assert one.sentence.endswith("3 seeds × 40 rows, thresholds chosen for f1.")
    of_labels = {"accuracy", "precision", "recall", "f1", "balanced_accuracy", "mcc"}
    assert {(found.dataset, found.metric) for found in outcome.verdicts if found.labels} == {
        ("circles", metric) for metric in of_labels
    }
