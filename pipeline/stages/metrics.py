"""The final numbers' definitions, by scikit-learn: from labels and predictions to one number."""

from __future__ import annotations

import warnings
from typing import get_args

import numpy as np

from pipeline.artifacts import Floats, Integers, Task
from pipeline.comparison.spec import ClassificationMetric, RegressionMetric
from pipeline.labels import predicted_labels

CLASSIFICATION_METRICS: tuple[str, ...] = get_args(ClassificationMetric)
REGRESSION_METRICS: tuple[str, ...] = get_args(RegressionMetric)
_OF_PROBABILITIES = ("log_loss", "roc_auc", "average_precision")  # the others are of labels
METRICS_VERSION = "1"  # raise it when a definition changes: runs of other versions aren't compared


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
