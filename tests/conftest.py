"""Shared fixtures: a small experiment, and one finished run of it that many tests look at."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.cli import main
from pipeline.stages.reporting.source import ReportInput
from pipeline.tracking.reader import read_comparison
from tests import shortcuts
from tests.making import customers
from tests.starting import REPOSITORY, Process

DEFAULT = str(REPOSITORY / "experiments/linear_vs_relu.yaml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each process begin with one of the tests that take longest: in the end they would be waited for.

    `--dist worksteal` gives each process a part of the list, in order, to begin with.
    """
    longest = [item for item in items if item.get_closest_marker("longest")]
    others = [item for item in items if item not in longest]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for number in reversed(range(len(longest))):
        others.insert(len(others) * (number % processes) // processes, longest[number])
    items[:] = others


hypothesis.settings.register_profile("photofinish", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("photofinish")

pytest_plugins = ["tests.browser", "tests.components"]

TINY = """\
name: tiny
question: Is <b>this</b> a question?
datasets:
  circles: {make: circles, n_samples: 120, noise: 0.03}
  blobs: {make: blobs, n_samples: 150, centers: 3}
models:
  linear: {hidden_units: [4], activation: identity}
  relu: {hidden_units: [4, 3], activation: relu}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 3
"""


RESAMPLED = """\
name: tiny
datasets:
  moons: {make: moons, n_samples: 120, noise: 0.3}
  iris: {load: iris}
models:
  linear: {hidden_units: [4], activation: identity}
  relu: {hidden_units: [4, 3], activation: relu, tuning: {trials: 2, space: {width: [2, 6]}}}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 2
resamples: 2
"""


TUNING = """\
tuning:
  trials: 4
  trials_at_once: 2
  space: {width: [2, 6], lr: [0.01, 0.1, log], epochs: [4, 12, log]}
"""


OWN_TABLES = """\
name: tiny
datasets:
  kunden: {file: kunden.csv, target: klasse, drop: [stufe, preis], categorical: [code]}
  stufen: {file: kunden.parquet, target: stufe, drop: [klasse, preis], categorical: [code]}
  wine: {load: wine}
models:
  relu: {hidden_units: [4]}
  logistic: {sklearn: LogisticRegression}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 1
threshold: f1
"""


@dataclass(frozen=True)
class Finished:
    """A finished comparison in a folder of its own, with its store opened for reading."""

    folder: Path
    client: MlflowClient
    parent: Run
    children: list[Run]

    @property
    def report(self) -> Path:
        return self.folder / "reports" / "tiny"

    def child(self, dataset: str, model: str, seed: int, resample: int = 0) -> Run:
        wanted = {"dataset": dataset, "model": model, "seed": str(seed), "resample": str(resample)}
        (run,) = [run for run in self.children if wanted.items() <= run.data.params.items()]
        return run


def report_input(finished: Finished) -> ReportInput:
    """What a finished comparison's report is made from, read back from its store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
        return read_comparison(finished.parent.info.run_id)


def runs_of(folder: Path) -> tuple[MlflowClient, list[Run]]:
    """All runs in a folder's own store, the newest first."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, list(client.search_runs(ids, max_results=1000))


# A servable model is logged into a run that MLflow then calls FINISHED, before we mark it complete.
RUNS_DONE = """
SELECT count(DISTINCT run_uuid) FROM runs JOIN tags USING (run_uuid)
WHERE tags.key = 'photofinish.status' OR tags.key = 'photofinish.role' AND tags.value = 'trial' AND status = 'FINISHED'
"""
COMPARISONS = "SELECT count(*) FROM tags WHERE key = 'photofinish.role' AND value = 'comparison'"


def wait_for_runs(folder: Path, count: int, process: Process, seconds: float = 120) -> None:
    """Wait until another process has opened a comparison and finished at least so many of its model runs and trials.

    Looks into the database itself: an MLflow client that comes upon a store in the making would start to make it too.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "the process ended too early"
        with contextlib.suppress(sqlite3.OperationalError):
            connection = sqlite3.connect(f"file:{folder / 'mlflow.db'}?mode=ro", uri=True)
            with contextlib.closing(connection):
                opened, done = (connection.execute(query).fetchone()[0] for query in (COMPARISONS, RUNS_DONE))
            if opened and done >= count:
                return
        time.sleep(0.2)
    raise TimeoutError(f"there were never {count} runs")


@pytest.fixture(scope="session", autouse=True)
def _shortcuts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shortcuts.take(patch)
        yield


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests stay out of them."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "PHOTOFINISH_")):
            monkeypatch.delenv(name)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that holds `tiny.yaml`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return tmp_path


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Have a folder made once, whatever the number of processes that test; each of them gets its own copy."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, make: Callable[[Path], object]) -> Path:
        original, whole = shared / f"made_{name}", shared / f"made_{name}.whole"
        with FileLock(shared / f"made_{name}.lock", timeout=280):
            if not whole.exists():
                original.mkdir(exist_ok=True)
                make(original)
                whole.touch()
        # Its artifacts are where they were made; whatever else is done to the store is done to the copy.
        return Path(shutil.copytree(original, own / name))

    return made


@pytest.fixture(scope="session")
def finished(once: Once) -> Finished:
    """`photofinish run tiny.yaml`, done once."""
    return finished_in(once("finished", lambda folder: finish(TINY, folder)))


@pytest.fixture(scope="session")
def thresholded(once: Once) -> Finished:
    """The same with `threshold: f1`, done once."""
    return finished_in(once("thresholded", lambda folder: finish(f"{TINY}threshold: f1\n", folder)))


@pytest.fixture(scope="session")
def resampled(once: Once) -> Finished:
    """A run with two resamples, one dataset of new data and one of a shared table, one model tuned; done once."""
    return finished_in(once("resampled", lambda folder: finish(RESAMPLED, folder)))


@pytest.fixture(scope="session")
def own_tables(once: Once) -> Finished:
    """Tables of customers, as CSV (with decimal commas, and a byte order mark) and as Parquet, and one without gaps."""

    def make(folder: Path) -> None:
        customers().to_csv(folder / "kunden.csv", sep=";", decimal=",", index=False, encoding="utf-8-sig")
        customers().to_parquet(folder / "kunden.parquet")
        finish(OWN_TABLES, folder)

    return finished_in(once("own_tables", make))


@pytest.fixture(scope="session")
def default_run(once: Once) -> Path:
    """The folder of the default experiment, run once by the README's first command, less the installation."""

    def make(folder: Path) -> None:
        copy_project(folder)
        shutil.copytree(REPOSITORY / "experiments", folder / "experiments")
        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        (command,) = re.findall(r"^pip install -e \. && (mlflow run .*)$", readme, re.MULTILINE)
        with own_store(folder):
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            subprocess.run(shlex.split(command), env={**os.environ, "PATH": path}, check=True, capture_output=True)

    return once("default_run", make)


def copy_project(folder: Path) -> None:
    """Put into a folder what `mlflow run .` needs, so that store and reports come to lie there."""
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))


@contextlib.contextmanager
def own_store(folder: Path) -> Iterator[None]:
    """Work in a folder with the store that lies there, for what is made once and not for one test alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.chdir(folder)
        yield


def finish(text: str, folder: Path, *arguments: str) -> Finished:
    """Run an experiment in a folder of its own."""
    (folder / "tiny.yaml").write_text(text, encoding="utf-8")
    with own_store(folder):
        assert main(["run", "tiny.yaml", *arguments]) == 0
    return finished_in(folder)


def finished_in(folder: Path) -> Finished:
    """Open the store of a folder that holds one comparison."""
    client, runs = runs_of(folder)
    (parent,) = [run for run in runs if run.data.tags.get("photofinish.role") == "comparison"]
    children = [run for run in runs if run.data.tags.get("photofinish.role") == "model"]
    return Finished(folder, client, parent, children)
