"""What would be done in each of hundreds of comparisons, takes seconds, and is tested where it is the matter."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from pipeline import runner, stored
from pipeline.tracking import store

_make_tables = store._make_tables


def take(patch: pytest.MonkeyPatch) -> None:
    """Have MLflow make the tables of an empty SQLite store once a process, and pictures drawn without workers."""
    patch.setattr(store, "_make_tables", _copy_tables)
    for module in (runner, stored):
        patch.setattr(module, "drawers_that_pay", lambda _: 1)  # tests share the cores already


@cache
def empty_store() -> bytes:
    """The file with the tables that MLflow made."""
    with tempfile.TemporaryDirectory() as folder:
        _make_tables(f"sqlite:///{folder}/mlflow.db")
        return Path(folder, "mlflow.db").read_bytes()


def _copy_tables(uri: str) -> None:
    Path(make_url(uri).database).write_bytes(empty_store())
