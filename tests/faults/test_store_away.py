"""The tracking server goes away: a real one on loopback, killed while a run writes to it."""

from __future__ import annotations

import http.client
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR, MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.tracking import MlflowClient
from urllib3.util import Retry

from pipeline.cli import main
from pipeline.stages.baselines import fitting
from pipeline.training.population import Population
from tests.components import MlflowServer
from tests.conftest import TINY, Finished
from tests.starting import Started

pytestmark = pytest.mark.slow
CHANCE = ["run_id", "train_seconds", "predict_seconds"]  # columns that differ from run to run

BREAKS = [f"runs/{call}" for call in ("create", "log-batch", "log-inputs", "set-tag", "update", "get")] + [
    "logged-models"
]
CIRCLES = "".join(line for line in TINY.splitlines(keepends=True) if "blobs" not in line)  # half of it is quicker

LONG = """\
name: long
datasets:
  circles: {make: circles, n_samples: 120, noise: 0.03}
models:
  relu: {hidden_units: [4, 3], activation: relu}
  forest: {sklearn: RandomForestClassifier, n_estimators: 3}
training: {epochs: 60000}
seeds: 2
"""


class Server(MlflowServer):
    """`mlflow server` on SQLite, always at the same address."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")

    def wait_for(self, rows: str, name: str, process: Started, seconds: float = 120) -> None:
        """Wait until the runs of an MLflow experiment have rows in a table of the database."""
        query = f"SELECT 1 FROM {rows} JOIN experiments USING (experiment_id) WHERE experiments.name = '{name}'"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert process.poll() is None, process.communicate()
            with closing(sqlite3.connect(f"file:{self.folder / 'mlflow.db'}?mode=ro", uri=True)) as connection:
                if connection.execute(query).fetchone():
                    return
            time.sleep(0.05)
        raise TimeoutError(query)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(started: Server) -> Server:
    if not started.is_running:
        started.start()
    return started


@contextmanager
def running(folder: Path, address: str, text: str, **settings: str) -> Iterator[Started]:
    (folder / "tiny.yaml").write_text(text, encoding="utf-8")
    # Fresh: the server may have the same model runs from an earlier test.
    arguments = ["run", "tiny.yaml", "--until", "evaluate", "--fresh"]
    process = Started(folder, arguments, {"MLFLOW_TRACKING_URI": address, **settings})
    try:
        yield process
    finally:
        process.kill()


def runs_in(address: str, name: str) -> tuple[list[Run], list[Run]]:
    """Comparisons and model runs of an MLflow experiment; others have no place there."""
    client = MlflowClient(address)
    runs = list(client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000))
    parents, children = (
        [one for one in runs if one.data.tags.get("photofinish.role") == role] for role in ("comparison", "model")
    )
    assert len(parents) + len(children) == len(runs)
    return parents, children


def assert_like_undisturbed(folder: Path, address: str, name: str, undisturbed: Finished) -> None:
    """Every run and every number once, as in a run that nothing disturbed."""
    (parent,), children = runs_in(address, name)
    assert {one.info.status for one in (parent, *children)} == {"FINISHED"}
    places = [(one.data.params["dataset"], one.data.params["model"], int(one.data.params["seed"])) for one in children]
    assert len(places) == len(set(places)) == 6
    client = MlflowClient(address)
    for place, one in zip(places, children, strict=True):
        twin = undisturbed.child(*place)
        curve = [
            [(point.step, point.value) for point in store.get_metric_history(of.info.run_id, "train/loss")]
            for store, of in ((client, one), (undisturbed.client, twin))
        ]
        assert curve[0] == curve[1]
    table = Path(client.download_artifacts(parent.info.run_id, "metrics.csv", str(folder)))
    found, expected = (
        pd.read_csv(file, dtype=str).query("dataset == 'circles'").drop(columns=CHANCE)
        for file in (table, undisturbed.report / "metrics.csv")
    )
    pd.testing.assert_frame_equal(found, expected)


def test_mlflow_asks_again_for_more_than_a_minute() -> None:
    """A server that is away for a minute is bridged by MLflow's own settings."""
    waits = Retry(total=MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), backoff_factor=MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get())
    seconds = 0.0
    while waits.total:
        waits = waits.increment("POST", "/", error=ConnectionRefusedError())
        seconds += waits.get_backoff_time()
    assert seconds > 60


