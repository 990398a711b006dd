from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn import metrics

from pipeline.artifacts import EvaluatedModel, Split
from pipeline.comparison.thresholds import HALF, Goal, choose
from pipeline.stages.baselines.fitting import Baseline, fit_baseline
from pipeline.stages.baselines.spec import EstimatorSpec
from pipeline.stages.evaluate import best_run, evaluate
from pipeline.stages.inference import measure
from pipeline.stages.metrics import classification_metric
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.training.spec import ModelSpec, TrainingSpec
from tests.making import dataset


def evaluated(
    make: str, spec: SplitSpec, goal: Goal = HALF, *, perturbed: bool = False, **arguments: object
) -> tuple[Split, EvaluatedModel]:
    made = split(dataset(make=make, **arguments), spec)
    if perturbed:
        made = with_other_test_rows(made)
    model = ModelSpec(hidden_units=(6,), training=TrainingSpec(epochs=15, lr=0.5))
    candidate = settle(made, "m", model)
    (trained,) = train(TrainTask(made, candidate, (3,), "cpu"))
    return made, evaluate(made, trained, goal)


def with_other_test_rows(made: Split) -> Split:
    """The same split, with the test rows far away and of the other class."""
    features, target = made.dataset.features.copy(), made.dataset.target.copy()
    features[made.test] += 3
    target[made.test] = 1 - target[made.test]
    return replace(made, dataset=replace(made.dataset, features=features, target=target))


def forward(made: Split, model: EvaluatedModel, rows: np.ndarray) -> np.ndarray:
    """Logits by a route of its own: numpy in double precision."""
    values = (made.dataset.features[rows] - made.center) / made.scale
    network = model.trained.network
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = values @ weight.T.astype(float) + bias
        if layer < len(network.weights) - 1:
            values = np.maximum(values, 0)
    return values


def test_binary_predictions_and_metrics() -> None:
    """The ledger holds sigmoid probabilities of every validation and test row, and each number is scikit-learn's."""
    made, model = evaluated("moons", SplitSpec(), n_samples=200, noise=0.3)
    ledger = model.predictions
    assert ledger is not None
    assert ledger["row_id"].tolist() == [*made.validation, *made.test]
    test = ledger[ledger["split"] == "test"]
    positive = expit(forward(made, model, made.test)[:, 0])
    np.testing.assert_allclose(test["p_1"], positive, atol=1e-6)
    np.testing.assert_allclose(test["p_0"] + test["p_1"], 1)
    truth, labels = made.dataset.target[made.test], positive > 0.5
    expected = {
        "accuracy": metrics.accuracy_score(truth, labels),
        "precision": metrics.precision_score(truth, labels),
        "recall": metrics.recall_score(truth, labels),
        "f1": metrics.f1_score(truth, labels),
        "roc_auc": metrics.roc_auc_score(truth, positive),
        "log_loss": metrics.log_loss(truth, positive),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, labels),
        "average_precision": metrics.average_precision_score(truth, positive),
        "mcc": metrics.matthews_corrcoef(truth, labels),
    }
    for name, value in expected.items():
        assert model.metrics[name] == pytest.approx(value, abs=1e-6), name


def test_multiclass_predictions_and_metrics() -> None:
    """More classes: softmax probabilities, macro averages, ROC AUC and average precision of one against the rest."""
    made, model = evaluated("blobs", SplitSpec(), n_samples=200, centers=4, cluster_std=5.0)
    ledger = model.predictions
    assert ledger is not None
    test = ledger[ledger["split"] == "test"]
    table = softmax(forward(made, model, made.test), axis=1)
    np.testing.assert_allclose(test[["p_0", "p_1", "p_2", "p_3"]], table, atol=1e-6)
    truth = made.dataset.target[made.test]
    assert model.metrics["f1"] == pytest.approx(metrics.f1_score(truth, table.argmax(1), average="macro"))
    assert model.metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, table, multi_class="ovr"), abs=1e-6)
    against_rest = [metrics.average_precision_score(truth == label, table[:, label]) for label in range(4)]
    assert model.metrics["average_precision"] == pytest.approx(np.mean(against_rest), abs=1e-6)
    recalls = metrics.recall_score(truth, table.argmax(1), average=None)
    assert model.metrics["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert model.metrics["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, table.argmax(1)))


COST = Goal("cost", fp=1, fn=5)


def test_final_numbers_are_those_at_the_chosen_threshold() -> None:
    """Every metric of labels is scikit-learn's at the validation rows' threshold, and only these move."""
    _, model = evaluated("moons", SplitSpec(), COST, n_samples=400, noise=0.3)
    _, usual = evaluated("moons", SplitSpec(), n_samples=400, noise=0.3)
    ledger, threshold = model.predictions, model.threshold
    assert ledger is not None
    assert threshold is not None
    validation, test = (ledger[ledger["split"] == part] for part in ("validation", "test"))
    assert threshold == choose(COST, validation["label"].to_numpy(), validation["p_1"].to_numpy())
    assert threshold.value < 0.4
    assert (ledger["threshold"] == threshold.value).all()
    labels = test["p_1"] > threshold.value
    assert model.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(test["label"], labels))
    assert model.metrics["precision"] == pytest.approx(metrics.precision_score(test["label"], labels))
    assert model.metrics["recall"] == pytest.approx(metrics.recall_score(test["label"], labels))
    assert model.metrics["f1"] == pytest.approx(metrics.f1_score(test["label"], labels))
    assert model.metrics["mcc"] == pytest.approx(metrics.matthews_corrcoef(test["label"], labels))
    balanced = metrics.balanced_accuracy_score(test["label"], labels)
    assert model.metrics["balanced_accuracy"] == pytest.approx(balanced)
    assert model.metrics["accuracy"] != usual.metrics["accuracy"]
    for name in ("roc_auc", "log_loss", "average_precision"):
        assert model.metrics[name] == usual.metrics[name]


