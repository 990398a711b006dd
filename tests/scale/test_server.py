"""`mlflow server` on PostgreSQL, with a login, serving the artifacts; test_s3.py has one without a login."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tests.components import LOGIN, MlflowServer, PostgreSQL
from tests.faults.making import finish, start, wait_until
from tests.scale.conftest import Alone
from tests.scale.making import SMALL, found, here, numbers, role, runs_of

pytestmark = pytest.mark.slow
USER, PASSWORD = LOGIN


@pytest.fixture(scope="module")
def server(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server with a login."""
    folder = tmp_path_factory.mktemp("server")
    with MlflowServer(folder, postgresql.create("server"), folder / "artifacts", login=True) as started:
        yield started


@pytest.fixture
def client(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Whoever knows the password."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    return MlflowClient(server.address)


def same_as_alone(client: MlflowClient, folder: Path, storage: str, alone: Alone) -> None:
    """The numbers of a run on SQLite, and nothing left open."""
    pd.testing.assert_frame_equal(numbers(client, folder), alone.numbers)
    assert found(storage) == alone.found
    assert {run.info.status for run in runs_of(client)} <= {"FINISHED", "KILLED"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, f"asks for a login; set {USER} and {PASSWORD}"),
        ({USER: "admin"}, f"asks for a login; set {USER} and {PASSWORD}"),
        (
            {USER: "admin", PASSWORD: "wrong"},
            f"doesn't know user 'admin' with this password; set {USER} and {PASSWORD} to what it knows",
        ),
    ],
    ids=["nothing", "no password", "wrong password"],
)
def test_login_that_is_refused(
    server: MlflowServer,
    client: MlflowClient,
    tmp_path: Path,
    given: dict[str, str],
    says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without the password: exit code 1, one line that names the variables to set, and nothing is created."""
    before = [run.info.run_id for run in runs_of(client)]
    settings = {"MLFLOW_TRACKING_URI": server.address, **given}
    assert here(tmp_path, "run", "small.yaml", "--set", "models.relu.tuning=null", **settings) == 1
    assert capfd.readouterr().err == f"photofinish: the tracking store {server.address} {says}\n"
    assert [run.info.run_id for run in runs_of(client)] == before
    assert [file.name for file in tmp_path.iterdir()] == ["small.yaml"]


def test_with_login(
    server: MlflowServer,
    client: MlflowClient,
    postgresql: PostgreSQL,
    tmp_path: Path,
    alone: Alone,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`run` with its search gives the numbers of a run on SQLite, and another machine reads all of it back.

    There `report` makes the same page, and `predict` predicts by the logged model.
    """
    storage = postgresql.create("with_login")
    settings = {**server.client_environment, "PHOTOFINISH_STORAGE": storage}
    assert here(tmp_path, "run", "small.yaml", **settings) == 0
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".db" or file.name == "mlruns"] == []
    same_as_alone(client, tmp_path, storage, alone)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert here(elsewhere, "report", "small.yaml", **server.client_environment) == 0
    page = Path("reports") / "small" / "index.html"
    assert (elsewhere / page).read_text(encoding="utf-8") == (tmp_path / page).read_text(encoding="utf-8")
    best = next(run for run in role(runs_of(client), "model") if run.data.tags.get("photofinish.best"))
    pd.DataFrame({"x1": [0.1, 0.5], "x2": [0.2, 0.9]}).to_csv(elsewhere / "new.csv", index=False)
    arguments = ["predict", best.info.run_id, "new.csv", "--out", "out.csv"]
    capfd.readouterr()
    assert here(elsewhere, *arguments, **server.client_environment) == 0, capfd.readouterr().err
    assert len(pd.read_csv(elsewhere / "out.csv")) == 2


def test_crash_behind_the_server(
    server: MlflowServer, client: MlflowClient, postgresql: PostgreSQL, tmp_path: Path, alone: Alone
) -> None:
    """PostgreSQL crashes in a search and in training, and is away for two seconds each time: nobody notices.

    Client and server ask again; there is every trial and every number once, as in a run that nothing disturbed.
    """
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    storage = postgresql.create("behind")
    settings = {**server.client_environment, "PHOTOFINISH_STORAGE": storage, "MLFLOW_EXPERIMENT_NAME": "behind"}
    process = start(tmp_path, "run", "small.yaml", "--until", "evaluate", "--fresh", **settings)

    def has(name: str, count: int) -> bool:
        assert process.poll() is None, process.communicate()
        return len(role(runs_of(client, "behind"), name)) >= count

    try:
        for name, count in (("trial", 2), ("model", 1)):
            assert wait_until(partial(has, name, count))
            postgresql.restart(2)
        code, _, err = finish(process)
    finally:
        process.kill()
        process.communicate()
    assert code == 0, err
    runs = runs_of(client, "behind")
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    counted = Counter(run.data.tags["photofinish.role"] for run in runs)
    assert counted == {"comparison": 1, "study": 1, "trial": 6, "model": 4}
    assert found(storage) == alone.found
    pd.testing.assert_frame_equal(numbers(client, tmp_path, "behind"), alone.numbers)
