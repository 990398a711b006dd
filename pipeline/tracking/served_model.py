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


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """An estimator of scikit-learn, or a network, with all that stands around it.

    Made from a file's table it takes that file's columns, by name, and gives the label by its class's name and each
    class's probability (or a regression's prediction), a column each. Made from plain numbers it takes features
    (rows, features) in original units, and gives probabilities and label (rows, classes + 1), as
    `pipeline.training.serving.ServableModel` does.
    """

    def load_context(self, context: Any) -> None:
        """Read the model and what stands around it."""
        files: Mapping[str, str] = context.artifacts
        around = json.loads(Path(files["serving"]).read_text(encoding="utf-8"))
        fitted = {
            name: _fitted(files[name], around["trusted"][name]) for name in ("encoding", "estimator") if name in files
        }
        network = None
        if "network" in files:
            import torch

            network = torch.export.load(files["network"]).module()
        self.take(around, **fitted, network=network)

    def take(self, around: Mapping[str, Any], encoding: Any = None, estimator: Any = None, network: Any = None) -> None:
        """Be made of an encoding, where there is one, of an estimator or a network, and what stands around them."""
        self._around, self._encoding, self._estimator, self._network = around, encoding, estimator, network

    # MLflow reads the hint: of an array's kind of numbers it knows nothing, so it leaves frames alone as well.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ARG002
        """Answer raw columns or features."""
        return self.answer(model_input)

    def answer(self, given: pd.DataFrame | np.ndarray[Any, Any]) -> Any:
        """Encode, scale, predict, then label."""
        if self._encoding is None:
            return self._answers(np.asarray(given, dtype=np.float64))
        features = _raw_columns().features_of(given, self._around["columns"])
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


def _fitted(file: str, trusted: Sequence[str]) -> Any:
    import skops.io

    return skops.io.load(file, trusted=trusted)


def named(answers: np.ndarray[Any, Any], classes: Sequence[str]) -> pd.DataFrame:
    """Give a label by its class's name, and each class's probability, or a regression's predictions, a column each."""
    if not classes:
        return pd.DataFrame({"prediction": answers[:, 0]})
    labels = np.array(classes, dtype=object)[answers[:, -1].astype(np.int64)]
    return pd.DataFrame({"label": labels, **{f"p_{name}": answers[:, place] for place, name in enumerate(classes)}})


def _raw_columns() -> Any:
    """Return the copy that lies beside a model that is served, or where there is none, the original."""
    try:
        return importlib.import_module("raw_columns")
    except ImportError:
        return importlib.import_module("pipeline.raw_columns")


mlflow.models.set_model(ServedModel())
