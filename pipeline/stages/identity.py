"""What a model run's data are, as part of its fingerprint."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from pipeline.artifacts import Split
from pipeline.comparison.thresholds import Goal
from pipeline.stages.encoding import VERSION


def data_identity(split: Split, goal: Goal) -> dict[str, Any]:
    """Name everything that determines a run's values apart from its model: data, rows, weights, scaling, threshold."""
    rows = hashlib.sha256()
    for array in (split.train, split.validation, split.test, split.center, split.scale):
        rows.update(np.ascontiguousarray(array).tobytes() + b"|")
    identity: dict[str, Any] = {
        "data": split.dataset.digest,
        "split": rows.hexdigest(),
        "target": [split.target_center, split.target_scale],
    }
    if split.encoding:
        identity["encoding"] = VERSION
    if split.dataset.weights is not None:
        identity["weights"] = hashlib.sha256(split.dataset.weights[split.train].tobytes()).hexdigest()
    if split.dataset.task == "binary" and not goal.is_default:
        identity["threshold"] = goal.rule
    return identity