@pytest.mark.longest
def test_away_for_a_minute(tmp_path: Path, server: Server, finished: Finished) -> None:
    """The server is killed between two model runs and comes back: the run ends well, and everything is there once."""
    # MLflow's own number of attempts (above), with other pauses between the last ones: not one to end just before the
    # server is there, and the next a minute later.
    settings = {"MLFLOW_EXPERIMENT_NAME": "minute", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
    settings["MLFLOW_HTTP_REQUEST_BACKOFF_JITTER"] = "6"
    with running(tmp_path, server.address, CIRCLES, **settings) as process:
        server.wait_for("metrics JOIN runs USING (run_uuid)", "minute", process)
        server.stop(signal.SIGKILL)
        time.sleep(60)
        assert process.poll() is None
        server.start()
        _, printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    assert_like_undisturbed(tmp_path, server.address, "minute", finished)


def test_away_for_good(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the server doesn't come back, training goes on to its end and waits; one line, exit code 1.

    The next run sends what waits, each model run once, as it was trained, and trains nothing.
    """
    settings = {"MLFLOW_EXPERIMENT_NAME": "good", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    with running(tmp_path, server.address, LONG, **settings) as process:
        server.wait_for("inputs JOIN runs ON destination_id = run_uuid", "good", process)
        time.sleep(2)  # the answer arrives, and training begins, which takes longer
        server.stop(signal.SIGKILL)
        _, printed = process.communicate(timeout=200)
    ended = time.time()
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1] == (
        f"photofinish: the tracking store {server.address} doesn't answer;"
        " what was trained waits in .photofinish/checkpoints, and the next run sends it first"
    )

    server.start()

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Population, "run_epoch", refuse)
    monkeypatch.setattr(fitting, "_fit", refuse)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "good")
    assert main(["run", "tiny.yaml", "--until", "evaluate"]) == 0, capsys.readouterr().err
    _, children = runs_in(server.address, "good")
    complete = [one for one in children if one.data.tags.get("photofinish.status") == "complete"]
    assert sorted((one.data.params["model"], one.data.params["seed"]) for one in complete) == [
        ("forest", "0"),
        ("forest", "1"),
        ("relu", "0"),
        ("relu", "1"),
    ]
    assert all(one.info.start_time < ended * 1000 for one in complete)
    assert not Path(".photofinish").exists()


def test_answers_that_get_lost_or_break_off(tmp_path: Path, server: Server, finished: Finished) -> None:
    """Where a server has done what was asked, and its answer doesn't arrive or not whole, all is there once in the end.

    MLflow's own lines, two for each run that ends, aren't printed.
    """
    with (
        disturbed(server.port) as (address, lost, broken_off),
        running(tmp_path, address, CIRCLES, MLFLOW_EXPERIMENT_NAME="answer") as process,
    ):
        shown, printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    assert "View run" not in shown
    assert len(lost) == 2
    assert sorted(broken_off) == sorted(BREAKS)
    assert_like_undisturbed(tmp_path, server.address, "answer", finished)


@contextmanager
def disturbed(port: int) -> Iterator[tuple[str, list[str], list[str]]]:
    """Stand before a server: hand all on, but lose two answers about runs made, and the end of BREAKS' second ones."""
    asked: list[str] = []
    lost: list[str] = []
    broken_off: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as onward:
                onward.request(self.command, self.path, body, {**self.headers, "Host": f"127.0.0.1:{port}"})
                answer = onward.getresponse()
                content = answer.read()
            call = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
            asked.append(call)
            if call == "runs/create" and asked.count(call) in {1, 4}:
                lost.append(call)
                self.hang_up()
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if call in BREAKS and asked.count(call) == 2:
                broken_off.append(call)
                self.wfile.write(content[: len(content) // 2])
                self.hang_up()
                return
            self.wfile.write(content)

        def hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", lost, broken_off
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
