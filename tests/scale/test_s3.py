"""Artifacts in an S3 store, moto's: through the server, and by clients that reach the store themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow.store.artifact import s3_artifact_repo
from mlflow.tracking import MlflowClient

from tests.components import MlflowServer, ObjectStore, PostgreSQL
from tests.scale.conftest import Alone
from tests.scale.making import found, here, numbers, role, runs_of

pytestmark = pytest.mark.slow
UNTUNED = ("--set", "models.relu.tuning=null", "--until", "evaluate")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("bucket")) as started:
        yield started


@pytest.fixture(autouse=True)
def _new_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow and boto3 keep clients and credentials, whatever the environment says by now."""
    s3_artifact_repo._cached_get_s3_client.cache_clear()
    boto3 = pytest.importorskip("boto3")  # where it is missing, the object store has complained
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def test_through_the_server(bucket: ObjectStore, postgresql: PostgreSQL, tmp_path: Path, alone: Alone) -> None:
    """Where the server reaches the bucket, and has no login, clients need its address alone: `tune`, and then `run`.

    The numbers are those of a run on SQLite, and all artifacts lie in the bucket.
    """
    folder, storage = tmp_path / "server", postgresql.create("bucket_optuna")
    environment = bucket.client_environment
    backend = postgresql.create("bucket_mlflow")
    with MlflowServer(folder, backend, f"{bucket.uri}/proxied", environment=environment) as server:
        settings = {"MLFLOW_TRACKING_URI": server.address, "PHOTOFINISH_STORAGE": storage}
        assert here(tmp_path, "tune", "small.yaml", **settings) == 0
        assert here(tmp_path, "run", "small.yaml", "--until", "evaluate", **settings) == 0
        client = MlflowClient(server.address)
        runs = runs_of(client)
        assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
        assert len(role(runs, "trial")) == 6
        assert found(storage) == alone.found
        pd.testing.assert_frame_equal(numbers(client, tmp_path), alone.numbers)
    assert not (tmp_path / "mlruns").exists()
    keys = [key for key in bucket.keys() if key.startswith("proxied/")]  # noqa: SIM118  # no mapping
    assert sum(key.endswith("/metrics.csv") for key in keys) == 1
    assert sum(key.endswith("/network/weights.safetensors") for key in keys) == 4


@pytest.fixture(scope="module")
def direct(bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of clients of a server that serves no artifacts."""
    folder = tmp_path_factory.mktemp("direct")
    backend = f"sqlite:///{folder / 'server.db'}"
    with MlflowServer(folder, backend, f"{bucket.uri}/direct", serve_artifacts=False) as server:
        yield {**server.client_environment, **bucket.client_environment}


def test_directly(bucket: ObjectStore, direct: dict[str, str], tmp_path: Path) -> None:
    """Where the server serves none, clients with the store's credentials write to it themselves, and read it back."""
    assert here(tmp_path, "run", "small.yaml", *UNTUNED[:2], **direct) == 0
    keys = [key for key in bucket.keys() if key.startswith("direct/")]  # noqa: SIM118  # no mapping
    assert sum(key.endswith("/metrics.csv") for key in keys) == 1
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert here(elsewhere, "report", "small.yaml", **direct) == 0
    page = Path("reports") / "small" / "index.html"
    assert (elsewhere / page).read_text(encoding="utf-8") == (tmp_path / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"AWS_ACCESS_KEY_ID": ""}, "Unable to locate credentials"),
    ],
    ids=["endpoint", "credentials"],
)
def test_store_out_of_reach(
    direct: dict[str, str], tmp_path: Path, change: dict[str, str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong address, or no credentials: exit code 1, and one line with what the store's library says."""
    files = dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"), "none")
    settings = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", **files}
    assert here(tmp_path, "run", "small.yaml", *UNTUNED, **{**direct, **settings, **change}) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("photofinish: the artifact store can't be used: ")
    assert says in said


def test_without_its_library(
    direct: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where boto3 isn't installed: exit code 1, and one line that says what to install."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "boto3", None)
        code = here(tmp_path, "run", "small.yaml", *UNTUNED, **direct)
    assert code == 1
    said = capfd.readouterr().err
    assert said == "photofinish: artifacts in S3 need boto3, which isn't here; pip install 'photofinish[s3]'\n"
