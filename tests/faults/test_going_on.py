"""Real processes, killed by SIGKILL, and what the next start makes of what they left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline import runner
from pipeline.cli import main
from tests.conftest import Finished, finish, runs_of, wait_for_runs
from tests.faults.making import start
from tests.starting import REPOSITORY, Started

CHANCE = ["run_id", "train_seconds", "predict_seconds", "reused_from"]  # what differs from run to run

WHOLE = """\
name: tiny
datasets:
  moons: {make: moons, n_samples: 120, noise: 0.3}
  iris: {load: iris}
models:
  linear: {hidden_units: [4], activation: identity}
  relu: {hidden_units: [4, 3], activation: relu, tuning: {trials: 3, trials_at_once: 1, space: {width: [2, 6]}}}
  forest: {sklearn: RandomForestClassifier, n_estimators: 4}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 2
threshold: f1
"""

SMALL = """\
name: tiny
datasets:
  moons: {make: moons, n_samples: 90, noise: 0.3}
  iris: {load: iris}
models:
  linear: {hidden_units: [3], activation: identity}
  relu: {hidden_units: [3], activation: relu, training: {lr: 0.1}}
training: {optimizer: Adam, lr: 0.05, epochs: 6}
seeds: 2
"""

ONE = """\
name: tiny
datasets:
  moons: {make: moons, n_samples: 90, noise: 0.3}
models:
  relu: {hidden_units: [3], activation: relu}
  forest: {sklearn: RandomForestClassifier, n_estimators: 4}
training: {optimizer: Adam, lr: 0.05, epochs: 6}
seeds: 2
"""

EVALUATE = ("run", "tiny.yaml", "--until", "evaluate")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The experiment as it comes out when nothing goes wrong, to its numbers."""
    return finish(WHOLE, tmp_path_factory.mktemp("undisturbed"), "--until", "evaluate")


@pytest.fixture
def small(workspace: Path) -> Path:
    """A working directory with a small experiment that was run to its numbers."""
    (workspace / "tiny.yaml").write_text(SMALL, encoding="utf-8")
    assert main([*EVALUATE]) == 0
    return workspace


def killed(folder: Path, when: str, *arguments: str) -> bool:
    """Run a command that kills itself; False when it was done before it came to that."""
    process = Started(folder, [when, *arguments], {}, module="tests.faults.killed")
    _, errors = process.communicate(timeout=240)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0


def by_role(runs: list[Run], role: str) -> list[Run]:
    return [run for run in runs if run.data.tags.get("photofinish.role") == role]


def newest(runs: list[Run]) -> Run:
    return max(by_role(runs, "comparison"), key=lambda run: run.info.start_time)


def children(runs: list[Run], parent: Run) -> dict[tuple[str, str, str], Run]:
    """Model runs of a comparison, of which there is one each."""
    own = [run for run in by_role(runs, "model") if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
    keyed = {(run.data.params["dataset"], run.data.params["model"], run.data.params["seed"]): run for run in own}
    assert len(keyed) == len(own)
    return keyed


def reused(runs: list[Run], parent: Run) -> set[tuple[str, str, str]]:
    own = children(runs, parent)
    assert {run.data.tags["photofinish.status"] for run in own.values()} == {"complete"}
    assert {run.info.status for run in own.values()} == {"FINISHED"}
    return {key for key, run in own.items() if "photofinish.reused_from" in run.data.tags}


def assert_once(client: MlflowClient, runs: list[Run]) -> None:
    """No metric of any run has two values at one step."""
    for run in runs:
        for key in run.data.metrics:
            steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, key))
            assert set(steps.values()) == {1}, (run.info.run_name, key)


def assert_one_best(runs: list[Run], parent: Run) -> None:
    """Of each dataset × model one run is tagged as the best, and has a model to serve."""
    best = [run for run in children(runs, parent).values() if run.data.tags.get("photofinish.best") == "true"]
    counts = Counter((run.data.params["dataset"], run.data.params["model"]) for run in best)
    assert set(counts) == {key[:2] for key in children(runs, parent)}
    assert set(counts.values()) == {1}
    assert all(run.outputs.model_outputs for run in best)


