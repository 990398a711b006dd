"""What was truncated or changed in the store is told in one line, and never becomes a number."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import Finished, finish

SMALL = """\
name: tiny
datasets:
  circles: {make: circles, n_samples: 120, noise: 0.03}
models:
  linear: {hidden_units: [4], activation: identity}
  logistic: {sklearn: LogisticRegression}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 2
"""

Damage = Callable[[bytes], bytes]


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit of the last tenth, where most files hold values rather than a description of them."""
    place = len(content) - len(content) // 10 - 1
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = [truncated, flipped]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished comparison of a network and a baseline, done once."""
    return finish(SMALL, tmp_path_factory.mktemp("stored"))


@pytest.fixture
def store(stored: Finished, monkeypatch: pytest.MonkeyPatch) -> Iterator[Finished]:
    """The same in the working directory; artifacts are whole again after each test."""
    monkeypatch.chdir(stored.folder)
    shutil.copytree("mlruns", "whole")
    yield stored
    shutil.rmtree("mlruns")
    Path("whole").rename("mlruns")
    shutil.rmtree("rebuilt", ignore_errors=True)


def artifacts_of(run_id: str) -> Path:
    (folder,) = Path("mlruns").glob(f"*/{run_id}/artifacts")
    return folder


def model_of(run_id: str) -> Path:
    """Folder of the servable model that a run has logged."""
    for description in Path("mlruns").glob("*/models/*/artifacts/MLmodel"):
        if run_id in description.read_text(encoding="utf-8"):
            return description.parent
    raise LookupError(run_id)


def best(store: Finished, model: str) -> str:
    (run_id,) = [
        run.info.run_id
        for run in store.children
        if run.data.tags.get("photofinish.best") and run.data.params["model"] == model
    ]
    return str(run_id)


def damage(file: Path, how: Damage) -> None:
    content = file.read_bytes()
    assert how(content) != content
    file.write_bytes(how(content))


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends in, with exit code 1."""
    capsys.readouterr()
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(
    "file",
    [
        "predictions.parquet",
        "metrics.csv",
        "history.parquet",
        "experiment.yaml",
        "data/circles.parquet",
        "data/circles.json",
    ],
)
def test_a_damaged_table_or_split_makes_no_report(
    file: str, how: Damage, store: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ledger, table, history or split that isn't what was written: a line that names run and file, and no report."""
    run_id = store.parent.info.run_id
    damage(artifacts_of(run_id) / file, how)
    line = complaint(["report", run_id, "--reports", "rebuilt"], capsys)
    assert run_id in line
    assert file in line
    assert not Path("rebuilt").exists()


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("linear", "network/weights.safetensors"),
        ("linear", "network/snapshots.npz"),
        ("logistic", "estimator/estimator.skops"),
    ],
)
def test_a_damaged_network_or_estimator_makes_no_report(
    model: str, file: str, how: Damage, store: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same of the networks and estimators that stand for their models in pictures."""
    run_ids = [run.info.run_id for run in store.children if run.data.params["model"] == model]
    for run_id in run_ids:
        damage(artifacts_of(run_id) / file, how)
    line = complaint(["report", store.parent.info.run_id, "--reports", "rebuilt"], capsys)
    assert any(run_id in line for run_id in run_ids)
    assert file in line
    assert not Path("rebuilt").exists()


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_ledger_is_not_compared(how: Damage, store: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare` says which run's predictions were damaged, instead of a verdict on them."""
    run_ids = [run.info.run_id for run in store.children]
    damage(artifacts_of(store.parent.info.run_id) / "predictions.parquet", how)
    line = complaint(["compare", *run_ids, "--reports", "rebuilt"], capsys)
    assert "predictions.parquet was damaged" in line
    assert not Path("rebuilt").exists()


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("command", ["predict", "promote"])
@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("linear", "extra_files/weights.safetensors"),
        ("linear", "extra_files/serving.json"),
        ("linear", "data/model.pt2"),
        ("logistic", "artifacts/estimator.skops"),
    ],
)
def test_a_damaged_model_neither_predicts_nor_becomes_champion(
    model: str, file: str, command: str, how: Damage, store: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any file of a servable model that isn't what was logged is named in one line; nothing is predicted by it."""
    run_id = best(store, model)
    damage(model_of(run_id) / file, how)
    pd.DataFrame({"x1": [0.1], "x2": [0.2]}).to_csv("table.csv", index=False)
    line = complaint(["predict", run_id, "table.csv"] if command == "predict" else ["promote", run_id], capsys)
    assert f"{file} was damaged" in line


def test_a_missing_file_is_named(store: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that has gone from the store is told as one that was damaged is."""
    run_id = store.parent.info.run_id
    (artifacts_of(run_id) / "metrics.csv").unlink()
    line = complaint(["report", run_id, "--reports", "rebuilt"], capsys)
    assert line == f"photofinish: run {run_id}: metrics.csv is missing; run its experiment again"


def test_damaged_checksums_are_told(store: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """Checksums that can't be read themselves make no report either."""
    run_id = store.parent.info.run_id
    damage(artifacts_of(run_id) / "checksums.json", truncated)
    assert "checksums.json can't be read" in complaint(["report", run_id, "--reports", "rebuilt"], capsys)


def test_runs_of_older_versions_are_read(store: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs without checksums make the report that they always made; a truncated file of theirs is one line still."""
    for file in Path("mlruns").rglob("checksums.json"):
        file.unlink()
    run_id = store.parent.info.run_id
    assert main(["report", run_id, "--reports", "rebuilt"]) == 0
    assert Path("rebuilt/tiny/metrics.csv").read_bytes() == Path("reports/tiny/metrics.csv").read_bytes()
    for file in ("predictions.parquet", "data/circles.json", "metrics.csv"):
        damage(artifacts_of(run_id) / file, truncated)
        assert run_id in complaint(["report", run_id, "--reports", "rebuilt"], capsys)
