from __future__ import annotations

import signal
import time
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline import runner
from pipeline.cli import main
from pipeline.stages.populations import population_rows, training_rows
from pipeline.training.checkpoints import load_checkpoint
from pipeline.training.population import Population
from tests.faults import trainer
from tests.starting import Started

CHANCE = ["run_id", "train_seconds", "predict_seconds"]  # columns that differ from run to run


def start(folder: Path, *arguments: str) -> Started:
    (folder / "epochs").unlink(missing_ok=True)
    return Started(folder, [str(folder), *arguments], {}, module="tests.faults.trainer")


def trained_epochs(folder: Path) -> dict[int, list[int]]:
    """What the last process trained: first seed of a stack → epochs, in the order in which they ended."""
    places = [line.split(":") for line in (folder / "epochs").read_text(encoding="utf-8").split()]
    return {seed: [int(epoch) for _, epoch in some] for seed, some in groupby(places, lambda place: int(place[0]))}


def saved_epochs(folder: Path) -> dict[int, int]:
    """First seed of a stack → epochs that its checkpoint has."""
    task = trainer.make_task(None)
    rows = training_rows(task.split, task.candidate.spec), population_rows(task.split, task.split.monitored)
    kept = [load_checkpoint(path, *rows).population for path in (folder / "kept").glob("*.sealed")]
    return {population.members[0].seed: population.epoch for population in kept}


@pytest.mark.slow
def test_training_goes_on_after_kills(tmp_path: Path) -> None:
    """Killed in training, and in the very write of a checkpoint, it ends with the bits of one that never stopped.

    Networks, curves and recorded frames do. No epoch that a checkpoint has is trained again: each process begins with
    the epoch after it, and stacks that are done are only announced.
    """
    killed = start(tmp_path)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("kept/*.sealed")):
        assert killed.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    first = saved_epochs(tmp_path)
    assert list(first) == [0]
    assert 0 < first[0] < 6000

    assert start(tmp_path, "die").wait() == -signal.SIGKILL
    second = saved_epochs(tmp_path)
    assert trained_epochs(tmp_path)[0][0] == first[0] + 1
    assert second[0] > first[0]
    assert second[0] < 6000 or len(second) == 2
    assert list((tmp_path / "kept").glob("*.sealed.*"))  # the half of a file, which nobody takes for a whole one

    assert start(tmp_path).wait() == 0
    third = trained_epochs(tmp_path)
    for seed in (0, 2):
        begun = second.get(seed, 0)
        assert third[seed] == (list(range(begun + 1, 6001)) or [6000])
    whole = trainer.digest(trainer.make_task(None), tmp_path / "undisturbed")
    assert (tmp_path / "digest").read_text(encoding="utf-8") == whole


def test_damaged_checkpoints_are_trained_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a checkpoint cut short and one with a bit flipped a line says so, and these two alone are trained again.

    All numbers are those of before.
    """
    command = ["run", "tiny.yaml", "--until", "evaluate", "--seeds", "1"]
    with monkeypatch.context() as patch:  # as if it had been killed between the mark of completion and the deletion
        patch.setattr(runner, "_put_away", lambda *_, **__: None)
        table = run_and_read(command, "first", patch)
    cut, flipped, *_ = kept = sorted(runner.CHECKPOINTS.glob("*/*.sealed"))
    assert len(kept) == 4
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    content = flipped.read_bytes()
    flipped.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    capsys.readouterr()

    populations: set[Population] = set()
    run_epoch = Population.run_epoch

    def follow(population: Population) -> None:
        populations.add(population)
        run_epoch(population)

    monkeypatch.setattr(Population, "run_epoch", follow)
    pd.testing.assert_frame_equal(run_and_read(command, "second", monkeypatch), table, check_exact=True)
    printed = " ".join(capsys.readouterr().err.split())
    assert len(populations) == 2
    assert printed.count("is damaged: it is trained again") == 2
    assert not runner.CHECKPOINTS.parent.exists()


def test_fresh_ignores_checkpoints(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--fresh` trains all, whatever is kept."""
    command = ["run", "tiny.yaml", "--until", "train", "--seeds", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_put_away", lambda *_, **__: None)
        assert main(command) == 0
    epochs: list[int] = []
    run_epoch = Population.run_epoch

    def follow(population: Population) -> None:
        run_epoch(population)
        epochs.append(population.epoch)

    monkeypatch.setattr(Population, "run_epoch", follow)
    assert main([*command, "--fresh"]) == 0
    assert epochs == list(range(1, 13)) * 4


def run_and_read(command: list[str], store: str, patch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Run on a store of its own, and return the table of its model runs."""
    address = f"sqlite:///{Path.cwd() / store}.db"
    patch.setenv("MLFLOW_TRACKING_URI", address)
    assert main(command) == 0
    client = MlflowClient(address)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    (parent,) = client.search_runs(ids, "tags.`photofinish.role` = 'comparison'")
    return pd.read_csv(Path(parent.info.artifact_uri) / "metrics.csv").drop(columns=CHANCE)
