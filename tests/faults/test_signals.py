from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.processes import look
from tests.conftest import TINY, runs_of, wait_for_runs
from tests.faults.making import finish, hear, start_script, wait_until
from tests.test_mlflow_run import finish as finish_mlflow
from tests.test_mlflow_run import mlflow_run, project

__all__ = ["project"]

# The main thread is deaf: SQLite waits for a lock, in C, and signals are held back as during every write.
DEAF = """
import sqlite3, sys
from pipeline import interruption
from pipeline.errors import Interrupted
interruption.install()
try:
    with interruption.deferred():
        connection = sqlite3.connect("locked.db", timeout=float(sys.argv[1]))
        print("ready", flush=True)
        try:
            connection.execute("CREATE TABLE t (x)")
        except sqlite3.OperationalError:
            print("whole", flush=True)
except Interrupted as error:
    sys.exit(error.exit_code)
"""

WORKERS = """
import os, time
from pipeline.execution import workers
with workers(2) as submit:
    pids = {submit(os.getpid).result() for _ in range(20)}
    pending = [submit(time.sleep, 600) for _ in range(2)]
    print(*pids, flush=True)
    pending[0].result()
"""


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder with a database that stays locked."""
    connection = sqlite3.connect(tmp_path / "locked.db")
    connection.execute("BEGIN EXCLUSIVE")
    yield tmp_path
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_at_once(locked: Path, number: signal.Signals) -> None:
    """A second SIGINT or SIGTERM ends the process at once, while the first is held back by a write that can't go on."""
    process = start_script(locked, DEAF, "60")
    assert hear(process) == "ready"
    process.send_signal(number)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(number)
    code, out, err = finish(process, 5)
    assert (code, out) == (128 + number, "")
    assert err == "photofinish: interrupted again, and ended at once; the next run closes what is left open\n"


def test_signals_of_one_moment_are_one_request(locked: Path) -> None:
    """Ctrl-C under `mlflow run` sends SIGINT and then SIGTERM: what is whole is still written, and the first counts."""
    process = start_script(locked, DEAF, "2")
    assert hear(process) == "ready"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.05)
    assert finish(process, 20) == (130, "whole\n", "")


def test_workers_end_with_the_process_they_work_for(tmp_path: Path) -> None:
    """Workers in the midst of a task are gone soon after the process that started them was killed outright."""
    process = start_script(tmp_path, WORKERS)
    pids = [int(word) for word in hear(process).split()]
    assert pids
    assert all(look(pid) is not None for pid in pids)
    process.kill()
    finish(process, 10)
    assert wait_until(lambda: all(look(pid) is None for pid in pids), 20)


@pytest.mark.slow
def test_sigterm_to_mlflow_run_alone(project: Path) -> None:
    """SIGTERM to the `mlflow run` process alone leaves nothing running; the comparison is KILLED, the rest is kept."""
    path = project / "experiments/tiny.yaml"
    endless = "  endless: {hidden_units: [4], training: {lr: 0.000001, epochs: 10000000}}\ntraining:"
    path.write_text(TINY.replace("training:", endless, 1), encoding="utf-8")
    process = mlflow_run(project, "-P", "experiment=experiments/tiny.yaml")
    wait_for_runs(project, 6, process)
    (parent,) = [run for run in runs_of(project)[1] if run.data.tags["photofinish.role"] == "comparison"]
    pid = int(parent.data.tags["photofinish.owner"].split("process ")[1].split()[0])
    try:
        assert look(pid) is not None
        process.terminate()
        finish_mlflow(process)
        assert wait_until(lambda: look(pid) is None)
    finally:
        if look(pid) is not None:
            os.kill(pid, signal.SIGKILL)
    status = {run.data.tags["photofinish.role"]: run.info.status for run in runs_of(project)[1]}
    assert status == {"comparison": "KILLED", "model": "FINISHED"}
    assert wait_until(lambda: not leftovers(project), 10)


def leftovers(folder: Path) -> list[int]:
    """Processes whose working directory is a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.resolve() == folder and look(int(link.parent.name)) is not None:
                found.append(int(link.parent.name))
        except OSError:
            continue
    return found
