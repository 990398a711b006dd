"""Tuning through the real commands: ours, Optuna's, SIGKILL, several workers on one storage."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pandas as pd
import pytest
from mlflow.entities import Run

from pipeline.cli import main
from tests.conftest import TINY, TUNING, runs_of
from tests.faults.making import start
from tests.starting import Process

STUDIES = ["tiny/blobs/linear", "tiny/blobs/relu", "tiny/circles/linear", "tiny/circles/relu"]
BIN = Path(sys.executable).parent

# Batches that take a second or two each, so that there is time to die in.
LONG = """\
name: long
datasets: {circles: {make: circles, n_samples: 400, noise: 0.1}}
models: {relu: {hidden_units: [8, 8]}}
training: {optimizer: Adam, epochs: 8000}
tuning: {trials: 6, trials_at_once: 2, pruner: none, space: {width: [4, 8], lr: [0.001, 0.1, log]}}
"""


@pytest.fixture
def tuned(workspace: Path) -> Path:
    """A working directory whose `tiny.yaml` has a search."""
    (workspace / "tiny.yaml").write_text(TINY + TUNING, encoding="utf-8")
    return workspace


def states(database: Path, study: str = "long/circles/relu") -> Counter[str]:
    """How many trials of a study are in which state; read from the database itself."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT state FROM trials JOIN studies USING (study_id) WHERE study_name = ?", (study,)
        ).fetchall()
    return Counter(state for (state,) in rows)


