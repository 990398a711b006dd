"""Servable models in the store: logged with all that stands around a network or estimator.

MLflow serves a network as a `pt2` graph, or by a script (`served_model.py`) beside it and beside skops. The parts that
a model is made of lie there too, networks as safetensors: `predictor.py` reads these, and runs no code of the store's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType

from pipeline import raw_columns
from pipeline.artifacts import EvaluatedModel, FittedEstimator, Network, Split, describe
from pipeline.stages.baselines.storage import save_estimator
from pipeline.stages.trusted import save_trusted, trusted_types
from pipeline.tracking import records
from pipeline.tracking.checksums import CHECKSUMS, checksums_of, load_checksums, save_checksums, verify
from pipeline.tracking.served_model import ENCODING, GRAPH, SERVING
from pipeline.tracking.store import again_when_broken_off
from pipeline.training.storage import save_network

SCRIPT = Path(__file__).with_name("served_model.py")
EXAMPLE_ROWS = 2  # MLflow takes the number of rows to be fixed where there is but one


@again_when_broken_off
def log_servable(model: EvaluatedModel, split: Split, run_id: str) -> None:
    """Log a model run's model as `model`: with encoding, scaling, threshold and label."""
    network = model.trained.network
    about = {
        **(_raw(split) if split.dataset.columns else _plain(split)),
        "metadata": records.served_metadata(split.dataset, model.threshold),
    }
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name, mlflow.start_run(run_id=run_id):
        parts = Path(name)
        _save_parts(network, split, model.label_threshold, parts)
        if isinstance(network, Network) and split.encoding is None:
            logged = _log_network(network, split, model.label_threshold, parts, about)
        else:
            logged = _log_script(network, split, model.label_threshold, parts, about)
    _log_checksums(logged.model_id)


def _log_checksums(model_id: str) -> None:
    """Lay the checksums of a logged model's files beside them."""
    client = MlflowClient()
    # By its place: by its id, MLflow would add a file of its own to what it downloads.
    place = client.get_logged_model(model_id).artifact_location
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=name))
        save_checksums(checksums_of(folder), folder)
        client.log_model_artifact(model_id, str(folder / CHECKSUMS))


def download_servable(uri: str, folder: str) -> Path:
    """Download a logged model, each of its files held against its checksum; those of older versions have none.

    Raises
    ------
    StoreError
        When a file is missing, or was damaged.
    """
    model = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    if (model / CHECKSUMS).is_file():
        verify(model, load_checksums(model / CHECKSUMS, f"model {uri}"), f"model {uri}")
    return model


def _plain(split: Split) -> dict[str, Any]:
    """Signature and example of a model that takes an array of features."""
    dataset, outputs = split.dataset, records.served_columns(split.dataset)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, dataset.n_features))]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, len(outputs)))]),
    )
    return {"signature": signature, "input_example": dataset.features[split.train[:EXAMPLE_ROWS]]}


def _raw(split: Split) -> dict[str, Any]:
    """Signature and example of a model that takes a file's columns.

    Columns are of any type to MLflow, which otherwise refuses whole numbers where some were missing in training, and
    dates as text; what they can't be is said by the model.
    """
    outputs = records.served_columns(split.dataset)
    kinds = ["string" if name == "label" else "double" for name in outputs]
    sources = dict.fromkeys(column.source for column in split.dataset.columns)
    signature = ModelSignature(
        inputs=Schema(
            [
                ColSpec(AnyType(), source)  # type: ignore[no-untyped-call]
                for source in sources
            ]
        ),
        outputs=Schema([ColSpec(kind, name) for kind, name in zip(kinds, outputs, strict=True)]),
    )
    rows = split.dataset.features[split.train[:EXAMPLE_ROWS]]
    return {"signature": signature, "input_example": raw_columns.raw_frame(rows, describe(split.dataset.columns))}


def _save_parts(network: Network | FittedEstimator, split: Split, threshold: float, folder: Path) -> None:
    """Write what `predictor.py` makes the model of again: weights or estimator, encoding, and what stands around."""
    if isinstance(network, Network):
        save_network(network, folder)
    else:
        save_estimator(network, folder)
    if split.encoding:
        save_trusted(split.encoding.transformer, folder / ENCODING)
    trusted = {file.name: trusted_types(file) for file in folder.glob("*.skops")}
    around = json.dumps({**_around(split, threshold), "trusted": trusted}, indent=2, ensure_ascii=False)
    (folder / SERVING).write_text(around + "\n", encoding="utf-8")


def _log_network(network: Network, split: Split, threshold: float, parts: Path, about: Mapping[str, Any]) -> ModelInfo:
    """Log a network with scaling, threshold and label in one graph."""
    from pipeline.training.serving import ServableModel

    logged: ModelInfo = mlflow.pytorch.log_model(
        ServableModel(network, split, threshold),
        name="model",
        serialization_format="pt2",
        extra_files=[str(file) for file in parts.iterdir()],
        pip_requirements=_requirements("torch", "numpy"),
        **about,
    )
    return logged


def _log_script(
    network: Network | FittedEstimator, split: Split, threshold: float, parts: Path, about: Mapping[str, Any]
) -> ModelInfo:
    """Log what our script serves: encoding and estimator as skops, a network as a graph."""
    libraries = ["scikit-learn", "skops", "numpy", "pandas"]
    if isinstance(network, Network):
        from pipeline.training.serving import export

        export(network, split, threshold, parts / GRAPH)
        libraries.append("torch")
    logged: ModelInfo = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(SCRIPT),
        code_paths=[raw_columns.__file__] if split.dataset.columns else None,
        artifacts={file.name: str(file) for file in parts.iterdir()},
        pip_requirements=_requirements(*libraries),
        **about,
    )
    return logged


def _around(split: Split, threshold: float) -> dict[str, Any]:
    """Return what the script needs to know besides the model itself."""
    return {
        "task": split.dataset.task,
        "classes": list(split.dataset.class_names),
        "columns": describe(split.dataset.columns),
        "center": split.center.tolist(),
        "scale": split.scale.tolist(),
        "target_center": split.target_center,
        "target_scale": split.target_scale,
        "threshold": threshold,
    }


def _requirements(*packages: str) -> list[str]:
    from importlib.metadata import version

    # The public version: a local build label such as +cpu can't be installed from an index.
    return [f"{package}=={version(package).split('+')[0]}" for package in packages]
