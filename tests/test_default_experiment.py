from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import REPOSITORY, runs_of


@pytest.mark.slow
def test_default_experiment_tells_its_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One parent with 80 complete children; a straight line fails on circles and spirals, is enough for blobs."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(REPOSITORY / "experiments/linear_vs_relu.yaml")]) == 0
    _, runs = runs_of(tmp_path)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == 81
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    assert {run.data.tags["photofinish.status"] for run in children} == {"complete"}
    metrics = pd.read_csv("reports/linear_vs_relu/metrics.csv")
    accuracy = metrics.groupby(["dataset", "model"])["accuracy"]
    worst, best = accuracy.min(), accuracy.max()
    assert best["circles", "linear"] < 0.6
    assert best["spirals", "linear"] < 0.6
    assert worst["circles", "relu"] > 0.95
    assert worst["spirals", "relu"] > 0.9
    assert accuracy.mean()["moons", "relu"] > accuracy.mean()["moons", "linear"]
    assert worst["blobs", "linear"] > 0.98
    assert worst["blobs", "relu"] > 0.98
    assert Path("reports/linear_vs_relu/index.html").stat().st_size < 5e6
