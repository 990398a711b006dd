from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tests.scale.making import found, here, numbers


@dataclass(frozen=True)
class Alone:
    """What a comparison gives that one process ran on SQLite."""

    numbers: pd.DataFrame
    found: list[tuple[Any, ...]]


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """`photofinish run small.yaml` as on a laptop, done once."""
    folder = tmp_path_factory.mktemp("alone")
    assert here(folder, "run", "small.yaml", "--until", "evaluate") == 0
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return Alone(numbers(client, folder), found(f"sqlite:///{folder / 'optuna.db'}"))