def wait_for_trials(database: Path, process: Process, finished: int) -> None:
    """Wait until a study is in the midst of a batch, with at least so many trials finished before."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, "the process ended too early"
        with contextlib.suppress(sqlite3.OperationalError):
            found = states(database)
            if found["RUNNING"] and found["COMPLETE"] + found["PRUNED"] >= finished:
                return
        time.sleep(0.01)
    raise TimeoutError("no batch was ever under way")


def optuna_command(folder: Path, *arguments: str) -> str:
    """What Optuna's own command line prints."""
    done = subprocess.run(
        [str(BIN / "optuna"), *arguments, "--storage", f"sqlite:///{folder / 'optuna.db'}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def role(runs: list[Run], name: str) -> list[Run]:
    return [run for run in runs if run.data.tags.get("photofinish.role") == name]


def test_tune_searches_and_trains_nothing_else(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tune` leaves four studies of four trials each, mirrored to MLflow; it prints the best, the time, what next."""
    assert main(["tune", "tiny.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "tuned: the best of 4 trials" in printed
    assert "took      0:" in printed
    assert sorted(optuna.get_all_study_names(f"sqlite:///{tuned / 'optuna.db'}")) == STUDIES
    client, runs = runs_of(tuned)
    (parent,) = role(runs, "comparison")
    assert f"run {parent.info.run_id} is in the tracking store; photofinish run goes on from here" in printed
    studies, trials = role(runs, "study"), role(runs, "trial")
    assert (len(studies), len(trials), len(runs)) == (4, 16, 21)
    assert {run.data.tags["mlflow.parentRunId"] for run in studies} == {parent.info.run_id}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {run.info.run_id for run in studies}
    assert {run.info.status for run in (parent, *studies)} == {"FINISHED"}
    for run in trials:
        study = optuna.load_study(
            study_name=run.data.tags["photofinish.study"], storage=f"sqlite:///{tuned / 'optuna.db'}"
        )
        trial = study.trials[int(run.data.params["trial"])]
        assert trial.user_attrs["mlflow_run_id"] == run.info.run_id
        assert {key: str(value) for key, value in trial.params.items()}.items() <= run.data.params.items()
        assert run.data.tags["photofinish.trial_state"] == trial.state.name.lower()
        assert run.info.status == {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}[trial.state.name]
        assert run.data.metrics.get("objective") == trial.value
        assert client.get_metric_history(run.info.run_id, "validation/loss")
    for run in studies:
        best = run.data.tags["photofinish.best_trial_run"]
        assert client.get_run(best).data.metrics["objective"] == run.data.metrics["objective"]
    assert not Path("reports").exists()


def test_run_tunes_first_and_trains_the_best(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run` trains every seed with the best hyperparameters of its search; `tuning: null` keeps a model as given."""
    assert main(["run", "tiny.yaml", "--set", "models.linear.tuning=null"]) == 0
    storage = f"sqlite:///{tuned / 'optuna.db'}"
    assert sorted(optuna.get_all_study_names(storage)) == ["tiny/blobs/relu", "tiny/circles/relu"]
    _, runs = runs_of(tuned)
    for run in role(runs, "model"):
        params = run.data.params
        if params["model"] == "linear":
            assert (params["hidden_units"], params["lr"], params["epochs"]) == ("[4]", "0.05", "12")
            continue
        best = optuna.load_study(study_name=f"tiny/{params['dataset']}/relu", storage=storage).best_params
        assert {key: params[key] for key in best} == {key: str(value) for key, value in best.items()}
        assert params["hidden_units"] == str([best["width"]] * 2)
    assert Path("reports/tiny/figures/circles_tuning.png").stat().st_size > 1000
    page = Path("reports/tiny/index.html").read_text(encoding="utf-8")
    assert "Best hyperparameters on circles" in page
    trials = pd.read_csv("reports/tiny/trials.csv")
    assert trials.groupby(["dataset", "model"]).size().to_dict() == {("circles", "relu"): 4, ("blobs", "relu"): 4}

    capsys.readouterr()
    assert main(["run", "tiny.yaml", "--set", "models.linear.tuning=null", "--seeds", "1"]) == 0
    assert len(role(runs_of(tuned)[1], "trial")) == 8  # the studies were complete: no trial was trained again


def test_report_with_tuning_is_rebuilt_from_the_store(tuned: Path) -> None:
    """The page comes out the same, tuning and all, without Optuna's storage."""
    assert main(["run", "tiny.yaml", "--seeds", "1"]) == 0
    before = Path("reports/tiny/index.html").read_text(encoding="utf-8")
    for file in tuned.glob("optuna.db*"):
        file.unlink()
    assert main(["report", "tiny", "--reports", "again"]) == 2  # no file of that name in experiments/
    assert main(["report", "tiny.yaml", "--reports", "again"]) == 0
    assert Path("again/tiny/index.html").read_text(encoding="utf-8") == before
    pd.testing.assert_frame_equal(pd.read_csv("again/tiny/trials.csv"), pd.read_csv("reports/tiny/trials.csv"))


@pytest.mark.slow
def test_optunas_own_command_line_reads_the_studies(tuned: Path) -> None:
    """`optuna studies`, `trials` and `best-trial` show names, hyperparameters, values and user attributes."""
    assert main(["tune", "tiny.yaml"]) == 0
    names = json.loads(optuna_command(tuned, "study-names", "-f", "json"))
    assert sorted(entry["name"] for entry in names) == STUDIES
    trials = json.loads(optuna_command(tuned, "trials", "--study-name", "tiny/circles/relu", "-f", "json"))
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    assert set(trials[0]["params"]) == {"width", "lr", "epochs"}
    assert {"mlflow_run_id", "seed", "model", "dataset", "seconds"} <= set(trials[0]["user_attrs"])
    best = json.loads(optuna_command(tuned, "best-trial", "--study-name", "tiny/circles/relu", "-f", "json"))
    assert best["value"] == min(trial["value"] for trial in trials if trial["state"] == "COMPLETE")


@pytest.mark.slow
def test_study_made_by_hand_is_continued(tuned: Path) -> None:
    """A study made by `optuna create-study` under the contract's name is filled; a wrong direction is refused."""
    optuna_command(tuned, "create-study", "--study-name", "tiny/circles/relu", "--direction", "minimize")
    optuna_command(tuned, "create-study", "--study-name", "tiny/blobs/relu", "--direction", "maximize")
    assert main(["tune", "tiny.yaml"]) == 2
    optuna_command(tuned, "delete-study", "--study-name", "tiny/blobs/relu")
    assert main(["tune", "tiny.yaml"]) == 0
    assert states(tuned / "optuna.db", "tiny/circles/relu").total() == 4


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 2])
def test_killed_search_goes_on(workspace: Path, finished: int) -> None:
    """After SIGKILL during a batch, the same command ends with just as many trials as asked for, none running."""
    (workspace / "long.yaml").write_text(LONG, encoding="utf-8")
    database = workspace / "optuna.db"
    first = start(workspace, "tune", "long.yaml")
    try:
        wait_for_trials(database, first, finished)
        time.sleep(0.2)  # well into the batch
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=60)
    kept = optuna.load_study(study_name="long/circles/relu", storage=f"sqlite:///{database}").get_trials(
        states=[optuna.trial.TrialState.COMPLETE]
    )
    assert states(database)["RUNNING"] > 0
    second = start(workspace, "tune", "long.yaml")
    out, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    assert "tuned: the best of 6 trials" in out
    after = states(database)
    assert after["COMPLETE"] == 6
    assert after["RUNNING"] == after["WAITING"] == 0
    study = optuna.load_study(study_name="long/circles/relu", storage=f"sqlite:///{database}")
    assert [study.trials[trial.number] for trial in kept] == kept
    complete = [tuple(trial.params.values()) for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len(set(complete)) == 6


@pytest.mark.slow
def test_interrupted_search_gives_its_trials_up(workspace: Path) -> None:
    """SIGTERM ends with exit code 143; trials in work are failed with the reason, those finished stay."""
    (workspace / "long.yaml").write_text(LONG, encoding="utf-8")
    process = start(workspace, "tune", "long.yaml")
    try:
        wait_for_trials(workspace / "optuna.db", process, 2)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143
    assert err == "photofinish: interrupted: what was finished is kept, the rest is marked KILLED\n"
    after = states(workspace / "optuna.db")
    assert after["COMPLETE"] >= 2
    assert after["RUNNING"] == 0
    study = optuna.load_study(study_name="long/circles/relu", storage=f"sqlite:///{workspace / 'optuna.db'}")
    failed = [trial for trial in study.trials if trial.state.name == "FAIL"]
    assert failed
    assert {trial.user_attrs["failure"] for trial in failed} == {"interrupted"}
    _, runs = runs_of(workspace)
    assert {run.info.status for run in runs if run.data.tags["photofinish.role"] != "trial"} == {"KILLED"}


@pytest.mark.slow
def test_workers_on_one_storage_share_the_trials(tmp_path: Path) -> None:
    """Three processes that start at once on an empty storage reach the number asked for together, and not one more."""
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    text = LONG.replace("epochs: 8000", "epochs: 2500").replace("trials: 6", "trials: 16")
    processes = []
    for worker in ("a", "b", "c"):
        folder = tmp_path / worker
        folder.mkdir()
        (folder / "long.yaml").write_text(text, encoding="utf-8")
        processes.append(start(folder, "tune", "long.yaml", "--storage", storage))
    for process in processes:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert "tuned: the best of 16 trials" in out
    found = states(tmp_path / "shared.db")
    assert found["COMPLETE"] == 16
    assert found["RUNNING"] == found["WAITING"] == 0
    study = optuna.load_study(study_name="long/circles/relu", storage=storage)
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len({tuple(trial.params.values()) for trial in complete}) == 16
    assert len({trial.user_attrs["worker"] for trial in complete}) > 1


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tune", "plain.yaml"], ["plain.yaml: tuning: the file has none", "tuning: {trials: 20, space:"]),
        (["run", "plain.yaml", "--trials", "3"], ["plain.yaml: tuning: the file has none"]),
        (["tune", "tiny.yaml", "--trials", "0"], ["--trials", "'0'"]),
        (["tune", "tiny.yaml", "--storage", "sqlite:////no/such/folder/o.db"], ["--storage", "can't be used"]),
        (
            ["tune", "tiny.yaml", "--set", "split.validation_size=0"],
            ["tiny.yaml: models.linear.tuning", "tuning.folds"],
        ),
        (
            ["tune", "tiny.yaml", "--set", "tuning.sampler=cmaes"],
            ["models.linear.tuning.sampler", "pip install cmaes"],
        ),
        (
            ["run", "tiny.yaml", "--memory", "1", "--set", "tuning.space.width=[2,90000]"],
            ["--memory", "allow at least"],
        ),
    ],
)
def test_bad_input_creates_nothing(
    tuned: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    parts: list[str],
) -> None:
    """One line, exit code 2, and neither a tracking store nor a study."""
    monkeypatch.setitem(sys.modules, "cmaes", None)  # as where it isn't installed
    (tuned / "plain.yaml").write_text(TINY, encoding="utf-8")
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    for part in parts:
        assert part in line
    assert sorted(path.name for path in tuned.iterdir()) == ["plain.yaml", "tiny.yaml"]


def test_storage_comes_from_the_environment(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PHOTOFINISH_STORAGE names the storage; `--storage` goes before it."""
    monkeypatch.setenv("PHOTOFINISH_STORAGE", f"sqlite:///{tuned / 'mine.db'}")
    assert main(["tune", "tiny.yaml", "--trials", "1"]) == 0
    assert (tuned / "mine.db").exists()
    assert main(["tune", "tiny.yaml", "--trials", "1", "--storage", f"sqlite:///{tuned / 'given.db'}"]) == 0
    assert (tuned / "given.db").exists()
    assert not (tuned / "optuna.db").exists()
