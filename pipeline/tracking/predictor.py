"""A servable model read back from the store, to predict tables.

Networks lie there as `pt2`, estimators and encodings as skops, and reading makes nothing else. No code of the store's
is run: the script that MLflow serves a model by is a copy of `served_model.py`, and here the original is run.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from pipeline.artifacts import Column, Floats, describe
from pipeline.errors import BadInput
from pipeline.stages.tables.blocks import raw_frames
from pipeline.tracking.reader import origin_of
from pipeline.tracking.served_model import ServedModel, named
from pipeline.tracking.store import connect, one_line

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
    client = connect()
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        try:
            run_id = RUN_URI.fullmatch(uri)
            given = f"runs:/{origin_of(client, client.get_run(run_id[1])).info.run_id}/model" if run_id else uri
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=given, dst_path=name))
            metadata = Model.load(str(folder)).metadata or {}
        except (MlflowException, OSError) as error:
            remedy = (
                "give models:/NAME@champion, runs:/RUN_ID/model, or the id of a run that is tagged photofinish.best"
            )
            raise BadInput(f"no model can be read there: {one_line(error)}", field=uri, remedy=remedy) from error
        if not {"features", "outputs"} <= metadata.keys():
            raise BadInput("is no model of Photofinish", field=uri, remedy="predict with mlflow models predict")
        yield _predictor(folder, metadata)


def _predictor(folder: Path, metadata: Mapping[str, Any]) -> Predictor:
    if "columns" in metadata:
        columns = tuple(Column(**{**one, "categories": tuple(one["categories"])}) for one in metadata["columns"])
        served = _served(folder)
        return Predictor(columns, served.answer, takes_missing=True, reading=metadata["reading"])
    names, answers = list(metadata["features"]), _answers(folder)
    return Predictor(
        tuple(Column(name, "number") for name in names),
        lambda frame: named(answers(frame[names].to_numpy(np.float64, copy=True)), metadata["classes"]),
        takes_missing=False,
        reading={"known": names},
    )


def _answers(folder: Path) -> Callable[[Floats], Floats]:
    """Return what gives probabilities and index of the label, or predictions, for an array of features."""
    if not (folder / "data" / "model.pt2").is_file():
        served = _served(folder)
        return lambda features: np.asarray(served.answer(features))
    import torch

    network = torch.export.load(folder / "data" / "model.pt2").module()

    def answers(features: Floats) -> Floats:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(features)))

    return answers


def _served(folder: Path) -> ServedModel:
    files = {file.stem: str(file) for file in (folder / "artifacts").iterdir()}
    served = ServedModel()
    served.load_context(SimpleNamespace(artifacts=files))
    return served
