"""Work on a Dask cluster of real processes: killed workers, killed schedulers, and numbers that stay the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline import cluster as module
from pipeline.cli import main
from pipeline.cluster import Cluster, Work, joined
from pipeline.errors import BadInput, ClusterError
from pipeline.execution import map_tasks, workers
from tests.components import needs
from tests.conftest import REPOSITORY, RESAMPLED, TINY, Finished, finish, wait_for_runs
from tests.dasking import Beat, DaskCluster, beat, begun, die, end, fail, total
from tests.faults.making import ENDLESS, start, wait_until
from tests.faults.making import finish as finish_process
from tests.faults.test_going_on import assert_same_tables
from tests.faults.test_signals import leftovers

CIRCLES = "".join(line for line in TINY.splitlines(keepends=True) if "blobs" not in line)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _dask() -> None:
    needs("distributed", "pip install 'photofinish[dask]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskCluster]:
    """Two workers that no test harms."""
    with DaskCluster(2) as started:
        yield started


def tables(folder: Path) -> Path:
    """Where a folder's only comparison has its tables."""
    (path,) = (folder / "mlruns").rglob("metrics.csv")
    return path.parent


def test_numbers_are_those_of_one_process(
    tmp_path: Path, cluster: DaskCluster, resampled: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with a search and resamples gives the same tables, to the bit, on a cluster; nothing stays behind."""
    finish(RESAMPLED, tmp_path, "--cluster", cluster.address, "--until", "evaluate")
    assert_same_tables(tables(tmp_path), tables(resampled.folder))
    assert not (tmp_path / ".photofinish").exists()
    assert "cluster" not in capsys.readouterr().err


def test_local_cluster_is_started_and_ended(tmp_path: Path) -> None:
    """`local:2` needs nothing to be there before, says nothing, and leaves no process."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    process = start(tmp_path, "run", "tiny.yaml", "--cluster", "local:2", "--until", "train", "--seeds", "1")
    code, _, err = finish_process(process)
    assert (code, err) == (0, "")
    assert wait_until(lambda: not leftovers(tmp_path), 10)


def test_large_array_is_carried_once(cluster: DaskCluster) -> None:
    """Tasks over one array, or over equal ones, go without it; the cluster is given it once, and keeps it."""
    array = np.arange(2**18, dtype=np.float64)  # 2 MiB
    tasks = [(number, array) for number in range(3)] + [(3, array.copy())]
    notes: list[str] = []
    with joined(cluster.address, notes.append) as found:
        assert found is not None
        packed, large = found._arrays.pack(tasks)
        assert len(packed) < 2000
        assert len(large) == 1
        with workers(1, found) as submit:
            pending = [submit(total, task) for task in tasks]
            assert [one.result() for one in pending] == [array.sum() + number for number, _ in tasks]
        assert found._client is not None
        given = found._client.run_on_scheduler(
            lambda dask_scheduler: dask_scheduler.task_prefixes["loads"].state_counts["memory"]
        )
        assert given == 1
        held = found._client.run(
            lambda dask_worker: [one.nbytes for one in dask_worker.data.values() if hasattr(one, "nbytes")]
        )
        assert sorted(held.values()) in ([[], [array.nbytes]], [[array.nbytes]] * 2)
    assert notes == []


def test_failure_of_a_task_is_its_own(cluster: DaskCluster) -> None:
    """What a task raises comes out as it is, also where it looks like a broken connection; it isn't tried again."""
    notes: list[str] = []
    with joined(cluster.address, notes.append) as found, pytest.raises(FileNotFoundError, match="not there"):
        list(map_tasks(fail, ["not there"], 1, found))
    assert notes == []


def hand_in(found: Cluster, folder: Path, count: int, array: np.ndarray | None = None) -> list[Work]:
    """Hand in tasks that wait for `go`, and wait until the first has begun."""
    works = [found.submit(beat, Beat(folder, number, array)) for number in range(count)]
    assert wait_until(lambda: len(begun(folder, 0)) == 1)
    return works


@pytest.mark.parametrize(("count", "array"), [(4, None), (1, np.ones(2**18))], ids=["several", "array"])
def test_killed_worker_loses_nothing(tmp_path: Path, count: int, array: np.ndarray | None) -> None:
    """What a worker was doing when it was killed is done by another; also where it alone held the array for it."""
    notes: list[str] = []
    with DaskCluster(2) as lossy, joined(lossy.address, notes.append) as found:
        assert found is not None
        works = hand_in(found, tmp_path, count, array)
        (victim,) = [worker for worker in lossy.workers if worker.pid in begun(tmp_path, 0)]
        end(victim)
        (tmp_path / "go").touch()
        assert [work.result() for work in works] == list(range(count))
        assert len(begun(tmp_path, 0)) == 2
    assert notes == []


def test_restarted_scheduler_is_given_its_work_again(tmp_path: Path) -> None:
    """A scheduler that is killed, and started again at its address with new workers, loses only time."""
    notes: list[str] = []
    array = np.ones(2**18)
    with DaskCluster(1) as lossy, joined(lossy.address, notes.append) as found:
        assert found is not None
        done = found.submit(total, (1, array))
        assert done.result() == array.sum() + 1
        works = [*hand_in(found, tmp_path, 2), found.submit(total, (2, array))]
        lossy.kill()
        lossy.start()
        (tmp_path / "go").touch()
        assert [work.result() for work in works] == [0, 1, array.sum() + 2]
    assert [note.split(";")[0] for note in notes] == [
        f"{lossy.address} has lost its work",
        f"{lossy.address} is there again, and is given its work again",
    ]


def test_scheduler_that_stays_away_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a scheduler is killed for good the work goes on in the driver, which says so; also what comes after it."""
    monkeypatch.setattr(module, "SECONDS_TO_RETURN", 3.0)
    notes: list[str] = []
    with DaskCluster(1) as lossy, joined(lossy.address, notes.append) as found:
        assert found is not None
        works = hand_in(found, tmp_path, 2)
        lossy.kill()
        (tmp_path / "go").touch()
        assert [work.result() for work in works] == [0, 1]
        assert list(map_tasks(abs, [-3], 1, found)) == [3]
    assert os.getpid() in begun(tmp_path, 0)
    assert notes[-1] == f"{lossy.address} is given up: the work goes on in this process"


def test_task_that_kills_its_workers_ends_in_one_line() -> None:
    """A task whose workers die, with its array, is tried again, and then an error; it is never done in the driver."""
    notes: list[str] = []
    with (
        DaskCluster(2, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as lossy,
        joined(lossy.address, notes.append) as found,
        pytest.raises(ClusterError, match=f"workers of {lossy.address} die of a task again and again, last tcp://"),
    ):
        list(map_tasks(die, [np.ones(2**18)], 1, found))
    assert notes == []


@contextmanager
def endless(folder: Path, address: str, **options: bool) -> Iterator[subprocess.Popen[str]]:
    """A run in the midst of a training that never ends, with all others done."""
    (folder / "tiny.yaml").write_text(CIRCLES, encoding="utf-8")
    few = ("--set", ENDLESS, "--seeds", "1", "--until", "evaluate")
    process = start(folder, "run", "tiny.yaml", *few, "--cluster", address, **options)
    try:
        wait_for_runs(folder, 2, process)
        yield process
    finally:
        finish_process(process, 30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_unwanted_training_ends(tmp_path: Path, number: signal.Signals) -> None:
    """When a driver is interrupted or killed, what its workers train for it ends within seconds."""
    with DaskCluster(1) as busy:
        with endless(tmp_path, busy.address) as process:
            process.send_signal(number)
            assert process.wait(30) == (130 if number == signal.SIGINT else -signal.SIGKILL)
        ended = time.monotonic()
        with joined(busy.address, print) as found:
            assert list(map_tasks(abs, [-3], 1, found)) == [3]
        assert time.monotonic() - ended < 20
        assert busy.workers[0].poll() is None


def test_interrupted_local_cluster_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C, which reaches workers too, ends a run on `local:1` as any run, without a word of Dask's."""
    with endless(tmp_path, "local:1", own_group=True) as process:
        os.killpg(process.pid, signal.SIGINT)
        code, _, err = finish_process(process, 30)
    assert (code, err) == (130, "photofinish: interrupted: what was finished is kept, the rest is marked KILLED\n")
    assert wait_until(lambda: not leftovers(tmp_path), 10)


def complaint(address: str) -> str:
    with pytest.raises(BadInput) as caught, joined(address, print):
        pass
    assert caught.value.field == "cluster"
    assert caught.value.remedy
    return caught.value.problem


@pytest.mark.parametrize("address", ["local:0", "local", "10.0.0.1:8786", "http://127.0.0.1:8786", "tcp://host"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """Anything but a scheduler's address or `local:N` is bad input."""
    assert complaint(address) == f"{address!r} is no address of a cluster"


def test_dask_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Dask the line says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"pip install 'photofinish\[dask\]'"), joined("local:2", print):
        pass


def test_nothing_is_created_where_nobody_answers(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cluster that isn't there is found before any store is touched."""
    with DaskCluster(0) as gone:
        gone.kill()
    assert main(["run", "tiny.yaml", "--cluster", gone.address]) == 2
    assert capsys.readouterr().err == (
        f"photofinish: --cluster: nobody answers at {gone.address};"
        " start a scheduler there (dask scheduler), or correct the address\n"
    )
    assert [path.name for path in workspace.iterdir()] == ["tiny.yaml"]


def test_jobs_and_cluster_exclude_each_other(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Local workers and a cluster can't be asked for at once; an empty address, as MLproject gives, asks for none."""
    assert main(["run", "tiny.yaml", "--cluster", "local:2", "--jobs", "2"]) == 2
    assert "photofinish: --cluster: local:2 with jobs 2; give one of them" in capsys.readouterr().err
    assert main(["run", "tiny.yaml", "--cluster=", "--jobs", "2", "--until", "split"]) == 0


def test_workers_that_would_give_other_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No workers, several threads, another code: each is one line, and a worker that comes later is no way round it."""
    monkeypatch.setattr(module, "SECONDS_FOR_WORKERS", 0.5)
    changed = tmp_path / "pipeline"
    shutil.copytree(REPOSITORY / "pipeline", changed, ignore=shutil.ignore_patterns("__pycache__"))
    with (changed / "units.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    with DaskCluster(0) as odd:
        assert complaint(odd.address) == f"{odd.address} has no workers"
        threaded = odd.start_worker("--nthreads", "2")
        assert wait_until(lambda: complaint(odd.address).endswith("has 2 threads"))
        end(threaded)
        unlike = odd.start_worker("--nthreads", "1", PYTHONPATH=str(tmp_path))
        assert wait_until(lambda: "has photofinish 0.1.0 (" in complaint(odd.address))
        end(unlike)
