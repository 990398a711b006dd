"""A served estimator of scikit-learn: raw features in, probabilities and label out.

MLflow copies this script into the model and runs it there, so it stands alone: nothing of Photofinish is imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np


class ServedEstimator(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Features (rows, features) in original units to probabilities and label (rows, classes + 1).

    Columns, scaling and threshold are as `pipeline.training.serving.ServableModel` has them for a network.
    """

    def load_context(self, context: Any) -> None:
        """Read the estimator and what stands around it."""
        import skops.io

        self._around = json.loads(Path(context.artifacts["serving"]).read_text(encoding="utf-8"))
        self._estimator = skops.io.load(context.artifacts["estimator"], trusted=self._around["trusted"])

    # MLflow reads these hints: of an array's kind of numbers it knows nothing, and says so.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:  # noqa: ARG002
        """Scale, predict, then label."""
        around, features = self._around, np.asarray(model_input, dtype=np.float64)
        scaled = ((features - around["center"]) / around["scale"]).astype(np.float32).astype(np.float64)
        if around["task"] == "regression":
            predicted = self._estimator.predict(scaled)[:, None]
            return np.asarray(predicted * around["target_scale"] + around["target_center"])
        shares = self._estimator.predict_proba(scaled).astype(np.float64)
        is_binary = around["task"] == "binary"
        labels = shares[:, 1] > around["threshold"] if is_binary else shares.argmax(axis=1)
        return np.column_stack([shares, labels])


mlflow.models.set_model(ServedEstimator())
