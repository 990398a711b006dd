"""Evaluate: predictions on validation and test rows, and the final numbers. The one stage that reads test rows.

(Without validation rows, training watches the test rows too; the report says so.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts import EvaluatedModel, Floats, Integers, Part, Split, TrainedModel

if TYPE_CHECKING:
    import pandas as pd

CLASSIFICATION_METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss")
REGRESSION_METRICS = ("mae", "mse", "rmse", "r2")


def evaluate(split: Split, trained: TrainedModel) -> EvaluatedModel:
    """Predict, and measure on the final rows; a run that diverged has neither predictions nor numbers."""
    if trained.failure is not None:
        return EvaluatedModel(trained)
    import pandas as pd

    parts: tuple[Part, ...] = ("validation", "test")
    predictions = pd.concat([_predict(split, trained, part) for part in parts], ignore_index=True)
    final = predictions[predictions["split"] == split.final]
    measure = regression_metrics if split.dataset.task == "regression" else classification_metrics
    return EvaluatedModel(trained, {**measure(final), **best_epoch(trained)}, predictions)


def classification_metrics(predictions: pd.DataFrame) -> dict[str, float]:
    """Accuracy, precision, recall, F1, ROC AUC and log loss of one run's predictions, by scikit-learn.

    Two classes: of class 1, at a probability above 0.5. More: the macro average, and one-vs-rest for ROC AUC. A class
    that is never predicted has precision 0.
    """
    from sklearn import metrics

    probabilities = class_probabilities(predictions)
    truth = predictions["label"].to_numpy()
    labels: Integers = probabilities.argmax(axis=1)  # of two classes the second only above 0.5
    classes = np.arange(probabilities.shape[1])
    two = len(classes) == 2
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, labels, labels=classes, average="binary" if two else "macro", zero_division=0
    )
    scores = probabilities[:, 1] if two else probabilities
    return {
        "accuracy": float(metrics.accuracy_score(truth, labels)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(metrics.roc_auc_score(truth, scores, multi_class="ovr", labels=None if two else classes)),
        "log_loss": float(metrics.log_loss(truth, probabilities, labels=classes)),
    }


def regression_metrics(predictions: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error, mean squared error and its root, in target units, and R²."""
    from sklearn import metrics

    truth, predicted = predictions["label"], predictions["prediction"]
    squared = float(metrics.mean_squared_error(truth, predicted))
    return {
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
        "mse": squared,
        "rmse": squared**0.5,
        "r2": float(metrics.r2_score(truth, predicted)),
    }


def best_epoch(trained: TrainedModel) -> dict[str, float]:
    """Lowest loss on the monitored rows, and the (first) epoch it was reached in."""
    losses = trained.history.validation_loss
    epoch = int(np.argmin(losses))
    return {"best/validation_loss": float(losses[epoch]), "best/epoch": float(epoch)}


def class_probabilities(predictions: pd.DataFrame) -> Floats:
    """Columns p_0 … p_k as an array, (rows, classes)."""
    columns = [column for column in predictions.columns if column.startswith("p_")]
    probabilities: Floats = predictions[columns].to_numpy(dtype=np.float64)
    return probabilities


def _predict(split: Split, trained: TrainedModel, part: Part) -> pd.DataFrame:
    import pandas as pd

    from pipeline.training.networks import predict_logits, probabilities

    rows = split.rows(part)
    logits = predict_logits(trained.network, split.scaled_features(rows))
    columns: dict[str, Any] = {"split": part, "row_id": rows, "label": split.dataset.target[rows]}
    if split.dataset.task == "regression":
        columns["prediction"] = logits[:, 0].astype(np.float64) * split.target_scale + split.target_center
    else:
        table = probabilities(logits, split.dataset.task)
        columns |= {f"p_{label}": table[:, label] for label in range(table.shape[1])}
    return pd.DataFrame(columns, index=range(len(rows)))
