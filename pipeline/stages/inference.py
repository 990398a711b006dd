"""What a model of any kind says about rows, in original units; asked of networks and of fitted estimators alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import FittedEstimator, Floats, Integers, Network, Split
from pipeline.stages.metrics import classification_metric, regression_metric

if TYPE_CHECKING:
    import pandas as pd


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


def class_probabilities(predictions: pd.DataFrame) -> Floats:
    """Columns p_0 … p_k as an array, (rows, classes)."""
    columns = [column for column in predictions.columns if column.startswith("p_")]
    probabilities: Floats = predictions[columns].to_numpy(dtype=np.float64)
    return probabilities
