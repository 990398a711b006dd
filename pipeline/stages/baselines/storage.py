"""A fitted estimator on disk: skops, a JSON that says what it is, and no pickle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.artifacts import FittedEstimator, TrainedModel
from pipeline.errors import StoreError
from pipeline.stages.baselines.fitting import Fit
from pipeline.stages.trusted import load_trusted, save_trusted
from pipeline.training.sealed import SUFFIX, read_sealed, write_sealed

FILE = "estimator.skops"
DESCRIPTION = "estimator.json"


def save_estimator(fitted: FittedEstimator, folder: Path) -> None:
    """Write `estimator.skops`, unless fitting failed, and `estimator.json`."""
    description = {
        "sklearn": fitted.name,
        "arguments": dict(fitted.arguments),
        "version": fitted.version,
        "notes": list(fitted.notes),
        "input": "scaled features, in double precision",
        "output": "class probabilities, or the scaled prediction of a regression",
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    if fitted.estimator is not None:
        save_trusted(fitted.estimator, folder / FILE)


def load_estimator(folder: Path) -> FittedEstimator:
    """Read a fitted estimator back.

    Raises
    ------
    StoreError
        When a file is missing or damaged, or would make something that is neither scikit-learn's nor numpy's.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return FittedEstimator(
            description["sklearn"],
            description["arguments"],
            description["version"],
            load_trusted(folder / FILE),
            tuple(description["notes"]),
        )
    except (OSError, ValueError, KeyError, StoreError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{folder} holds no estimator that can be read: {reason}") from error


def keep_fits(models: Sequence[TrainedModel], folder: Path) -> None:
    """Keep fitted estimators, a sealed file each, until they can be sent to the store; networks are kept in training.

    Raises
    ------
    StoreError
        When a file can't be written.
    """
    for model in models:
        if isinstance(model.network, FittedEstimator) and model.failure is None:
            _keep_fit(model.network, model, folder)


def _keep_fit(fitted: FittedEstimator, model: TrainedModel, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        save_estimator(fitted, Path(name))
        files = {file: np.frombuffer((Path(name) / file).read_bytes(), np.uint8) for file in (FILE, DESCRIPTION)}
    about = {"seed": model.seed, "started_at": model.started_at, "seconds": model.seconds}
    write_sealed(folder / f"{model.seed}{SUFFIX}", files, about)


def load_fits(folder: Path | None) -> dict[int, Fit]:
    """Read the estimators that a folder holds, by their seeds.

    Raises
    ------
    StoreError
        When a file is damaged, or would make something that is neither scikit-learn's nor numpy's.
    """
    kept = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder is not None else []:
        files, about = read_sealed(path)
        with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
            for file in (FILE, DESCRIPTION):
                (Path(name) / file).write_bytes(files[file].tobytes())
            kept[about["seed"]] = Fit(load_estimator(Path(name)), about["started_at"], about["seconds"])
    return kept
