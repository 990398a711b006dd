"""Servable models in the store: logged with all that stands around a network or estimator.

MLflow serves networks from a graph (`pt2`), which is a way to hand code on: reading one trusts whoever wrote the store.
So a network's weights lie beside its graph as safetensors, and `predictor.py` reads them alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
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
from pipeline.stages.baselines.storage import FILE, save_estimator
from pipeline.stages.trusted import save_trusted, trusted_types
from pipeline.tracking import records
from pipeline.tracking.checksums import CHECKSUMS, checksums_of, load_checksums, save_checksums, verify
from pipeline.training.storage import save_network

SCRIPT = Path(__file__).with_name("served_model.py")
OWN, SERVING = "photofinish", "serving.json"  # folder in a model with what `predict` reads, and what stands around it
EXAMPLE_ROWS = 2  # MLflow takes the number of rows to be fixed where there is but one


def log_servable(model: EvaluatedModel, split: Split, run_id: str) -> None:
    """Log a model run's model as `model`: with encoding, scaling, threshold and label."""
    network = model.trained.network
    about = {
        **(_raw(split) if split.dataset.columns else _plain(split)),
        "metadata": records.served_metadata(split.dataset, model.threshold),
    }
    with mlflow.start_run(run_id=run_id):
        if isinstance(network, Network) and split.encoding is None:
            logged = _log_network(network, split, model.label_threshold, about)
        else:
            logged = _log_script(network, split, model.label_threshold, about)
    _complete(logged.model_id, network, split, model.label_threshold)


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


def _complete(model_id: str, network: Network | FittedEstimator, split: Split, threshold: float) -> None:
    """Lay beside a logged model what `predict` reads in a graph's place, and the checksums of all its files."""
    client = MlflowClient()
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        if isinstance(network, Network):
            own = Path(name) / "own"
            own.mkdir()
            save_network(network, own)
            (own / SERVING).write_text(_serving(split, threshold, {}), encoding="utf-8")
            client.log_model_artifacts(model_id, str(own), OWN)
        whole = Path(name) / "whole"
        whole.mkdir()
        # By its place: by its id, MLflow would add a file of its own to what it downloads.
        place = client.get_logged_model(model_id).artifact_location
        written = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=str(whole)))
        save_checksums(checksums_of(written), written)
        client.log_model_artifact(model_id, str(written / CHECKSUMS))


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


def _log_network(network: Network, split: Split, threshold: float, about: Mapping[str, Any]) -> ModelInfo:
    """Log a network with scaling, threshold and label in one graph."""
    from pipeline.training.serving import ServableModel

    logged: ModelInfo = mlflow.pytorch.log_model(
        ServableModel(network, split, threshold),
        name="model",
        serialization_format="pt2",
        pip_requirements=_requirements("torch", "numpy"),
        **about,
    )
    return logged


def _log_script(
    network: Network | FittedEstimator, split: Split, threshold: float, about: Mapping[str, Any]
) -> ModelInfo:
    """Log what our script serves: encoding and estimator as skops, a network as a graph; nothing is pickled."""
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        folder = Path(name)
        files: dict[str, Path] = {}
        if split.encoding:
            files["encoding"] = folder / "encoding.skops"
            save_trusted(split.encoding.transformer, files["encoding"])
        if isinstance(network, FittedEstimator):
            save_estimator(network, folder)
            files["estimator"] = folder / FILE
            requirements = _requirements("scikit-learn", "skops", "numpy", "pandas")
        else:
            from pipeline.training.serving import export

            files["network"] = folder / "network.pt2"
            export(network, split, threshold, files["network"])
            requirements = _requirements("torch", "scikit-learn", "skops", "numpy", "pandas")
        trusted = {kind: trusted_types(file) for kind, file in files.items() if file.suffix == ".skops"}
        files["serving"] = folder / SERVING
        files["serving"].write_text(_serving(split, threshold, trusted), encoding="utf-8")
        logged: ModelInfo = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SCRIPT),
            code_paths=[raw_columns.__file__] if split.dataset.columns else None,
            artifacts={kind: str(file) for kind, file in files.items()},
            pip_requirements=requirements,
            **about,
        )
    return logged


def _serving(split: Split, threshold: float, trusted: Mapping[str, Sequence[str]]) -> str:
    """Write what one needs to know besides the model itself; `trusted` are the types that skops may make."""
    around = {
        "task": split.dataset.task,
        "classes": list(split.dataset.class_names),
        "columns": describe(split.dataset.columns),
        "center": split.center.tolist(),
        "scale": split.scale.tolist(),
        "target_center": split.target_center,
        "target_scale": split.target_scale,
        "threshold": threshold,
        "trusted": trusted,
    }
    return json.dumps(around, indent=2, ensure_ascii=False) + "\n"


def _requirements(*packages: str) -> list[str]:
    from importlib.metadata import version

    # The public version: a local build label such as +cpu can't be installed from an index.
    return [f"{package}=={version(package).split('+')[0]}" for package in packages]
