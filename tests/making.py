"""Small things that many tests make."""

from __future__ import annotations

from pipeline.artifacts import Dataset
from pipeline.stages.generate import DatasetSpec, generate


def dataset(name: str = "d", **keys: object) -> Dataset:
    """A dataset as an experiment file would describe it: `dataset(make="moons", noise=0.3)`."""
    return generate(name, DatasetSpec.model_validate(keys))
