"""How metrics and hyperparameters are named and written: shares of rows in points (hundredths), the rest as it is."""

from __future__ import annotations

import math

_IN_POINTS = frozenset({"accuracy", "precision", "recall", "f1", "roc_auc", "balanced_accuracy", "average_precision"})
_LOWER_IS_BETTER = frozenset({"log_loss", "mae", "mse", "rmse"})
_NAMES = {
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "mcc": "Matthews correlation",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
}


def metric_name(metric: str) -> str:
    """Write a metric's name as people say it."""
    return _NAMES.get(metric, metric.replace("_", " "))


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better: true of losses and errors."""
    return metric in _LOWER_IS_BETTER


def in_points(metric: str) -> bool:
    """Whether a metric is a share in 0…1, so that its differences are written in points."""
    return metric in _IN_POINTS


def factor(metric: str) -> float:
    """Return what a metric's values are multiplied with to be drawn: 100 where they are drawn in points, else 1."""
    return 100.0 if in_points(metric) else 1.0


def unit(metric: str) -> str:
    """Word to follow a metric's drawn values on an axis: ``", points"``, or nothing."""
    return ", points" if in_points(metric) else ""


def written(values: tuple[float, ...], metric: str) -> list[str]:
    """Write a metric's drawn values with as many decimals each: one for points, else for two digits of the largest.

    Zero has no sign, and is ``"0"`` when it is exactly that.
    """
    largest = max(abs(value) for value in values)
    decimals = 1 if in_points(metric) else _decimals(largest)
    return [_number(value, decimals) for value in values]


def _decimals(largest: float) -> int:
    """Decimals that show two digits of a number, at most six."""
    return min(6, max(0, 1 - math.floor(math.log10(largest)))) if largest > 0 else 0


def _number(value: float, decimals: int) -> str:
    if value == 0:
        return "0"
    text = f"{value:.{decimals}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def value_text(value: object) -> str:
    """Write a hyperparameter's value as an experiment file would, real numbers to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else "null" if value is None else str(value)
