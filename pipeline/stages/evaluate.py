"""Evaluate: predictions on validation and test rows, and the final numbers. The one stage that reads test rows.

The threshold is chosen on the validation rows before any test row is looked at. (Without validation rows, training
watches the test rows too; the report says so.)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from pipeline.artifacts import (
    EvaluatedModel,
    FittedEstimator,
    Floats,
    Integers,
    Network,
    Part,
    Split,
    Task,
    Threshold,
    TrainedModel,
)
from pipeline.comparison.spec import ClassificationMetric, RegressionMetric
from pipeline.comparison.thresholds import HALF, Goal, choose
from pipeline.labels import predicted_labels

if TYPE_CHECKING:
    import pandas as pd

CLASSIFICATION_METRICS: tuple[str, ...] = get_args(ClassificationMetric)
REGRESSION_METRICS: tuple[str, ...] = get_args(RegressionMetric)
_OF_PROBABILITIES = ("log_loss", "roc_auc", "average_precision")  # the others are of labels
METRICS_VERSION = "1"  # raise it when a definition changes: runs of other versions aren't compared
LATENCY_CALLS = 20


def evaluate(split: Split, trained: TrainedModel, goal: Goal = HALF) -> EvaluatedModel:
    """Predict, choose the threshold for a goal, and measure with it on the final rows.

    A run that failed has neither predictions nor numbers; one whose predictions aren't finite has failed.
    """
    if trained.failure is not None:
        return EvaluatedModel(trained)
    import pandas as pd

    try:
        answers = _answers(split, trained.network)
    except FloatingPointError as error:
        return EvaluatedModel(replace(trained, failure=str(error)))
    threshold = _threshold(split, answers, goal)
    value = threshold.value if threshold else np.nan
    predictions = pd.concat(
        [_prediction_frame(split, part, predicted, value) for part, predicted in answers.items()], ignore_index=True
    )
    metrics = {**final_metrics(split, predictions, value), **best_epoch(trained)}
    return EvaluatedModel(trained, metrics, predictions, threshold, _latency(split, trained.network))


def _answers(split: Split, network: Network | FittedEstimator) -> dict[Part, Floats]:
    """Predictions of the validation and of the test rows, as far as there are any.

    Raises
    ------
    FloatingPointError
        When a row has no finite prediction, as where its values lie far outside those of the training rows.
    """
    answers: dict[Part, Floats] = {}
    # scikit-learn predicts no table without rows
    parts: list[Part] = [part for part in ("validation", "test") if len(split.rows(part))]
    for part in parts:
        rows = split.rows(part)
        with np.errstate(over="ignore"):  # to infinity, which is what is looked for
            scaled = split.scaled_features(rows)
        bounded = np.isfinite(scaled).all(axis=1)
        if bounded.all():  # an estimator of scikit-learn would raise an error
            answers[part] = predict(network, split, rows)
            bounded = np.isfinite(answers[part].reshape(len(rows), -1)).all(axis=1)
        if not bounded.all():
            count = f"{(~bounded).sum():,} of {len(rows):,} {part} rows"
            raise FloatingPointError(f"the prediction of {count} became infinite or not a number")
    return answers


def _latency(split: Split, network: Network | FittedEstimator) -> float:
    """Seconds from one raw row to its prediction, the median of some calls: what a request costs that comes alone."""
    row, seconds = split.rows(split.final)[:1], []
    for _ in range(LATENCY_CALLS):
        started = time.perf_counter()
        predict(network, split, row)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def metrics_of(task: Task) -> tuple[str, ...]:
    """Names of the metrics that a target has; the first is the one shown unless another is asked for."""
    return REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS


def classification_metric(name: str, truth: Integers, probabilities: Floats, threshold: float = 0.5) -> float:
    """One of the classification metrics, by scikit-learn.

    Two classes: precision, recall, F1, ROC AUC and average precision are those of class 1, at a probability above the
    threshold where labels are needed. More: the macro average, one-vs-rest for the last two. Balanced accuracy is the
    mean recall of the classes that have rows; Matthews correlation lies in -1…1, and is Gorodkin's (2004) for more than
    two classes. Where a class has no rows, ROC AUC is not a number; whatever else isn't defined counts as 0.

    Parameters
    ----------
    truth:
        Class indices, shape (rows,).
    probabilities:
        Shape (rows, classes).
    threshold:
        On the probability of class 1; of more than two classes the likeliest is taken.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes without rows; what they count as is said above
        if name in _OF_PROBABILITIES:
            return _probability_metric(name, truth, probabilities)
        return _label_metric(name, truth, predicted_labels(probabilities, threshold), probabilities.shape[1])


def _probability_metric(name: str, truth: Integers, probabilities: Floats) -> float:
    from sklearn import metrics

    classes = np.arange(probabilities.shape[1])
    if name == "log_loss":
        return float(metrics.log_loss(truth, probabilities, labels=classes))
    if len(classes) == 2:
        score = metrics.roc_auc_score if name == "roc_auc" else metrics.average_precision_score
        return float(score(truth, probabilities[:, 1]))
    if name == "roc_auc":
        return float(metrics.roc_auc_score(truth, probabilities, multi_class="ovr", labels=classes))
    return float(metrics.average_precision_score(truth[:, None] == classes, probabilities))


