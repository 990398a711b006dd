"""Verdicts as sentences that a person can repeat."""

from __future__ import annotations

METRIC_WORDS = {
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
}
IN_POINTS = frozenset({"accuracy", "precision", "recall", "f1", "roc_auc"})  # shares: said as points of a hundred
MINUS = "\N{MINUS SIGN}"


def metric_word(metric: str) -> str:
    """Write a metric's name as one says it."""
    return METRIC_WORDS.get(metric, metric)


def amount(metric: str, value: float, *, signed: bool = True) -> str:
    """Write a difference: shares in points with one decimal, everything else with three significant digits."""
    sign = "+" if signed else "-"
    text = f"{100 * value:{sign}.1f}" if metric in IN_POINTS else f"{value:{sign}.3g}"
    if float(text) == 0:
        text = text.lstrip("+-")  # neither +0.0 nor -0.0 says which way
    return text.replace("-", MINUS)


def unit(metric: str) -> str:
    """Word behind an amount."""
    return " points" if metric in IN_POINTS else ""


def interval(metric: str, low: float, high: float) -> str:
    """Write an interval."""
    return f"[{amount(metric, low, signed=False)}, {amount(metric, high, signed=False)}]"


def count(number: int, word: str) -> str:
    """Write a number with its noun: "1 seed", "1,000 rows"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
