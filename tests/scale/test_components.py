"""The components of a team's installation start, answer and end; `mlflow server` is seen in test_server.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests import components
from tests.components import ObjectStore, PostgreSQL


def test_postgresql_keeps_what_was_committed_when_it_crashes(postgresql: PostgreSQL) -> None:
    """A database is made, takes no wrong password, and holds what was committed after an immediate restart."""
    postgresql.create("kept")
    postgresql.execute("CREATE TABLE numbers (number integer)", "kept")
    postgresql.execute("INSERT INTO numbers VALUES (1), (2)", "kept")
    postgresql.restart()
    assert postgresql.execute("SELECT number FROM numbers ORDER BY 1", "kept") == [(1,), (2,)]
    import psycopg2  # is there where PostgreSQL was started

    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(
            host=postgresql.host, port=postgresql.port, user="photofinish", password="wrong", dbname="kept"
        )


def test_object_store_holds_a_bucket(tmp_path: Path) -> None:
    """What is put into the bucket is listed."""
    with ObjectStore(tmp_path) as store:
        assert store.keys() == []
        requests.put(f"{store.address}/{store.bucket}/a/b.txt", data=b"text", timeout=30).raise_for_status()
        assert store.keys() == ["a/b.txt"]


def test_missing_component_fails_where_all_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A component that isn't installed is skipped with what to install, and fails in CI."""
    monkeypatch.setattr(components, "ALL_COMPONENTS", False)
    with pytest.raises(pytest.skip.Exception, match="pip install no_such_package"):
        components.needs("no_such_package", "pip install no_such_package")
    monkeypatch.setattr(components, "ALL_COMPONENTS", True)
    with pytest.raises(pytest.fail.Exception, match="pip install no_such_package"):
        components.needs("no_such_package", "pip install no_such_package")