def _label_metric(name: str, truth: Integers, labels: Integers, n_classes: int) -> float:
    from sklearn import metrics

    of_all = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "mcc": metrics.matthews_corrcoef,
    }
    if name in of_all:
        return float(of_all[name](truth, labels))
    score = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}[name]
    average = "binary" if n_classes == 2 else "macro"
    return float(score(truth, labels, labels=np.arange(n_classes), average=average, zero_division=0))


def regression_metric(name: str, truth: Floats, predicted: Floats) -> float:
    """Mean absolute error, mean squared error or its root, in target units, or R²; both arrays (rows,)."""
    from sklearn import metrics

    functions = {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
    }
    return float(functions[name](truth, predicted))


def predict(network: Network | FittedEstimator, split: Split, rows: Integers) -> Floats:
    """Class probabilities (rows, classes), or a regression's predictions in target units (rows,)."""
    return predict_table(network, split, split.dataset.features[rows])


def predict_table(network: Network | FittedEstimator, split: Split, features: Floats) -> Floats:
    """Predict for any features in original units (rows, features), as `predict` does for rows of the dataset."""
    scaled, is_regression = split.scale_features(features), split.dataset.task == "regression"
    if isinstance(network, FittedEstimator):
        from pipeline.stages.baselines.fitting import scaled_predictions

        answers = scaled_predictions(network, scaled.astype(np.float64))
        return answers * split.target_scale + split.target_center if is_regression else answers
    # Imported here: workers that only draw do without torch, which takes longer to import than most pictures to draw.
    from pipeline.training.networks import predict_logits, probabilities

    logits = predict_logits(network, scaled)
    if is_regression:
        predicted: Floats = logits[:, 0].astype(np.float64) * split.target_scale + split.target_center
        return predicted
    return probabilities(logits, split.dataset.task)


def measure(name: str, network: Network | FittedEstimator, split: Split, rows: Integers) -> float:
    """One metric of one network on some rows."""
    truth, predicted = split.dataset.target[rows], predict(network, split, rows)
    if split.dataset.task == "regression":
        return regression_metric(name, truth.astype(np.float64), predicted)
    return classification_metric(name, truth.astype(np.int64), predicted)


def best_epoch(trained: TrainedModel) -> dict[str, float]:
    """Lowest loss on the monitored rows, and the (first) epoch it was reached in; nothing where there are no epochs."""
    losses = trained.history.validation_loss
    if not len(losses):
        return {}
    epoch = int(np.argmin(losses))
    return {"best/validation_loss": float(losses[epoch]), "best/epoch": float(epoch)}


def best_run(trained: Sequence[TrainedModel], split: Split) -> TrainedModel | None:
    """Return the run with the lowest last loss on the monitored rows; None when all failed."""
    usable = [model for model in trained if model.failure is None]
    return min(usable, key=lambda model: _last_loss(model, split), default=None)


def _last_loss(model: TrainedModel, split: Split) -> float:
    losses = model.history.validation_loss
    if len(losses):
        return float(losses[-1])
    metric = "mse" if split.dataset.task == "regression" else "log_loss"
    return measure(metric, model.network, split, split.rows(split.monitored))


def class_probabilities(predictions: pd.DataFrame) -> Floats:
    """Columns p_0 … p_k as an array, (rows, classes)."""
    columns = [column for column in predictions.columns if column.startswith("p_")]
    probabilities: Floats = predictions[columns].to_numpy(dtype=np.float64)
    return probabilities


def _threshold(split: Split, answers: Mapping[Part, Floats], goal: Goal) -> Threshold | None:
    """Choose on the validation rows; None unless there are two classes."""
    if split.dataset.task != "binary":
        return None
    rows, groups = split.validation, split.dataset.groups
    scores = answers["validation"][:, 1] if len(rows) else np.empty(0)
    truth = split.dataset.target[rows].astype(np.int64)
    return choose(goal, truth, scores, None if groups is None else groups[rows])


def final_metrics(split: Split, predictions: pd.DataFrame, threshold: float) -> dict[str, float]:
    """Every metric that the target has, of one run's predictions of a dataset's final rows, as the ledger has them."""
    final = predictions[predictions["split"] == split.final]
    truth = final["label"].to_numpy()
    if split.dataset.task == "regression":
        predicted = final["prediction"].to_numpy()
        return {name: regression_metric(name, truth, predicted) for name in REGRESSION_METRICS}
    probabilities = class_probabilities(final)
    return {name: classification_metric(name, truth, probabilities, threshold) for name in CLASSIFICATION_METRICS}


def _prediction_frame(split: Split, part: Part, predicted: Floats, threshold: float) -> pd.DataFrame:
    import pandas as pd

    rows = split.rows(part)
    columns: dict[str, Any] = {"split": part, "row_id": rows, "label": split.dataset.target[rows]}
    if split.dataset.task == "regression":
        columns["prediction"] = predicted
    else:
        columns |= {f"p_{label}": predicted[:, label] for label in range(predicted.shape[1])}
    columns["threshold"] = threshold
    return pd.DataFrame(columns, index=range(len(rows)))