def test_test_rows_dont_move_the_threshold() -> None:
    """However the test rows are changed, the threshold and its interval stay to the bit; final numbers don't."""
    _, model = evaluated("moons", SplitSpec(), COST, n_samples=200, noise=0.3)
    _, other = evaluated("moons", SplitSpec(), COST, perturbed=True, n_samples=200, noise=0.3)
    assert model.threshold == other.threshold
    assert model.metrics["accuracy"] != other.metrics["accuracy"]


def test_the_thresholds_interval_draws_groups_of_validation_rows() -> None:
    """Where rows come in groups, the threshold is that of the rows, and its interval that of their groups."""
    table = dataset(make="moons", n_samples=400, noise=0.3)
    made = split(replace(table, groups=np.arange(400) % 30), SplitSpec())
    model = ModelSpec(hidden_units=(6,), training=TrainingSpec(epochs=15, lr=0.5))
    (trained,) = train(TrainTask(made, settle(made, "m", model), (3,), "cpu"))
    found = evaluate(made, trained, COST)
    assert found.predictions is not None
    validation = found.predictions[found.predictions["split"] == "validation"]
    truth, scores = validation["label"].to_numpy(), validation["p_1"].to_numpy()
    assert found.threshold == choose(COST, truth, scores, validation["row_id"].to_numpy() % 30)
    assert found.threshold != choose(COST, truth, scores)


def test_only_two_classes_have_a_threshold() -> None:
    """More classes, and a regression, are evaluated as ever, whatever the goal; the ledger's column is empty."""
    for make, arguments in (("blobs", {"centers": 3, "cluster_std": 4.0}), ("friedman1", {"noise": 1.0})):
        _, model = evaluated(make, SplitSpec(), COST, n_samples=120, **arguments)
        _, usual = evaluated(make, SplitSpec(), n_samples=120, **arguments)
        assert model.threshold is None
        assert model.metrics == usual.metrics
        assert model.predictions is not None
        assert model.predictions["threshold"].isna().all()
        assert model.predictions.columns[-1] == "threshold"


def test_without_a_threshold_it_is_a_half() -> None:
    """Labels are made above 0.5 unless something else is asked for."""
    _, model = evaluated("moons", SplitSpec(), n_samples=200, noise=0.3)
    assert model.threshold is not None
    assert (model.threshold.value, model.threshold.low, model.threshold.high) == (0.5, 0.5, 0.5)
    truth, table = np.array([0, 1, 1]), np.array([[0.5, 0.5], [0.4, 0.6], [0.8, 0.2]])
    assert classification_metric("accuracy", truth, table) == pytest.approx(2 / 3)
    assert classification_metric("recall", truth, table, 0.1) == 1


def test_final_numbers_come_from_validation_rows_without_test_rows() -> None:
    """With `test_size: 0` the numbers are those of the validation rows, and the ledger holds no test row."""
    made, model = evaluated("moons", SplitSpec(test_size=0, validation_size=0.3), n_samples=200, noise=0.3)
    ledger = model.predictions
    assert ledger is not None
    assert set(ledger["split"]) == {"validation"}
    right = (ledger["p_1"] > 0.5) == (ledger["label"] == 1)
    assert model.metrics["accuracy"] == pytest.approx(right.mean())
    assert made.final == "validation"


def test_best_epoch_is_the_lowest_monitored_loss() -> None:
    """`best/…` names the epoch with the lowest monitored loss, not the last one."""
    _, model = evaluated("moons", SplitSpec(), n_samples=200, noise=0.3)
    history = replace(model.trained.history, validation_loss=np.array([0.7, 0.2, 0.5]))
    from pipeline.stages.evaluate import best_epoch

    best = best_epoch(replace(model.trained, history=history))
    assert best == {"best/validation_loss": 0.2, "best/epoch": 1.0}


def test_diverged_run_has_no_numbers() -> None:
    """A run that diverged is passed on without predictions, so that no number of it can be averaged in."""
    made, model = evaluated("moons", SplitSpec(), n_samples=200, noise=0.3)
    failed = evaluate(made, replace(model.trained, failure="train/loss became nan in epoch 3"))
    assert failed.predictions is None
    assert not failed.metrics


def test_regression_metrics() -> None:
    """A regression is measured in target units: MAE, MSE, RMSE and R²."""
    _, model = evaluated("friedman1", SplitSpec(), n_samples=200, noise=1.0)
    ledger = model.predictions
    assert isinstance(ledger, pd.DataFrame)
    test = ledger[ledger["split"] == "test"]
    assert model.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(test["label"], test["prediction"]))
    assert model.metrics["rmse"] == pytest.approx(metrics.root_mean_squared_error(test["label"], test["prediction"]))
    assert model.metrics["r2"] == pytest.approx(metrics.r2_score(test["label"], test["prediction"]))


def test_the_best_forest_has_the_lowest_log_loss_on_validation_rows() -> None:
    """Where there is no curve, the run to serve is chosen by the log loss on the rows that are monitored."""
    made = split(dataset(load="wine"), SplitSpec())
    spec = EstimatorSpec.model_validate({"sklearn": "ExtraTreesClassifier", "n_estimators": 3})
    forests = fit_baseline(made, Baseline("d", "m", spec), range(6))
    losses = [measure("log_loss", forest.network, made, made.validation) for forest in forests]
    assert len(set(losses)) > 1
    best = best_run(forests, made)
    assert best is not None
    assert best.seed == int(np.argmin(losses))
