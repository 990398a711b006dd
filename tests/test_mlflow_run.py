"""The project through the real `mlflow` command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TINY, TUNING, copy_project, runs_of, wait_for_runs

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
# Half of it: each of these commands is two interpreters' start.
SMALL = "".join(line for line in TINY.splitlines(keepends=True) if "blobs" not in line)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, so that stores and reports of a test lie apart, with `tiny.yaml` in experiments/."""
    folder = tmp_path / "project"
    folder.mkdir()
    copy_project(folder)
    (folder / "experiments").mkdir()
    (folder / "experiments" / "tiny.yaml").write_text(SMALL, encoding="utf-8")
    return folder


def mlflow_run(project: Path, *arguments: str, env_manager: str = "local") -> subprocess.Popen[str]:
    command = [str(BIN / "mlflow"), "run", ".", "--env-manager", env_manager, *arguments]
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{project / 'mlflow.db'}"
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    try:
        out, err = process.communicate(timeout=280)
    finally:
        process.kill()
    return process.returncode, out + err


def test_main_entry_point(project: Path) -> None:
    """`mlflow run .` with the README's parameters: the run that it makes is the parent, in the experiment asked for."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    # tests/test_execution.py is about workers
    (parameters,) = re.findall(r"`mlflow run \. (-P [^`]*) -P jobs=2`", readme)
    shutil.copytree(REPOSITORY / "experiments" / "classics", project / "experiments" / "classics")
    code, printed = finish(mlflow_run(project, *parameters.split(), "--experiment-name", "mine"))
    assert code == 0, printed
    client, runs = runs_of(project)
    (parent,) = [run for run in runs if run.data.tags["photofinish.role"] == "comparison"]
    assert len(runs) == 1 + 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.info.experiment_id for run in runs} == {client.get_experiment_by_name("mine").experiment_id}
    assert parent.data.tags["mlflow.project.entryPoint"] == "main"
    assert parent.data.tags["photofinish.experiment"] == "moons-logistic"
    assert parent.data.params["seeds"] == "3"
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert "validation/accuracy" in children[0].data.metrics
    assert (project / "reports/moons-logistic/index.html").exists()


def test_stage_and_report_entry_points(project: Path) -> None:
    """`-e evaluate` stops before the report; `-e report` makes it from the newest comparison."""
    arguments = ("-P", "experiment=experiments/tiny.yaml")
    code, printed = finish(mlflow_run(project, "-e", "evaluate", *arguments, "-P", "seeds=1"))
    assert code == 0, printed
    assert not (project / "reports").exists()
    code, printed = finish(mlflow_run(project, "-e", "report", *arguments))
    assert code == 0, printed
    assert (project / "reports/tiny/index.html").exists()
    _, runs = runs_of(project)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_tune_entry_point(project: Path) -> None:
    """`-e tune -P trials=N` makes N trials of each search, under the run that the command makes."""
    path = project / "experiments/tiny.yaml"
    path.write_text(SMALL + TUNING, encoding="utf-8")
    code, printed = finish(mlflow_run(project, "-e", "tune", "-P", f"experiment={path}", "-P", "trials=3"))
    assert code == 0, printed
    assert "tuned: the best of 3 trials" in printed
    _, runs = runs_of(project)
    roles = [run.data.tags["photofinish.role"] for run in runs]
    assert (roles.count("comparison"), roles.count("study"), roles.count("trial"), len(roles)) == (1, 2, 6, 9)
    (parent,) = [run for run in runs if run.data.tags["photofinish.role"] == "comparison"]
    assert parent.data.tags["mlflow.project.entryPoint"] == "tune"


def test_bad_input_ends_the_run_failed_with_the_line(project: Path) -> None:
    """A bad file under `mlflow run`: the run it has made ends FAILED and says why."""
    path = project / "experiments/tiny.yaml"
    path.write_text(SMALL.replace("lr: 0.05", "lr: -1"), encoding="utf-8")
    code, printed = finish(mlflow_run(project, "-P", "experiment=experiments/tiny.yaml"))
    assert code != 0
    line = "experiments/tiny.yaml: training.lr: -1 can't be used; should be greater than 0"
    assert f"photofinish: {line}" in printed
    _, (run,) = runs_of(project)
    assert run.info.status == "FAILED"
    assert run.data.tags["photofinish.reason"].startswith(line)


def test_interrupt_of_mlflow_run_marks_the_parent_killed(project: Path) -> None:
    """SIGINT to the `mlflow run` process alone ends the comparison KILLED; what was finished stays."""
    path = project / "experiments/tiny.yaml"
    endless = "  endless: {hidden_units: [4], training: {lr: 0.000001, epochs: 10000000}}\ntraining:"
    path.write_text(SMALL.replace("training:", endless, 1), encoding="utf-8")
    process = mlflow_run(project, "-P", "experiment=experiments/tiny.yaml")
    wait_for_runs(project, 3, process)
    process.send_signal(signal.SIGINT)
    code, _ = finish(process)
    assert code != 0
    # `mlflow run` writes FAILED over it first; what was interrupted says so again as soon as that is gone.
    end = time.monotonic() + 30
    status: dict[str, str] = {}
    while status.get("comparison") != "KILLED" and time.monotonic() < end:
        time.sleep(0.5)
        status = {run.data.tags["photofinish.role"]: run.info.status for run in runs_of(project)[1]}
    assert status == {"comparison": "KILLED", "model": "FINISHED"}


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
@pytest.mark.timeout(1200)
def test_uv_makes_the_environment(project: Path) -> None:
    """`--env-manager uv` builds the environment from conda.yaml and runs the project in it."""
    process = mlflow_run(project, "-P", "experiment=experiments/tiny.yaml", env_manager="uv")
    try:
        out, err = process.communicate(timeout=1150)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    assert (project / "reports/tiny/index.html").exists()
