"""A served model: raw columns or features in, probabilities and label out.

MLflow copies this script into the model and runs it there, so it stands alone: of Photofinish it needs `raw_columns`
alone, which is copied beside it where the model was made from a file's table.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

SERVING, ENCODING, ESTIMATOR, GRAPH = "serving.json", "encoding.skops", "estimator.skops", "graph.pt2"  # files


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """An estimator of scikit-learn, or a network, with all that stands around it.

    Made from a file's table it takes that file's columns, by name, and gives the label by its class's name and each
    class's probability (or a regression's prediction), a column each. Made from plain numbers it takes features
    (rows, features) in original units, and gives probabilities and label (rows, classes + 1), as
    `pipeline.training.serving.ServableModel` does.
    """

    def load_context(self, context: Any) -> None:
        """Read the model and what stands around it."""
        import skops.io

        files: Mapping[str, str] = context.artifacts
        self._around = json.loads(Path(files[SERVING]).read_text(encoding="utf-8"))
        fitted = {name: skops.io.load(files[name], trusted=types) for name, types in self._around["trusted"].items()}
        self._encoding, self._estimator = fitted.get(ENCODING), fitted.get(ESTIMATOR)
        if GRAPH in files:
            import torch

            self._network = torch.export.load(files[GRAPH]).module()

    # MLflow reads the hint: of an array's kind of numbers it knows nothing, so it leaves frames alone as well.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ARG002
        """Encode, scale, predict, then label."""
        if self._encoding is None:
            return self._answers(np.asarray(model_input, dtype=np.float64))
        raw_columns = importlib.import_module("raw_columns")  # the copy that lies beside the model
        try:
            features = raw_columns.features_of(model_input, self._around["columns"])
        except ValueError as error:  # of another kind of error a server doesn't tell what it says
            raise MlflowException.invalid_parameter_value(str(error)) from error
        inputs = np.asarray(self._encoding.transform(features), dtype=np.float64)
        return named(self._answers(inputs), self._around["classes"])

    def _answers(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Probabilities and index of the label (rows, classes + 1), or predictions (rows, 1)."""
        around = self._around
        if self._estimator is None:
            import torch

            with torch.no_grad():
                return np.asarray(self._network(torch.from_numpy(inputs)).numpy())
        scaled = ((inputs - around["center"]) / around["scale"]).astype(np.float32).astype(np.float64)
        if around["task"] == "regression":
            predicted = self._estimator.predict(scaled)[:, None]
            return np.asarray(predicted * around["target_scale"] + around["target_center"])
        shares = self._estimator.predict_proba(scaled).astype(np.float64)
        is_binary = around["task"] == "binary"
        labels = shares[:, 1] > around["threshold"] if is_binary else shares.argmax(axis=1)
        return np.column_stack([shares, labels])


def named(answers: np.ndarray[Any, Any], classes: Sequence[str]) -> pd.DataFrame:
    """Give a label by its class's name, and each class's probability, or a regression's predictions, a column each."""
    if not classes:
        return pd.DataFrame({"prediction": answers[:, 0]})
    labels = np.array(classes, dtype=object)[answers[:, -1].astype(np.int64)]
    return pd.DataFrame({"label": labels, **{f"p_{name}": answers[:, place] for place, name in enumerate(classes)}})


mlflow.models.set_model(ServedModel())
