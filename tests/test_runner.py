from __future__ import annotations

import signal
from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import REPOSITORY, RESAMPLED, Finished, finish, runs_of, wait_for_runs
from tests.faults.making import ENDLESS, start

CHANCE = ["run_id", "train_seconds", "predict_seconds"]  # columns that differ from run to run


def roles(folder: Path) -> dict[str, int]:
    _, runs = runs_of(folder)
    kinds = [run.data.tags.get("photofinish.role", "") for run in runs]
    return {kind: kinds.count(kind) for kind in set(kinds)}


@pytest.mark.parametrize(
    ("stage", "children", "marked"),
    [("generate", 0, 0), ("split", 0, 0), ("tune", 0, 0), ("train", 4, 0), ("evaluate", 4, 4)],
)
def test_until_stops_after_a_stage(stage: str, children: int, marked: int, workspace: Path) -> None:
    """`--until STAGE` tracks what was done and no more; only an evaluated model run counts as complete."""
    assert main(["run", "tiny.yaml", "--seeds", "1", "--until", stage]) == 0
    assert roles(workspace) == {"comparison": 1, **({"model": children} if children else {})}
    _, runs = runs_of(workspace)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sum(run.data.tags.get("photofinish.status") == "complete" for run in runs) == marked
    assert not Path("reports").exists()


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "wine"])
def test_questions_about_scikit_learns_tables_are_answered(name: str, workspace: Path) -> None:
    """The files in experiments/ that are neither classics nor the default one run as they are, up to their numbers."""
    path = str(REPOSITORY / "experiments" / f"{name}.yaml")
    assert main(["run", path, "--until", "evaluate", "--seeds", "1", "--set", "training.epochs=2"]) == 0
    assert roles(workspace)["model"] == 4


@pytest.mark.slow
def test_workers_give_the_same_numbers(workspace: Path) -> None:
    """Two worker processes give the tables of one process, to the last bit and in the file's order."""
    slow_first = ["run", "tiny.yaml", "--seeds", "2", "--set", "models.linear.training.epochs=4000"]
    slow_first += ["--set", "resamples=2"]
    tables = []
    for jobs in ("1", "2"):
        assert main([*slow_first, "--jobs", jobs, "--until", "evaluate", "--fresh"]) == 0
        newest = max(Path("mlruns").rglob("metrics.csv"), key=lambda path: path.stat().st_mtime_ns)
        tables.append(pd.read_csv(newest).drop(columns=CHANCE))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_resample_0_is_the_experiment_without_resamples(resampled: Finished, tmp_path: Path) -> None:
    """Two resamples change nothing about the first: same fingerprints, hyperparameters, numbers and pictures."""
    alone = finish(RESAMPLED, tmp_path, "--set", "resamples=1")
    keys = ["dataset", "model", "seed"]
    for name in ("metrics.csv", "predictions.parquet", "history.parquet"):
        tables = []
        for run in (resampled, alone):
            table = pd.read_csv(run.report / name) if name.endswith("csv") else pd.read_parquet(run.report / name)
            assert table.columns[-2 if name == "metrics.csv" else -1] == "resample"
            own = table[table["resample"] == 0].drop(
                columns=["run_id", "train_seconds", "predict_seconds"], errors="ignore"
            )
            tables.append(own.reset_index(drop=True))
        pd.testing.assert_frame_equal(*tables, check_exact=True)
        assert len(tables[1][keys].drop_duplicates()) == 8
    for picture in (alone.report / "figures").iterdir():
        # Tuning shows seconds, and the verdict's own pictures are over all resamples.
        if not picture.stem.endswith(("tuning", "forest", "noise")):
            assert (resampled.report / "figures" / picture.name).read_bytes() == picture.read_bytes()
    for run in alone.children:
        twin = resampled.child(run.data.params["dataset"], run.data.params["model"], int(run.data.params["seed"]))
        assert twin.data.params == run.data.params
        assert twin.data.tags["photofinish.fingerprint"] == run.data.tags["photofinish.fingerprint"]


