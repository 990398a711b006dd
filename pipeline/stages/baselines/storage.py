"""A fitted estimator on disk: skops, a JSON that says what it is, and no pickle."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.artifacts import FittedEstimator
from pipeline.errors import StoreError
from pipeline.stages.trusted import load_trusted, save_trusted

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
