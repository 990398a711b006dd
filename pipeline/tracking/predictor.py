"""A servable model read back from the store, to predict tables.

What MLflow serves it by (a script, or a graph, whose format holds pickle) is left alone: the model is made again of its
parts, which are safetensors, skops and JSON, and asked by the functions that the ledger was made by. So no code of the
store's is run.
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

from pipeline.artifacts import Column, Dataset, Encoding, Split, describe
from pipeline.errors import BadInput, StoreError
from pipeline.labels import predicted_labels
from pipeline.raw_columns import features_of
from pipeline.stages.baselines.storage import load_estimator
from pipeline.stages.inference import predict_table
from pipeline.stages.tables.blocks import raw_frames
from pipeline.stages.tables.files import complain
from pipeline.stages.trusted import load_trusted
from pipeline.tracking.reader import origin_of
from pipeline.tracking.servable import download_servable
from pipeline.tracking.served_model import ENCODING, SERVING, named
from pipeline.tracking.store import connect, one_line
from pipeline.training.storage import DESCRIPTION, load_network

EXTRA = "extra_files"  # what MLflow calls the folder of files beside a network
RUN_URI = re.compile("(?:runs:/)?([0-9a-f]{32})(?:/model)?")


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
        place = f"column {str(block.columns[columns[0]])!r}, row {block.index[rows[0]] + 1}"
        problem = f", {place}: has no value, and the model was made of a table without gaps"
        raise complain(str(table), problem, "fill it in, or remove the row")


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
    StoreError
        When a part of it is missing or damaged, or would make something that is neither scikit-learn's nor numpy's.
    """
    client = connect()
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        try:
            run_id = RUN_URI.fullmatch(uri)
            given = f"runs:/{origin_of(client, client.get_run(run_id[1])).info.run_id}/model" if run_id else uri
            folder = download_servable(given, name)
            metadata = Model.load(str(folder)).metadata or {}
        except (MlflowException, OSError) as error:
            remedy = (
                "give models:/NAME@champion, runs:/RUN_ID/model, or the id of a run that is tagged photofinish.best"
            )
            raise BadInput(f"no model can be read there: {one_line(error)}", field=uri, remedy=remedy) from error
        if not {"features", "outputs"} <= metadata.keys():
            raise BadInput("is no model of Photofinish", field=uri, remedy="predict with mlflow models predict")
        try:
            predictor = _predictor(folder, metadata)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{uri}: a part of the model can't be used: {one_line(error)}") from error
        yield predictor


def _predictor(folder: Path, metadata: Mapping[str, Any]) -> Predictor:
    has_columns = "columns" in metadata
    given = (
        metadata["columns"] if has_columns else [{"source": name, "kind": "number"} for name in metadata["features"]]
    )
    columns = tuple(Column(**{**one, "categories": tuple(one.get("categories", ()))}) for one in given)
    parts = folder / EXTRA if (folder / EXTRA).is_dir() else folder / "artifacts"
    around = json.loads((parts / SERVING).read_text(encoding="utf-8"))
    network = load_network(parts) if (parts / DESCRIPTION).is_file() else load_estimator(parts)
    split = _without_rows(around, load_trusted(parts / ENCODING) if has_columns else None)

    def answer(frame: pd.DataFrame) -> pd.DataFrame:
        predicted = predict_table(network, split, features_of(frame, describe(columns)))
        if predicted.ndim == 2:
            predicted = np.column_stack([predicted, predicted_labels(predicted, around["threshold"])])
        return named(predicted.reshape(len(frame), -1), around["classes"])

    reading = metadata["reading"] if has_columns else {"known": [column.source for column in columns]}
    return Predictor(columns, answer, takes_missing=has_columns, reading=reading)


def _without_rows(around: Mapping[str, Any], transformer: Any) -> Split:
    """Return the split that a model was trained on, as far as prediction needs it."""
    none = np.empty(0, dtype=np.int64)
    classes = tuple(around["classes"])
    return Split(
        Dataset("", np.empty((0, 0)), none, around["task"], (), classes, "", ""),
        *(none, none, none),
        np.array(around["center"]),
        np.array(around["scale"]),
        around["target_center"],
        around["target_scale"],
        encoding=None if transformer is None else Encoding(transformer, (), 0),
    )
