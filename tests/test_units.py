from __future__ import annotations

import pytest

from pipeline.units import factor, in_points, lower_is_better, metric_name, unit, written


@pytest.mark.parametrize(
    "metric", ["accuracy", "precision", "recall", "f1", "roc_auc", "balanced_accuracy", "average_precision"]
)
def test_shares_are_drawn_in_points(metric: str) -> None:
    """Shares of rows are drawn as hundredths, and more of them is better."""
    assert in_points(metric)
    assert factor(metric) == 100
    assert unit(metric) == ", points"
    assert not lower_is_better(metric)


@pytest.mark.parametrize("metric", ["log_loss", "mae", "mse", "rmse"])
def test_errors_are_drawn_as_they_are(metric: str) -> None:
    """Losses and errors keep their unit, and less of them is better."""
    assert not in_points(metric)
    assert factor(metric) == 1
    assert unit(metric) == ""
    assert lower_is_better(metric)


@pytest.mark.parametrize("metric", ["r2", "mcc"])
def test_what_may_be_negative_is_no_share(metric: str) -> None:
    """R² and a correlation are no shares of rows, and no errors either."""
    assert not in_points(metric)
    assert not lower_is_better(metric)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("roc_auc", "ROC AUC"),
        ("log_loss", "log loss"),
        ("f1", "F1"),
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("average_precision", "average precision"),
        ("mcc", "Matthews correlation"),
    ],
)
def test_metrics_have_names(metric: str, name: str) -> None:
    """A metric is called what people call it."""
    assert metric_name(metric) == name


@pytest.mark.parametrize(
    ("values", "metric", "texts"),
    [
        ((49.81, 45.06, 54.2), "accuracy", ["49.8", "45.1", "54.2"]),
        ((0.0, -0.6, 0.6), "accuracy", ["0", "−0.6", "0.6"]),
        ((-0.04,), "accuracy", ["0.0"]),
        ((0.498, 0.451, 0.542), "log_loss", ["0.50", "0.45", "0.54"]),
        ((0.037, -0.01, 0.064), "log_loss", ["0.037", "−0.010", "0.064"]),
        ((1234.5, -3.2, 2000.0), "mae", ["1234", "−3", "2000"]),
        ((0.0,), "mae", ["0"]),
        ((3e-12,), "mae", ["0.000000"]),
    ],
)
def test_numbers_that_belong_together_have_the_same_decimals(
    values: tuple[float, ...], metric: str, texts: list[str]
) -> None:
    """Points have one decimal, other metrics two digits of the largest number; nothing is a negative zero."""
    assert written(values, metric) == texts
