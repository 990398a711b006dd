"""What an experiment file says about the comparison."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
    """What is compared, and how sure one wants to be.

    `baseline` is the model that the others are measured against (the first one unless named), `metric` the number
    shown first, `alpha` the accepted rate of false alarms. `equivalence` is the difference that wouldn't matter: in the
    metric's own unit, and for a regression's errors in standard deviations of the target (MSE: variances). `pairs: all`
    compares every pair of models instead of each with the baseline.
    """

    baseline: str | None = None
    metric: MetricName | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    equivalence: Annotated[float, Field(ge=0)] = 0.01
    pairs: Literal["baseline", "all"] = "baseline"
