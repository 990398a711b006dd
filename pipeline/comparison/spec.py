"""What an experiment file says about the comparison."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from pipeline.spec import Spec

ClassificationMetric = Literal[
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "log_loss",
    "balanced_accuracy",
    "average_precision",
    "mcc",
]
RegressionMetric = Literal["mae", "mse", "rmse", "r2"]
MetricName = Literal[ClassificationMetric, RegressionMetric]


class CompareSpec(Spec):
    """What is compared, and how sure one wants to be."""

    model_config = ConfigDict(title="Comparison")

    baseline: str | None = Field(
        None, description="Name of the model that the others are measured against; null is the first one."
    )
    metric: MetricName | None = Field(
        None,
        description="The number shown first, wherever it fits the target; null is accuracy, or `mae` for a regression,"
        " and where thresholds are chosen for F1, precision or recall, what is compared then: F1, recall or precision.",
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Accepted rate of false alarms, over all pairs.")
    equivalence: float = Field(
        0.01,
        ge=0,
        description="Difference that wouldn't matter: in the metric's own unit, for a regression's errors in standard"
        " deviations of the target (MSE: variances).",
    )
    pairs: Literal["baseline", "all"] = Field(
        "baseline", description="`baseline` compares each model with it, `all` every pair of models."
    )
