"""MLflow's and Optuna's truth in PostgreSQL: a real one, crashed, restarted, and used by many."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState
from sqlalchemy import Engine, create_engine, event, text

from pipeline import databases
from pipeline.databases import PATIENCE
from pipeline.errors import StoreError
from pipeline.execution import workers
from pipeline.stages.tune import _study, connect, tune
from pipeline.stages.tuning import storage as tuning_storage
from pipeline.stages.tuning.study import WORKER, Batch, Study
from pipeline.stages.tuning.trials import Proposal, TrialOutcome, rungs
from pipeline.tracking.store import connect as connect_store
from pipeline.tracking.store import reaching
from tests.components import PostgreSQL
from tests.faults.making import finish, hear, start, start_many, start_script, tell, wait_until
from tests.faults.test_leases import RACER
from tests.scale.conftest import Alone
from tests.scale.making import SMALL, found, here, numbers, role, runs_of
from tests.stages.test_tune import Notebook, made_split, planned, searched

pytestmark = pytest.mark.slow

# Batches of a second or so, so that there is time to die in.
LONG = """\
name: long
datasets: {circles: {make: circles, n_samples: 200, noise: 0.1}}
models: {relu: {hidden_units: [8]}}
training: {optimizer: Adam, epochs: 5000}
tuning: {trials: 14, trials_at_once: 2, pruner: none, space: {width: [4, 8], lr: [0.001, 0.1, log]}}
"""


def stores(postgresql: PostgreSQL, name: str) -> dict[str, str]:
    """Two empty databases, as settings."""
    return {
        "MLFLOW_TRACKING_URI": postgresql.create(f"{name}_mlflow"),
        "PHOTOFINISH_STORAGE": postgresql.create(f"{name}_optuna"),
    }


def trial_states(postgresql: PostgreSQL, name: str) -> Counter[str]:
    """How many trials are in which state; none where there are no tables yet."""
    with contextlib.suppress(Exception):
        rows = postgresql.execute("SELECT state::text, count(*) FROM trials GROUP BY 1", f"{name}_optuna")
        return Counter({str(state): int(str(count)) for state, count in rows})
    return Counter()


def asked_of(study: Study) -> Batch:
    """The next trials, of which there are some."""
    batch = study.ask()
    assert batch is not None
    return batch


def test_same_numbers_as_on_sqlite(
    postgresql: PostgreSQL, tmp_path: Path, alone: Alone, capfd: pytest.CaptureFixture[str]
) -> None:
    """`tune` and then `run` straight on PostgreSQL: the same trials and the same numbers, and nothing kept in files.

    The databases' password is told nowhere: not on the screen, in no file, in no run.
    """
    settings = stores(postgresql, "same")
    assert here(tmp_path, "tune", "small.yaml", **settings) == 0
    assert here(tmp_path, "run", "small.yaml", **settings) == 0
    assert not list(tmp_path.glob("*.db"))
    client = MlflowClient(settings["MLFLOW_TRACKING_URI"])
    runs = runs_of(client)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert len(role(runs, "trial")) == 6
    assert found(settings["PHOTOFINISH_STORAGE"]) == alone.found
    pd.testing.assert_frame_equal(numbers(client, tmp_path), alone.numbers)
    secret = "twenty"  # stands in the password, however it is quoted
    assert secret in settings["MLFLOW_TRACKING_URI"]
    assert secret not in "".join(capfd.readouterr())
    assert [file for file in tmp_path.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()] == []
    for table_name in ("params", "tags", "experiment_tags"):
        told = postgresql.execute(f"SELECT value FROM {table_name} WHERE value LIKE '%{secret}%'", "same_mlflow")
        assert told == []


def test_six_first_starts_at_once(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Six processes that come upon empty databases at one moment, each as on a machine of its own, all succeed."""
    settings = stores(postgresql, "first")
    process, names = start_many(tmp_path, 6, MLFLOW_EXPERIMENT_NAME="together", **settings)
    code, out, err = finish(process)
    assert (code, out.splitlines()[-1], err) == (0, str([0] * 6), "")
    runs = runs_of(MlflowClient(settings["MLFLOW_TRACKING_URI"]))
    assert {run.data.tags["photofinish.experiment"] for run in runs} == names
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_dataset_that_another_process_enters_at_the_same_moment(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """MLflow takes a dataset once in an experiment; who comes second, too late to see it, goes on with the first's."""
    settings = {"MLFLOW_TRACKING_URI": postgresql.create("datasets")}
    assert here(tmp_path, "run", "small.yaml", "--until", "split", **settings) == 0
    again = MlflowClient(settings["MLFLOW_TRACKING_URI"]).create_experiment("again")
    entered = (
        "INSERT INTO datasets SELECT md5(dataset_uuid), {}, name, digest, dataset_source_type, dataset_source,"
        " dataset_schema, dataset_profile FROM datasets"
    )
    waited = threading.Event()

    def commit_once_it_is_waited_for() -> None:
        if wait_until(lambda: postgresql.execute("SELECT 1 FROM pg_locks WHERE NOT granted") != []):
            waited.set()
        connection.commit()

    with create_engine(settings["MLFLOW_TRACKING_URI"]).connect() as connection:
        connection.execute(text(entered.format(again)))
        committing = threading.Thread(target=commit_once_it_is_waited_for)
        committing.start()
        assert here(tmp_path, "run", "small.yaml", "--until", "split", MLFLOW_EXPERIMENT_NAME="again", **settings) == 0
        committing.join()
    assert waited.is_set()
    assert postgresql.execute(f"SELECT count(*) FROM datasets WHERE experiment_id = {again}", "datasets") == [(1,)]


def test_of_several_starts_one_stays(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Of three processes that ask for one experiment at one moment, just one gets it, round after round."""
    settings = {"MLFLOW_TRACKING_URI": postgresql.create("leases")}
    racers = [start_script(tmp_path, RACER, **settings) for _ in range(3)]
    try:
        assert [hear(racer) for racer in racers] == ["ready"] * 3
        for turn in range(4):
            for racer in racers:
                tell(racer, f"experiment {turn}")
            assert sorted(hear(racer) for racer in racers) == ["holds", "withdrew", "withdrew"]
            for racer in racers:
                tell(racer, "")
    finally:
        for racer in racers:
            finish_by_force(racer)


def finish_by_force(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_crashed_and_restarted_midway(postgresql: PostgreSQL, tmp_path: Path, alone: Alone) -> None:
    """PostgreSQL crashes in a search and in training and is away for two seconds each time.

    The run goes on; or, hit in the midst of a write to MLflow's database, ends in one line, and the next one goes on.
    In the end there is every trial and every number once, as in a run that nothing disturbed.
    """
    settings = stores(postgresql, "crash")
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    process = start(tmp_path, "run", "small.yaml", "--until", "evaluate", **settings)
    try:
        assert wait_until(lambda: trial_states(postgresql, "crash")["COMPLETE"] >= 2)
        postgresql.restart(2)
        assert wait_until(lambda: process.poll() is not None or trial_states(postgresql, "crash").total() >= 6)
        postgresql.restart(2)
        code, _, err = finish(process)
    finally:
        finish_by_force(process)
    assert "Traceback" not in err
    if code:
        assert code == 1
        assert err.splitlines()[-1].startswith("photofinish: the tracking store postgresql+psycopg2://photofinish:***@")
        assert here(tmp_path, "run", "small.yaml", "--until", "evaluate", **settings) == 0
    client = MlflowClient(settings["MLFLOW_TRACKING_URI"])
    runs = runs_of(client)
    assert [run for run in runs if run.info.status == "RUNNING"] == []
    assert len([run for run in role(runs, "model") if run.data.tags.get("photofinish.status") == "complete"]) == 4
    assert found(settings["PHOTOFINISH_STORAGE"]) == alone.found
    pd.testing.assert_frame_equal(numbers(client, tmp_path), alone.numbers)


def break_connections(postgresql: PostgreSQL, database: str) -> int:
    """Break all connections to a database; returns how many there were."""
    theirs = f"datname = '{database}' AND pid <> pg_backend_pid()"
    return len(postgresql.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {theirs}"))


@pytest.mark.parametrize("command", ["tune", "run"])
def test_mlflows_database_that_breaks_off_is_named(
    postgresql: PostgreSQL, tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Connections to MLflow's database break in the midst of a write, in a search or in training: one line about it.

    MLflow undoes what it was at then, over another connection, and passes on the driver's error when that fails too.
    """
    settings = stores(postgresql, f"named_{command}")
    if command == "run":
        assert here(tmp_path, "tune", "small.yaml", **settings) == 0
    struck = []

    def strike(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO metrics") and not struck:
            struck.append(break_connections(postgresql, f"named_{command}_mlflow"))

    event.listen(Engine, "before_cursor_execute", strike)
    try:
        capfd.readouterr()
        assert here(tmp_path, command, "small.yaml", **settings) == 1
    finally:
        event.remove(Engine, "before_cursor_execute", strike)
    assert struck[0] > 1
    said = capfd.readouterr().err.splitlines()[-1]
    address = databases.shown(settings["MLFLOW_TRACKING_URI"])
    assert said.startswith(f"photofinish: the tracking store {address} can't be used: "), said


@contextlib.contextmanager
def broken_connections(postgresql: PostgreSQL, database: str) -> Iterator[list[int]]:
    """Break all connections to a database again and again; counts them."""
    stop, broken = threading.Event(), [0]

    def strike() -> None:
        while not stop.wait(0.4):
            broken[0] += break_connections(postgresql, database)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield broken
    finally:
        stop.set()
        thread.join()


def test_connections_that_break_change_no_trial(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Connections to the studies break every moment, in the midst of writes too: the search is the same."""
    search = planned(made_split(), trials=12)
    searched(search, url=f"sqlite:///{tmp_path / 'optuna.db'}")
    url = postgresql.create("broken")
    storage = connect(url, [search])
    with workers(1) as submit, broken_connections(postgresql, "broken") as broken:
        (there,) = tune([search], storage, Notebook(), submit=submit)
    assert broken[0] > 1
    assert len(there.trials) == 12
    assert found(url, "e/d/m") == found(f"sqlite:///{tmp_path / 'optuna.db'}", "e/d/m")


def test_asking_that_breaks_off_leaves_nothing_behind(postgresql: PostgreSQL) -> None:
    """When the connection breaks at the second of three trials, the same places are asked for again.

    The trials that nobody will train are given up at once, and keep no place.
    """
    search = planned(made_split(), trials=6)
    storage = connect(url := postgresql.create("half"), [search])
    study: Study = _study(search, storage)
    study.open()
    beats = []

    def strike(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO trial_heartbeats"):
            beats.append(statement)
            if len(beats) == 2:
                break_connections(postgresql, "half")

    event.listen(storage.optuna_storage.engine, "before_cursor_execute", strike)
    asked = asked_of(study).trials
    trials = optuna.load_study(study_name="e/d/m", storage=url).trials
    in_work = [trial for trial in trials if trial.state.name == "RUNNING"]
    assert [trial.number for trial in in_work] == [one.number for one in asked]
    assert [trial.system_attrs["photofinish:place"] for trial in in_work] == [0, 1, 2]
    assert [trial.state.name for trial in trials if trial not in in_work] == ["FAIL", "FAIL"]


def test_answer_that_gets_lost_is_no_trial_given_up(postgresql: PostgreSQL) -> None:
    """A trial that is told again, since the answer got lost, is ours still; one that was given up meanwhile isn't."""
    search = planned(made_split(), trials=6)
    storage = connect(postgresql.create("lost"), [search])
    study: Study = _study(search, storage)
    study.open()
    first, second, _ = asked_of(study).trials
    ids = dict(study._trial_ids)

    def tell_it(number: int) -> bool:
        proposal = Proposal(search.study, number, {}, search.given)
        study._trial_ids[number] = ids[number]
        return study.tell(TrialOutcome(proposal, 0.5, {4: 0.5}, 0.0, 0.1), {"seconds": 0.1})

    assert tell_it(first.number)
    assert tell_it(first.number)
    storage.optuna_storage.set_trial_state_values(ids[second.number], TrialState.FAIL)
    assert not tell_it(second.number)


def test_database_that_has_answered_is_waited_for(postgresql: PostgreSQL) -> None:
    """A call begun while PostgreSQL is away comes back when it is there again; at the end of patience, one line."""
    settings = stores(postgresql, "waited")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", settings["MLFLOW_TRACKING_URI"])
        client = connect_store()
        postgresql.stop()
        starting = threading.Timer(1.5, postgresql.start)
        starting.start()
        begun = time.monotonic()
        try:
            assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
        finally:
            starting.join()
        assert time.monotonic() - begun > 1.5
        patch.setenv(PATIENCE, "1")
        postgresql.stop()
        try:
            with pytest.raises(StoreError, match="Connection refused") as caught, reaching():
                client.search_experiments()
        finally:
            postgresql.start()
        assert "twenty" not in str(caught.value)


@pytest.mark.parametrize("which", ["MLFLOW_TRACKING_URI", "PHOTOFINISH_STORAGE"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"driver": "psycopg"}, "needs the driver psycopg, which isn't here; write postgresql+psycopg2://"),
        ({}, "needs the driver psycopg2, which isn't here; pip install 'photofinish[postgres]'"),
    ],
    ids=["password", "database", "other driver", "no driver"],
)
def test_database_that_cannot_be_used(
    postgresql: PostgreSQL,
    tmp_path: Path,
    which: str,
    change: dict[str, str],
    says: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong password, no such database, no driver: one line without the password, at once, and nothing is created."""
    with contextlib.suppress(Exception):
        postgresql.create("usable")
    address: Any = {"database": "usable", **change}
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'm.db'}", which: postgresql.url(**address)}
    begun = time.monotonic()
    with monkeypatch.context() as patch:
        for module in ("psycopg2",) * (not change) + ("psycopg",):
            patch.setitem(sys.modules, module, None)
        code = here(tmp_path, "run", "small.yaml", **settings)
    assert time.monotonic() - begun < 10
    assert code == (1 if which == "MLFLOW_TRACKING_URI" and "driver" not in says else 2)
    said = capfd.readouterr().err
    assert said.count("\n") == 1, said
    assert says in said
    assert "***@127.0.0.1" in said
    assert "twenty" not in said
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} <= {"small.yaml", "optuna.db"}
    tables = postgresql.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", "usable")
    assert tables == []


def workers_of(url: str) -> dict[str, list[optuna.trial.FrozenTrial]]:
    """Trials by the process that has trained them."""
    by_worker: dict[str, list[optuna.trial.FrozenTrial]] = {}
    for trial in optuna.load_study(study_name="long/circles/relu", storage=url).trials:
        by_worker.setdefault(trial.user_attrs[WORKER].split(":")[-1], []).append(trial)
    return by_worker


def test_three_workers_share_a_search_and_one_dies(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Three processes started by hand on one storage: just as many trials as asked for, none proposed twice.

    One is killed by SIGKILL in the midst of its trials: they are given up, and others try their places again.
    """
    settings = stores(postgresql, "shared")
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    processes = [start(tmp_path, "tune", "long.yaml", **settings) for _ in range(3)]
    at_work: list[subprocess.Popen[str]] = []

    def are_at_work() -> bool:
        if trial_states(postgresql, "shared")["COMPLETE"] < 2:
            return False
        by_worker = workers_of(settings["PHOTOFINISH_STORAGE"])
        running = [worker for worker, own in by_worker.items() if any(trial.state.name == "RUNNING" for trial in own)]
        at_work[:] = [process for process in processes if str(process.pid) in running]
        return bool(at_work)

    try:
        assert wait_until(are_at_work)
        victim = at_work[0]
        victim.send_signal(signal.SIGKILL)
        others = [process for process in processes if process is not victim]
        ends = [finish(process) for process in others]
    finally:
        for process in processes:
            finish_by_force(process)
    assert [code for code, _, _ in ends] == [0, 0], ends
    by_worker = workers_of(settings["PHOTOFINISH_STORAGE"])
    trials = [trial for own in by_worker.values() for trial in own]
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert {trial.state.name for trial in trials} == {"COMPLETE", "FAIL"}
    assert sorted(trial.system_attrs["photofinish:place"] for trial in complete) == list(range(14))
    assert len({tuple(sorted(trial.params.items())) for trial in complete}) == 14
    assert {str(process.pid) for process in others} <= by_worker.keys()
    lost = [trial for trial in by_worker[str(victim.pid)] if trial.state.name == "FAIL"]
    assert lost
    runs = role(runs_of(MlflowClient(settings["MLFLOW_TRACKING_URI"])), "trial")
    numbers_of_complete = {str(trial.number) for trial in complete}
    mirrored = [run.data.params["trial"] for run in runs if run.data.params["trial"] in numbers_of_complete]
    assert sorted(mirrored) == sorted(numbers_of_complete)
    finished = {run.data.params["trial"] for run in runs if run.info.status == "FINISHED"}
    own = {str(trial.number) for trial in by_worker[str(victim.pid)]}  # told, and killed before the run was closed
    assert numbers_of_complete - own <= finished <= numbers_of_complete


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_take_turns_in_asking(kind: str, postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Eight workers ask for one study's trials at the same time: every trial is proposed once, and none is given up."""
    url = postgresql.create("turns") if kind == "postgresql" else f"sqlite:///{tmp_path / 'optuna.db'}"
    search = planned(made_split(), trials=24, trials_at_once=1)
    studies: list[Study] = [_study(search, connect(url, [search])) for _ in range(8)]
    for study in studies:
        study.open()

    def work(study: Study) -> list[int]:
        numbers = []
        while batch := study.ask():
            numbers += [one.number for one in batch.trials]
        return numbers

    with ThreadPoolExecutor(len(studies)) as pool:
        taken = [number for numbers in pool.map(work, studies) for number in numbers]
    assert sorted(taken) == list(range(24))
    assert len(optuna.load_study(study_name="e/d/m", storage=url).trials) == 24


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_one_statement_beats_for_all_trials_in_work(
    kind: str, postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats of a batch in work are renewed by one statement, those of trials that have ended no more."""
    monkeypatch.setattr(tuning_storage, "HEARTBEAT_SECONDS", 1.2)  # SQLite's clock has whole seconds
    url = postgresql.create("beats") if kind == "postgresql" else f"sqlite:///{tmp_path / 'optuna.db'}"
    search = planned(made_split(), trials=6, trials_at_once=6)
    storage = connect(url, [search])
    study: Study = _study(search, storage)
    study.open()
    ids = [study._trial_ids[one.number] for one in asked_of(study).trials]
    storage.end(ids[0])
    updates = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("UPDATE trial_heartbeats"):
            updates.append(statement)

    def beats() -> dict[int, Any]:
        with storage.optuna_storage.engine.begin() as connection:
            return dict(connection.exec_driver_sql("SELECT trial_id, heartbeat FROM trial_heartbeats").all())

    event.listen(storage.optuna_storage.engine, "before_cursor_execute", note)
    before = beats()
    with storage.heartbeats():
        assert wait_until(lambda: len(updates) == 1)
    after = beats()
    assert len(updates) == 1
    assert [trial_id for trial_id in ids if after[trial_id] > before[trial_id]] == ids[1:]


def test_pruning_decides_by_other_workers_trials(postgresql: PostgreSQL) -> None:
    """A trial that is worse than what another worker has found is stopped; it isn't where nothing was found."""
    search = planned(made_split(), trials=12, pruner="median")
    searched(planned(made_split(), trials=10, pruner="none"), url=(url := postgresql.create("pruned")))
    empty = postgresql.create("unknown")

    def stops(storage: str) -> bool:
        study: Study = _study(search, connect(storage, [search]))
        study.open()
        batch = asked_of(study)
        return batch.rule(batch.trials[0].number, rungs(search.longest)[-1], 1e6)

    assert stops(url)
    assert not stops(empty)
