from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn import metrics

from pipeline.artifacts import EvaluatedModel, Split
from pipeline.stages.evaluate import evaluate
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.train import TrainTask, train
from pipeline.stages.tune import settle
from pipeline.training.spec import ModelSpec, TrainingSpec
from tests.making import dataset


def evaluated(make: str, spec: SplitSpec, **arguments: object) -> tuple[Split, EvaluatedModel]:
    made = split(dataset(make=make, **arguments), spec)
    model = ModelSpec(hidden_units=(6,), training=TrainingSpec(epochs=15, lr=0.5))
    candidate = settle(made, "m", model)
    (trained,) = train(TrainTask(made, candidate, (3,), "cpu"))
    return made, evaluate(made, trained)


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
    }
    for name, value in expected.items():
        assert model.metrics[name] == pytest.approx(value, abs=1e-6), name


def test_multiclass_predictions_and_metrics() -> None:
    """More classes: softmax probabilities, macro averages, one-vs-rest ROC AUC."""
    made, model = evaluated("blobs", SplitSpec(), n_samples=200, centers=4, cluster_std=5.0)
    ledger = model.predictions
    assert ledger is not None
    test = ledger[ledger["split"] == "test"]
    table = softmax(forward(made, model, made.test), axis=1)
    np.testing.assert_allclose(test[["p_0", "p_1", "p_2", "p_3"]], table, atol=1e-6)
    truth = made.dataset.target[made.test]
    assert model.metrics["f1"] == pytest.approx(metrics.f1_score(truth, table.argmax(1), average="macro"))
    assert model.metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, table, multi_class="ovr"), abs=1e-6)


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
