from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from pipeline import databases
from pipeline.cli import main
from tests.conftest import TINY, TUNING, runs_of, wait_for_runs
from tests.faults.making import finish, start, start_anew, start_many, wait_until


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """A database that another connection writes to, and doesn't finish."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.slow
def test_eight_first_starts_at_once(tmp_path: Path) -> None:
    """Eight processes that come upon no databases at all, at one moment, all succeed, and no lock file is left."""
    process, names = start_many(tmp_path, 8, MLFLOW_EXPERIMENT_NAME="together")
    code, out, err = finish(process)
    assert (code, out.splitlines()[-1], err) == (0, str([0] * 8), "")
    assert not [path for path in tmp_path.iterdir() if "lock" in path.name]
    client, runs = runs_of(tmp_path)
    assert {run.data.tags["photofinish.experiment"] for run in runs} == names
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert client.get_experiment_by_name("together") is not None
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path / 'optuna.db'}") == []


def test_first_start_that_is_killed_leaves_no_half_of_a_database(workspace: Path) -> None:
    """Killed by SIGKILL while MLflow's tables are made, the next start makes them, and runs."""
    (workspace / "elsewhere").mkdir()
    process = start_anew(workspace, "run", "tiny.yaml", "--until", "split", TMPDIR=str(workspace / "elsewhere"))

    def half_made() -> bool:
        return any(file.stat().st_size > 100_000 for file in workspace.rglob("mlflow.db"))

    assert wait_until(half_made)
    process.kill()
    finish(process)
    assert not (workspace / "mlflow.db").exists()
    assert main(["run", "tiny.yaml", "--until", "split"]) == 0


@pytest.mark.parametrize(("command", "file"), [("run", "mlflow.db"), ("tune", "optuna.db")])
def test_database_that_stays_locked(
    workspace: Path, command: str, file: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the patience with a locked database is at its end: exit code 1, and one line that says how long it was."""
    monkeypatch.setenv(databases.PATIENCE, "0.5")
    (workspace / "tiny.yaml").write_text(TINY + TUNING, encoding="utf-8")
    assert main(["tune", "tiny.yaml", "--trials", "1", "--seeds", "1"]) == 0
    capfd.readouterr()
    with locked(workspace / file):
        started = time.monotonic()
        assert main([command, "tiny.yaml", "--trials", "2"]) == 1
        assert 0.5 < time.monotonic() - started < 20
    said = capfd.readouterr().err
    assert said.count("\n") == 1, said
    assert file in said
    assert "has been locked by another process for 0.5 seconds; end whatever holds it" in said


@pytest.mark.slow
@pytest.mark.longest
def test_databases_that_are_locked_for_half_a_minute(tmp_path: Path) -> None:
    """Both databases locked for 30 seconds in the midst of a comparison: it goes on, and everything is there once."""
    (tmp_path / "tiny.yaml").write_text(TINY + TUNING, encoding="utf-8")
    process = start(tmp_path, "run", "tiny.yaml", "--seeds", "2", "--until", "evaluate")
    wait_for_runs(tmp_path, 2, process)
    with locked(tmp_path / "mlflow.db"), locked(tmp_path / "optuna.db"):
        time.sleep(30)
        assert process.poll() is None
    code, _, err = finish(process)
    assert (code, err) == (0, "")
    _, runs = runs_of(tmp_path)
    roles = [run.data.tags["photofinish.role"] for run in runs]
    assert {role: roles.count(role) for role in set(roles)} == {"comparison": 1, "study": 4, "trial": 16, "model": 8}
    assert all(run.data.tags["photofinish.status"] == "complete" for run in runs if "test/accuracy" in run.data.metrics)
