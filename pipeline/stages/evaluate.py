"""Evaluate: predictions on validation and test rows, and the final numbers. The one stage that reads test rows.

The threshold is chosen on the validation rows before any test row is looked at. (Without validation rows, training
watches the test rows too; the report says so.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts import EvaluatedModel, FittedEstimator, Floats, Network, Part, Split, Threshold, TrainedModel
from pipeline.comparison.thresholds import HALF, Goal, choose
from pipeline.stages.inference import class_probabilities, measure, predict
from pipeline.stages.metrics import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    classification_metric,
    regression_metric,
)

if TYPE_CHECKING:
    import pandas as pd

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