def test_resamples_have_their_own_rows_and_the_first_ones_hyperparameters(resampled: Finished) -> None:
    """Each resample has rows of its own and the hyperparameters found on resample 0, whose best runs are served."""
    assert len(resampled.children) == 2 * 2 * 2 * 2
    assert len({run.data.tags["photofinish.fingerprint"] for run in resampled.children}) == 16
    for dataset in ("moons", "iris"):
        tuned = [run for run in resampled.children if run.data.params["model"] == "relu"]
        widths = {run.data.params["hidden_units"] for run in tuned if run.data.params["dataset"] == dataset}
        assert len(widths) == 1
    ledger = pd.read_parquet(resampled.report / "predictions.parquet")
    test = ledger[ledger["split"] == "test"]
    rows = test.groupby(["dataset", "model", "seed", "resample"])["row_id"].agg(frozenset)
    assert len(rows) == 16
    assert rows.groupby("dataset").nunique().tolist() == [2, 2]
    best = [run.data.params for run in resampled.children if run.data.tags.get("photofinish.best") == "true"]
    assert len(best) == 4
    assert {params["resample"] for params in best} == {"0"}


def test_diverging_run_ends_failed_and_leaves_the_others(
    finished: Finished, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model whose loss becomes NaN ends FAILED with the reason; the others have the numbers they always have."""
    arguments = ["--set", "models.wild={hidden_units: [4], training: {optimizer: SGD, lr: 1e30}}"]
    assert main(["run", "tiny.yaml", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "all failed" in printed
    _, runs = runs_of(workspace)
    failed = [run for run in runs if run.info.status == "FAILED"]
    assert {run.data.params["model"] for run in failed} == {"wild"}
    assert len(failed) == 6
    for run in failed:
        assert "became" in run.data.tags["photofinish.reason"]
        assert "photofinish.status" not in run.data.tags
        assert not {key for key in run.data.metrics if key.startswith("test/")}
    table = pd.read_csv("reports/tiny/metrics.csv")
    calm = table[table["model"] != "wild"].reset_index(drop=True)
    before = pd.read_csv(finished.report / "metrics.csv")
    shared = ["dataset", "model", "seed", "accuracy", "log_loss", "best_validation_loss"]
    pd.testing.assert_frame_equal(calm[shared], before[shared], check_exact=True)
    assert "failed and is left out" in Path("reports/tiny/index.html").read_text(encoding="utf-8")


def test_comparison_in_which_everything_diverges_fails(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When not one network survives there is nothing to report: exit code 1, a line with the reason, parent FAILED."""
    assert main(["run", "tiny.yaml", "--set", "training={optimizer: SGD, lr: 1e30, epochs: 12}"]) == 1
    assert "all 12 model runs failed" in capsys.readouterr().err
    _, runs = runs_of(workspace)
    assert {run.info.status for run in runs} == {"FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)])
def test_signal_marks_the_comparison_killed(number: signal.Signals, jobs: int, workspace: Path) -> None:
    """SIGINT or SIGTERM ends with exit code 130 or 143, workers too; the parent is KILLED, finished children stay."""
    process = start(workspace, "run", "tiny.yaml", "--jobs", str(jobs), "--set", ENDLESS)
    try:
        wait_for_runs(workspace, 6, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert errors == "photofinish: interrupted: what was finished is kept, the rest is marked KILLED\n"
    _, runs = runs_of(workspace)
    statuses = [(run.data.tags["photofinish.role"], run.info.status) for run in runs]
    assert statuses.count(("comparison", "KILLED")) == 1
    assert statuses.count(("model", "FINISHED")) >= 6
    # A model run that was just being written is closed as KILLED, and nothing is left open.
    assert {status for _, status in statuses} == {"FINISHED", "KILLED"}
