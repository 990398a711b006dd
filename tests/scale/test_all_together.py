"""All components at once: the default experiment, while two of them fail; and each on a host of its own."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import optuna
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tests.components import LOGIN, MlflowServer, PostgreSQL, needs
from tests.conftest import DEFAULT
from tests.dasking import DaskCluster, end
from tests.faults.making import finish, start, start_anew, wait_until
from tests.scale.conftest import Alone
from tests.scale.hosts import hosts
from tests.scale.making import CHANCE, SMALL, found, numbers, role, runs_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRIALS, MODEL_RUNS = 160, 80  # of the default experiment
TOLD = "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
COMPLETE = "SELECT count(*) FROM tags WHERE key = 'photofinish.status'"


@pytest.fixture(scope="module", autouse=True)
def _dask() -> None:
    needs("distributed", "pip install 'photofinish[dask]'")


def counted(postgresql: PostgreSQL, query: str, database: str) -> int:
    """What a query counts, which is nothing where there are no tables yet."""
    import psycopg2

    try:
        ((count,),) = postgresql.execute(query, database)
    except psycopg2.Error:
        return 0
    return int(str(count))


def test_default_experiment_on_a_cluster_while_a_worker_and_the_database_die(
    postgresql: PostgreSQL, tmp_path: Path, default_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PostgreSQL, an MLflow server with login and three Dask workers: the numbers of one process, each thing once.

    A worker is killed during the search, and PostgreSQL crashes and restarts both during the search and when a part of
    the model runs is written.
    """
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    storage = postgresql.create("together_optuna")
    server = MlflowServer(tmp_path / "server", postgresql.create("together_mlflow"), tmp_path / "artifacts", login=True)
    with server, DaskCluster(3) as cluster:
        settings = {**server.client_environment, "PHOTOFINISH_STORAGE": storage}
        process = start(tmp_path, "run", DEFAULT, "--cluster", cluster.address, **settings)
        try:
            assert wait_until(lambda: counted(postgresql, TOLD, "together_optuna") >= TRIALS // 8, 240)
            end(cluster.workers[0])
            postgresql.restart(seconds_away=2)
            assert wait_until(lambda: counted(postgresql, COMPLETE, "together_mlflow") >= MODEL_RUNS // 4, 400)
            assert process.poll() is None
            postgresql.restart(seconds_away=2)
        finally:
            code, _, said = finish(process, 500)
        assert code == 0, said
        client = MlflowClient(server.address)
        runs = runs_of(client)
        (parent,) = role(runs, "comparison")
        table = pd.read_csv(client.download_artifacts(parent.info.run_id, "metrics.csv", str(tmp_path)))
    expected = pd.read_csv(default_run / "reports/linear_vs_relu/metrics.csv")
    pd.testing.assert_frame_equal(table.drop(columns=CHANCE), expected.drop(columns=CHANCE), check_exact=True)
    assert "RUNNING" not in {run.info.status for run in runs}
    models = [run for run in role(runs, "model") if "photofinish.reason" not in run.data.tags]
    keys = Counter((run.data.params["dataset"], run.data.params["model"], run.data.params["seed"]) for run in models)
    assert len(keys) == MODEL_RUNS
    assert set(keys.values()) == {1}
    names = optuna.get_all_study_names(storage)
    assert len(names) == 8
    for name in names:
        states = Counter(trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials)
        assert states["COMPLETE"] + states["PRUNED"] == TRIALS // 8
        assert states.keys() <= {"COMPLETE", "PRUNED", "FAIL"}


def test_components_on_hosts_of_their_own(tmp_path: Path, alone: Alone) -> None:
    """Stores on one host, workers on two, the driver on a fourth: the numbers of one process on one machine."""
    from distributed import Client

    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    with hosts("store", "worker", "another", "desk") as (store, *workers, desk), ExitStack() as stack:
        with store.inside():
            postgresql = stack.enter_context(PostgreSQL(store.address))
            backend, storage = (postgresql.create(name) for name in ("mlflow", "optuna"))
            artifacts = tmp_path / "artifacts"
            server = stack.enter_context(MlflowServer(tmp_path / "server", backend, artifacts, host=store.address))
            cluster = stack.enter_context(DaskCluster(0, store.address))
        for host in workers:
            with host.inside():
                cluster.workers.append(cluster.start_worker("--nthreads", "1", "--host", host.address))
        with store.inside(), Client(cluster.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(len(workers), timeout=60)
        with desk.inside():
            settings = {**server.client_environment, "PHOTOFINISH_STORAGE": storage}
            process = start_anew(tmp_path, "run", "small.yaml", "--cluster", cluster.address, **settings)
            code, _, said = finish(process, 240)
            assert code == 0, said
            pd.testing.assert_frame_equal(numbers(MlflowClient(server.address), tmp_path), alone.numbers)
            assert found(storage) == alone.found
