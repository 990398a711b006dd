from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.cli import main
from pipeline.errors import Occupied
from pipeline.processes import look
from pipeline.tracking import lease
from pipeline.tracking.lease import CLAIM, Owner
from pipeline.tracking.store import connect
from tests.conftest import own_store, runs_of, wait_for_runs
from tests.faults.making import ENDLESS, finish, hear, start, start_script, tell

# Takes the lease of the experiment named by each line, says what became of it, and gives it back at an empty line.
RACER = """
import sys
from pipeline.errors import Occupied
from pipeline.tracking import lease
from pipeline.tracking.store import connect
client = connect()
print("ready", flush=True)
for line in sys.stdin:
    try:
        with lease.take(client, "0", line.strip(), excludes=True, note=print):
            print("holds", flush=True)
            sys.stdin.readline()
    except Occupied:
        print("withdrew", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty store, made once."""
    folder = tmp_path_factory.mktemp("empty")
    with own_store(folder):
        connect(make=True)
    return folder / "mlflow.db"


@pytest.fixture
def client(workspace: Path, empty: Path) -> MlflowClient:
    """An empty store."""
    shutil.copy(empty, workspace)
    return connect()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals that a test can wait for."""
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 1.5)


def claims(client: MlflowClient, experiment_id: str = "0") -> list[str]:
    return [key for key in client.get_experiment(experiment_id).tags if key.startswith(CLAIM)]


def write(client: MlflowClient, owner: Owner) -> None:
    client.set_experiment_tag("0", CLAIM + owner.token, owner.model_dump_json())


@pytest.fixture
def elsewhere() -> Owner:
    """A process of another machine, whose clock is far ahead."""
    return Owner(experiment="tiny", excludes=True, since="2099-01-01 00:00:00 UTC", place="elsewhere", holds=True)


@pytest.fixture
def alive(client: MlflowClient, elsewhere: Owner) -> Iterator[Owner]:
    """The same, with its heart beating."""
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.1):
            count += 1
            write(client, elsewhere.model_copy(update={"beat": -count}))

    thread = threading.Thread(target=beat)
    write(client, elsewhere)
    thread.start()
    yield elsewhere
    stop.set()
    thread.join()


def taken(client: MlflowClient, experiment: str = "tiny", *, excludes: bool = True) -> list[str]:
    """Take a lease, and return what was noted meanwhile."""
    notes: list[str] = []
    with lease.take(client, "0", experiment, excludes=excludes, note=notes.append):
        assert claims(client)
    return notes


def test_second_run_stops_with_its_line(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a comparison runs, a second one of the same experiment stops with a line that names process and remedy.

    Nothing is created; under `mlflow run` its run ends FAILED with that line. What trains nothing isn't kept out. And
    when the process is killed, the next run closes what it left open, with the reason, though its clock is behind.
    """
    process = start(workspace, "run", "tiny.yaml", "--set", ENDLESS)
    try:
        wait_for_runs(workspace, 6, process)
        _, before = runs_of(workspace)
        line = f"photofinish: tiny is being run already, by process {process.pid} on "
        assert main(["run", "tiny.yaml"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(line)
        assert said.endswith(f"end it there by: kill {process.pid}\n")
        client, after = runs_of(workspace)
        assert {run.info.run_id for run in after} == {run.info.run_id for run in before}

        given = client.create_run(before[0].info.experiment_id).info.run_id
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_RUN_ID", given)
            assert main(["run", "tiny.yaml"]) == 1
        found = client.get_run(given)
        assert found.info.status == "FAILED"
        assert f"photofinish: {found.data.tags['photofinish.reason']}" == said.rstrip("\n")

        assert main(["run", "tiny.yaml", "--until", "split"]) == 0
        (parent,) = [run for run in runs_of(workspace)[1] if run.info.status == "RUNNING"]
        open_child = client.create_run(parent.info.experiment_id, tags={"mlflow.parentRunId": parent.info.run_id})
    finally:
        process.kill()
        finish(process)

    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() - 86400)
        assert main(["run", "tiny.yaml", "--until", "split"]) == 0
    for run_id in (parent.info.run_id, open_child.info.run_id):
        run = client.get_run(run_id)
        assert run.info.status == "KILLED"
        assert run.data.tags["photofinish.reason"].startswith(f"its process {process.pid} on ")
        assert run.data.tags["photofinish.reason"].endswith(" is gone")
    assert claims(client, parent.info.experiment_id) == []


@pytest.mark.slow
def test_of_several_starts_at_one_moment_one_stays(client: MlflowClient, workspace: Path) -> None:
    """Three processes that take the same lease at the same moment: time after time one holds it, and two withdraw."""
    processes = [start_script(workspace, RACER) for _ in range(3)]
    try:
        for process in processes:
            assert hear(process) == "ready"
        for turn in range(5):
            for process in processes:
                tell(process, f"turn {turn}")
            assert sorted(hear(process) for process in processes) == ["holds", *["withdrew"] * 2]
            for process in processes:
                tell(process, "")
            assert all(process.poll() is None for process in processes)
    finally:
        for process in processes:
            finish(process)


def test_owner_of_another_machine_is_alive_while_its_claim_changes(
    client: MlflowClient, quick: None, alive: Owner
) -> None:
    """Whose heart beats keeps the experiment, whatever the clocks and numbers say; nothing is left of who asked."""
    before = claims(client)
    with pytest.raises(Occupied, match=r"by process \d+ on elsewhere, since 2099"):
        taken(client)
    assert claims(client) == before
    assert taken(client, "another")
    assert taken(client, excludes=False)


def test_silent_owner_of_another_machine_is_dead(client: MlflowClient, quick: None, elsewhere: Owner) -> None:
    """A claim that doesn't change while one watches is withdrawn, its open comparison closed, and one is told why."""
    write(client, elsewhere)
    run = client.create_run("0", tags=lease.owner_tag(elsewhere))
    assert taken(client) == [f"looking whether anybody is alive: {elsewhere}"]
    assert claims(client) == []
    found = client.get_run(run.info.run_id)
    assert (found.info.status, found.data.tags["photofinish.reason"]) == ("KILLED", f"its {elsewhere} is gone")


def test_later_process_of_the_same_number_is_another(client: MlflowClient) -> None:
    """A process that has the number of a dead owner, and another start, isn't taken for it."""
    process = look(1)
    assert process is not None
    owner = Owner(experiment="tiny", excludes=True, pid=1, started=process.started, holds=True)
    write(client, owner)
    with pytest.raises(Occupied):
        taken(client)
    write(client, owner.model_copy(update={"started": "1"}))
    assert taken(client) == []


def test_claim_that_makes_no_sense_is_no_claim(client: MlflowClient) -> None:
    """A tag that somebody else wrote in the place of a claim, or another version, keeps nobody out."""
    client.set_experiment_tag("0", f"{CLAIM}x", json.dumps({"experiment": "tiny", "pid": "\x1b[2J"}))
    client.set_experiment_tag("0", f"{CLAIM}y", "no JSON")
    assert taken(client) == []


def test_finished_runs_of_the_dead_and_open_ones_of_the_living_stay(client: MlflowClient) -> None:
    """Only what is open, and whose owner is dead, is closed: not a search that goes on beside, nor a run of others."""
    dead = Owner(experiment="tiny", excludes=True, pid=1, started="1")
    finished = client.create_run("0", tags=lease.owner_tag(dead)).info.run_id
    client.set_terminated(finished)
    nobodys = client.create_run("0").info.run_id
    with lease.take(client, "0", "tiny", excludes=False, note=print) as owner:
        living = client.create_run("0", tags=lease.owner_tag(owner))
        taken(client)
        assert lease.is_alive(client.get_run(living.info.run_id))
    status = {run.info.run_id: run.info.status for run in client.search_runs(["0"])}
    assert status == {finished: "FINISHED", nobodys: "RUNNING", living.info.run_id: "RUNNING"}


def test_who_was_taken_for_dead_stops(workspace: Path) -> None:
    """A process whose claim another one has withdrawn ends as by SIGTERM, instead of writing beside the new owner."""
    process = start(workspace, "run", "tiny.yaml", "--set", ENDLESS)
    try:
        wait_for_runs(workspace, 6, process)
        client, runs = runs_of(workspace)
        (claim,) = claims(client, runs[0].info.experiment_id)
        client.delete_experiment_tag(runs[0].info.experiment_id, claim)
        code, _, err = finish(process, 60)
    finally:
        process.kill()
    assert code == 143
    assert "interrupted" in err
