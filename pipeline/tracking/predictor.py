"""A servable model read back from the store, to predict tables.

No code of the store's is run. Of the script that MLflow serves a model by, a copy of `served_model.py`, the original is
run here. Networks are read from safetensors: reading the graph beside them (`pt2`) may run what others put in it.
Estimators and encodings are read from skops, which makes scikit-learn's and numpy's types alone, whatever types the
store says it trusts.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from pipeline.artifacts import Column, Floats, Network, Singles, Task, describe
from pipeline.errors import BadInput, StoreError
from pipeline.stages.tables.blocks import raw_frames
from pipeline.stages.trusted import load_trusted
from pipeline.tracking.compared import AGAIN
from pipeline.tracking.reader import UNREADABLE
from pipeline.tracking.servable import OWN, SERVING, download_servable
from pipeline.tracking.served_model import ServedModel, named
from pipeline.tracking.store import connect, one_line
from pipeline.training.networks import predict_logits, probabilities
from pipeline.training.storage import load_network

RUN_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model that predicts tables of raw columns."""

    columns: tuple[Column, ...]  # what its features are made of
    answer: Callable[[pd.DataFrame], pd.DataFrame]  # label and probability of each class, or prediction
    takes_missing: bool  # whether it knows what to put in the place of a missing value
    reading: Mapping[str, Any]  # as of `Dataset`

    def predictions(self, table: Path) -> Iterator[pd.DataFrame]:
        """Predict a CSV or Parquet file, block by block; its index holds the rows' places in the file.

        Raises
        ------
        BadInput
            When the file isn't what the model takes.
        """
        for block in raw_frames(table, describe(self.columns), **self.reading):
            if not self.takes_missing:
                _check_complete(table, block)
            yield self.answer(block).set_axis(block.index)


def _check_complete(table: Path, block: pd.DataFrame) -> None:
    """Refuse a missing value where nothing is known to put in its place."""
    rows, columns = np.nonzero(block.isna().to_numpy())
    if len(rows):
        raise BadInput(
            f"row {block.index[rows[0]] + 1:,} has no value, and the model was made of a table without gaps",
            file=str(table),
            field=str(block.columns[columns[0]]),
            remedy="fill it in, or remove the row",
        )


@contextmanager
def open_predictor(uri: str) -> Iterator[Predictor]:
    """Read a servable model, which lasts as long as the block.

    Parameters
    ----------
    uri:
        As MLflow writes it, `models:/…` or `runs:/…`, or the id of a model run.

    Raises
    ------
    BadInput
        When there is no such model, or it is none of Photofinish's.
    """
    connect()
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        try:
            given = f"runs:/{uri}/model" if RUN_ID.fullmatch(uri) else uri
            folder = download_servable(given, name)
            metadata = Model.load(str(folder)).metadata or {}
        except (MlflowException, OSError) as error:
            remedy = (
                "give models:/NAME@champion, runs:/RUN_ID/model, or the id of a run that is tagged photofinish.best"
            )
            raise BadInput(f"no model can be read there: {one_line(error)}", field=uri, remedy=remedy) from error
        if not {"features", "outputs"} <= metadata.keys():
            raise BadInput("is no model of Photofinish", field=uri, remedy="predict with mlflow models predict")
        if not (folder / OWN).is_dir() and not (folder / "artifacts" / "estimator.skops").is_file():
            problem = (
                "was logged by an older version, as a graph alone, which whoever wrote the store has to be trusted for"
            )
            raise BadInput(problem, field=uri, remedy=f"{AGAIN}, or predict with mlflow models predict")
        try:
            predictor = _predictor(folder, metadata)
        except UNREADABLE as error:
            raise StoreError(f"model {uri} can't be read: {one_line(error)}") from error
        yield predictor


def _predictor(folder: Path, metadata: Mapping[str, Any]) -> Predictor:
    served = _served(folder)
    if "columns" in metadata:
        columns = tuple(Column(**{**one, "categories": tuple(one["categories"])}) for one in metadata["columns"])
        return Predictor(columns, served.answer, takes_missing=True, reading=metadata["reading"])
    names = list(metadata["features"])
    return Predictor(
        tuple(Column(name, "number") for name in names),
        lambda frame: named(served.answer(frame[names].to_numpy(np.float64)), metadata["classes"]),
        takes_missing=False,
        reading={"known": names},
    )


def _served(folder: Path) -> ServedModel:
    own, given = folder / OWN, folder / "artifacts"  # a network's folder, and that of a model which a script serves
    around = json.loads(((own if own.is_dir() else given) / SERVING).read_text(encoding="utf-8"))
    encoding, estimator = (_fitted(given / f"{name}.skops") for name in ("encoding", "estimator"))
    if own.is_dir():
        estimator = _AsEstimator(load_network(own), around["task"])
    served = ServedModel()
    served.take(around, encoding, estimator)
    return served


def _fitted(file: Path) -> Any:
    return load_trusted(file) if file.is_file() else None


@dataclass(frozen=True, eq=False)
class _AsEstimator:
    """A network that is asked as an estimator of scikit-learn is."""

    network: Network
    task: Task

    def predict_proba(self, scaled: Floats) -> Floats:
        """Class probabilities, (rows, classes)."""
        return probabilities(self._logits(scaled), self.task)

    def predict(self, scaled: Floats) -> Floats:
        """Scaled predictions of a regression, (rows,)."""
        return self._logits(scaled)[:, 0].astype(np.float64)

    def _logits(self, scaled: Floats) -> Singles:
        return predict_logits(self.network, scaled.astype(np.float32))