def whole_comparison(folder: Path) -> tuple[list[Run], Run]:
    """All runs of a folder's store, and its only comparison: finished, all trained for itself, and everything once."""
    client, runs = runs_of(folder)
    (parent,) = by_role(runs, "comparison")
    assert parent.info.status == "FINISHED"
    assert reused(runs, parent) == set()
    assert_once(client, runs)
    assert_one_best(runs, parent)
    return runs, parent


def plain(value: Any) -> Any:
    """Verdicts without what differs from run to run."""
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items() if key not in CHANCE}
    return [plain(of) for of in value] if isinstance(value, list) else value


def assert_same_tables(folder: Path, other: Path) -> None:
    """Tables are equal, to the last bit, but for ids and seconds."""
    for name in ("metrics.csv", "predictions.parquet", "history.parquet"):
        read = pd.read_csv if name.endswith("csv") else pd.read_parquet
        tables = [read(of / name).drop(columns=CHANCE, errors="ignore") for of in (folder, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def assert_same_report(folder: Path, other: Path, but_for: tuple[str, ...] = ()) -> None:
    """Tables, verdicts and pictures are equal but for ids and seconds, and kinds of pictures that show such."""
    assert_same_tables(folder, other)
    verdicts = [json.loads((of / "verdicts.json").read_text(encoding="utf-8")) for of in (folder, other)]
    assert plain(verdicts[0]) == plain(verdicts[1])
    pictures = sorted(file.name for file in (folder / "figures").iterdir())
    assert pictures == sorted(file.name for file in (other / "figures").iterdir())
    for name in pictures:
        if Path(name).stem.endswith(but_for):
            continue
        assert (folder / "figures" / name).read_bytes() == (other / "figures" / name).read_bytes(), name


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_undisturbed(
    undisturbed: Finished, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed by SIGKILL again and again, the same parent run goes on, and no number differs from an undisturbed run's.

    It is killed at random calls of the store and at random moments. In the end no run and no step is there twice.
    """
    (workspace / "tiny.yaml").write_text(WHOLE, encoding="utf-8")
    chance = random.Random(8)
    calls = [chance.randint(8, 130) for _ in range(4)]
    assert all(killed(workspace, f"call:{number}", *EVALUATE) for number in calls)
    process = start(workspace, *EVALUATE)
    wait_for_runs(workspace, 0, process)
    time.sleep(chance.uniform(0, 2))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert main([*EVALUATE]) == 0
    assert "going on with comparison" in capsys.readouterr().err
    runs, parent = whole_comparison(workspace)
    assert_same_tables(*(Path(of.info.artifact_uri) for of in (undisturbed.parent, parent)))
    for key, run in children(runs, parent).items():
        twin = undisturbed.child(key[0], key[1], int(key[2]))
        final = {name: value for name, value in run.data.metrics.items() if not name.startswith("seconds/")}
        assert final.items() <= twin.data.metrics.items(), key
        assert final.keys() == {name for name in twin.data.metrics if not name.startswith("seconds/")}
    searches = by_role(runs, "study")
    assert sorted(run.data.params["dataset"] for run in searches) == ["iris", "moons"]
    assert {run.info.status for run in searches} == {"FINISHED"}
    trials = by_role(runs, "trial")
    given_up = [run for run in trials if "photofinish.reason" in run.data.tags]
    assert {run.info.status for run in given_up} <= {"KILLED"}
    assert {run.info.status for run in trials if run not in given_up} == {"FINISHED"}
    assert len(trials) - len(given_up) == 2 * 3


def test_killed_with_the_verdicts_logged(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed when the last numbers were logged, but not the end, it goes on, and logs no number a second time."""
    (workspace / "tiny.yaml").write_text(ONE, encoding="utf-8")
    assert killed(workspace, "verdict:1", "run", "tiny.yaml")
    _, runs = runs_of(workspace)
    verdicts = {key: value for key, value in newest(runs).data.metrics.items() if key.startswith("verdict/")}
    assert verdicts
    assert main(["run", "tiny.yaml"]) == 0
    assert "4 of 4 model runs are complete" in capsys.readouterr().err
    client, runs = runs_of(workspace)
    (parent,) = by_role(runs, "comparison")
    assert parent.info.status == "FINISHED"
    assert {key: value for key, value in parent.data.metrics.items() if key.startswith("verdict/")} == verdicts
    assert_once(client, runs)


@pytest.mark.slow
def test_model_run_without_the_mark_is_made_again(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model run that was written but not marked complete when the process was killed is deleted and made again.

    The reason stands on it; those before it are kept as they are.
    """
    (workspace / "tiny.yaml").write_text(SMALL, encoding="utf-8")
    assert killed(workspace, "mark:4", *EVALUATE)
    _, runs = runs_of(workspace)
    kept = {run.info.run_id for run in by_role(runs, "model") if "photofinish.status" in run.data.tags}
    (torn,) = (run for run in by_role(runs, "model") if run.info.run_id not in kept)
    assert len(kept) == 3
    assert main([*EVALUATE]) == 0
    assert "going on with comparison" in (said := capsys.readouterr().err)
    assert "3 of 8 model runs are complete" in said
    client, runs = runs_of(workspace)
    (parent,) = by_role(runs, "comparison")
    assert len(children(runs, parent)) == 8
    assert kept < {run.info.run_id for run in children(runs, parent).values()}
    deleted = client.get_run(torn.info.run_id)
    assert deleted.info.lifecycle_stage == "deleted"
    assert deleted.data.tags["photofinish.reason"].startswith("left unfinished")
    assert_once(client, runs)
    assert_one_best(runs, parent)


def test_finished_experiment_run_again_trains_nothing(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished experiment that is run again says that all is reused, trains nothing, and gives the same report.

    It is no new look at test rows. The store gives that report again, and its best runs can be promoted and predict.
    """
    (workspace / "tiny.yaml").write_text(ONE, encoding="utf-8")
    assert main(["run", "tiny.yaml"]) == 0
    first = newest(runs_of(workspace)[1])

    def alarm(*_: object, **__: object) -> None:
        raise AssertionError("something is trained")

    monkeypatch.setattr(runner, "train", alarm)
    capsys.readouterr()
    assert main(["run", "tiny.yaml", "--reports", "again"]) == 0
    assert f"all 4 model runs are reused from comparison {first.info.run_id[:8]} of " in capsys.readouterr().err
    client, runs = runs_of(workspace)
    second = newest(runs)
    assert second.info.run_id != first.info.run_id
    assert len(reused(runs, second)) == 4
    assert_once(client, runs)
    assert_one_best(runs, second)
    assert_same_report(Path("reports/tiny"), Path("again/tiny"))
    page = Path("again/tiny/index.html").read_text(encoding="utf-8")
    assert "4 of 4 model runs, trained for earlier comparisons" in page
    origins = {run.info.run_id for run in children(runs, first).values()}
    assert all(run_id in page for run_id in origins)
    assert set(pd.read_csv("again/tiny/metrics.csv")["reused_from"]) == origins
    assert main(["report", second.info.run_id, "--reports", "rebuilt"]) == 0
    assert Path("rebuilt/tiny/index.html").read_text(encoding="utf-8") == page
    (best, *_) = (run for run in children(runs, second).values() if "photofinish.best" in run.data.tags)
    assert main(["promote", best.info.run_id]) == 0
    pd.DataFrame([[0.0, 0.0], [1.0, 1.0]], columns=["x1", "x2"]).to_csv("rows.csv", index=False)
    assert main(["predict", best.info.run_id, "rows.csv", "--out", "predicted.csv"]) == 0
    assert len(pd.read_csv("predicted.csv")) == 2


def test_changed_file_trains_only_what_changed(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another learning rate of one model trains that model alone; other data that dataset; one more seed that seed."""
    file = small / "tiny.yaml"
    file.write_text(SMALL.replace("lr: 0.1", "lr: 0.2"), encoding="utf-8")
    assert main([*EVALUATE]) == 0
    assert "4 of 8 model runs are reused from comparison" in capsys.readouterr().err
    client, runs = runs_of(small)
    assert {model for _, model, _ in reused(runs, newest(runs))} == {"linear"}
    assert_one_best(runs, newest(runs))
    file.write_text(SMALL.replace("noise: 0.3", "noise: 0.3, random_state: 1"), encoding="utf-8")
    assert main([*EVALUATE]) == 0
    _, runs = runs_of(small)
    assert reused(runs, newest(runs)) == {("iris", model, seed) for model in ("linear", "relu") for seed in "01"}
    assert main([*EVALUATE, "--set", "seeds=3"]) == 0
    _, runs = runs_of(small)
    assert {seed for _, _, seed in reused(runs, newest(runs))} == {"0", "1"}
    assert len(reused(runs, newest(runs))) == 8
    assert_one_best(runs, newest(runs))
    assert_once(client, runs)


def test_fresh_trains_everything(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --fresh nothing is reused, and the numbers are the same."""
    assert main([*EVALUATE, "--fresh"]) == 0
    assert "reused" not in capsys.readouterr().err
    _, runs = runs_of(small)
    parents = by_role(runs, "comparison")
    assert len(parents) == 2
    assert reused(runs, newest(runs)) == set()
    first, second = (children(runs, parent) for parent in parents)
    for key, run in first.items():
        assert run.data.metrics["test/log_loss"] == second[key].data.metrics["test/log_loss"]


def test_run_whose_artifacts_are_gone_is_trained_again(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model run whose weights are gone from the store isn't reused: it is trained again, and a line says so."""
    _, runs = runs_of(small)
    lost = children(runs, newest(runs))["moons", "relu", "1"]
    shutil.rmtree(Path(lost.info.artifact_uri) / "network")
    assert main([*EVALUATE]) == 0
    said = capsys.readouterr().err
    assert "7 of 8 model runs are reused" in said
    assert "trained again, since it can't be read back: 1 model run (moons · relu · seed 1" in said
    _, runs = runs_of(small)
    again = children(runs, newest(runs))["moons", "relu", "1"]
    assert "photofinish.reused_from" not in again.data.tags
    assert again.data.metrics["test/log_loss"] == lost.data.metrics["test/log_loss"]
    assert_one_best(runs, newest(runs))


@pytest.mark.slow
def test_mlflow_run_takes_over_what_was_interrupted(workspace: Path) -> None:
    """`mlflow run` makes a new run, which takes the complete model runs of the interrupted one over and ends the rest.

    The interrupted one is closed, and names its successor; the look at test rows goes along.
    """
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(REPOSITORY / name, workspace)
    (workspace / "tiny.yaml").write_text(SMALL, encoding="utf-8")
    assert killed(workspace, "mark:4", *EVALUATE)
    kept = {run.info.run_id for run in runs_of(workspace)[1] if "photofinish.status" in run.data.tags}
    bin_folder = Path(sys.executable).parent
    environment = {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{workspace / 'mlflow.db'}"
    done = subprocess.run(
        [
            *(str(bin_folder / "mlflow"), "run", ".", "--env-manager", "local", "--experiment-name", "tiny"),
            *("-e", "evaluate", "-P", "experiment=tiny.yaml"),
        ],
        cwd=workspace,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 8 model runs are complete" in done.stderr
    client, runs = runs_of(workspace)
    (old,) = (run for run in by_role(runs, "comparison") if "photofinish.continued_in" in run.data.tags)
    (new,) = (run for run in by_role(runs, "comparison") if run is not old)
    assert old.data.tags["photofinish.continued_in"] == new.info.run_id
    assert old.info.status == "KILLED"
    assert old.data.tags["photofinish.reason"].endswith("is gone")
    assert new.info.status == "FINISHED"
    assert reused(runs, new) == set()
    assert len(children(runs, new)) == 8
    assert children(runs, old) == {}
    assert kept < {run.info.run_id for run in children(runs, new).values()}
    assert {key: value for key, value in new.data.metrics.items() if key.startswith("looks/")} == {
        "looks/moons": 1.0,
        "looks/iris": 1.0,
    }
    assert_once(client, runs)
    assert_one_best(runs, new)


def test_interrupted_comparison_of_something_else_stays_as_it_is(small: Path) -> None:
    """What is to do something else doesn't go on with an interrupted comparison, but reuses what is complete in it."""
    client, runs = runs_of(small)
    parent = newest(runs)
    client.set_terminated(parent.info.run_id, "KILLED")
    assert main([*EVALUATE, "--set", "models.linear.training.lr=0.01"]) == 0
    _, runs = runs_of(small)
    assert client.get_run(parent.info.run_id).info.status == "KILLED"
    assert len(children(runs, parent)) == 8
    assert {model for _, model, _ in reused(runs, newest(runs))} == {"relu"}
