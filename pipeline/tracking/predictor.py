"""A servable model read back from the store, to predict tables.

Networks lie there as `pt2`, estimators and encodings as skops, and reading makes nothing else. No code of the store's
is run: the script that MLflow serves a model by is a copy of `served_model.py`, and here the original is run.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from pipeline.artifacts import Column, Floats
from pipeline.errors import BadInput
from pipeline.tracking.served_model import ServedModel, named
from pipeline.tracking.store import connect, one_line

RUN_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model that predicts tables of raw columns."""

    columns: tuple[Column, ...]  # to read from a table
    predict: Callable[[pd.DataFrame], pd.DataFrame]  # label and probability of each class, or prediction
    takes_missing: bool  # whether it knows what to put in the place of a missing value
    reading: Mapping[str, Any] = field(default_factory=dict)  # as of `Dataset`


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
        return Predictor(columns, served.answer, True, metadata["reading"])
    names, answers = list(metadata["features"]), _answers(folder)
    return Predictor(
        tuple(Column(name, "number") for name in names),
        lambda frame: named(answers(frame[names].to_numpy(np.float64)), metadata["classes"]),
        takes_missing=False,
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
