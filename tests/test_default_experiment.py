from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import DEFAULT, own_store, runs_of


@pytest.fixture(scope="module")
def untuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default experiment without tuning."""
    folder = tmp_path_factory.mktemp("untuned")
    with own_store(folder):
        assert main(["run", DEFAULT, "--set", "tuning=null", "--jobs", "2", "--until", "evaluate"]) == 0
    return folder


def scores(folder: Path, metric: str) -> pd.Series[float]:
    """Mean over the seeds, by dataset and model."""
    (table,) = (folder / "mlruns").rglob("metrics.csv")
    metrics = pd.read_csv(table)
    return metrics.groupby(["dataset", "model"])[metric].mean()


@pytest.mark.slow
def test_default_experiment_tells_its_story(default_run: Path) -> None:
    """One parent with 80 complete children and 8 searches; a straight line fails on circles and spirals."""
    _, runs = runs_of(default_run)
    by_role = Counter(run.data.tags["photofinish.role"] for run in runs)
    assert by_role == {"comparison": 1, "model": 80, "study": 8, "trial": 160}
    children = [run for run in runs if run.data.tags["photofinish.role"] in ("model", "study")]
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    models = [run for run in runs if run.data.tags["photofinish.role"] == "model"]
    assert {run.data.tags["photofinish.status"] for run in models} == {"complete"}
    accuracy = scores(default_run, "accuracy")
    assert accuracy["circles", "linear"] < 0.6
    assert accuracy["spirals", "linear"] < 0.6
    assert accuracy["circles", "relu"] > 0.98
    assert accuracy["spirals", "relu"] > 0.97
    assert accuracy["moons", "relu"] > accuracy["moons", "linear"]
    assert accuracy["blobs", "linear"] > 0.98
    assert accuracy["blobs", "relu"] > 0.98
    assert (default_run / "reports/linear_vs_relu/index.html").stat().st_size < 5e6


@pytest.mark.slow
def test_tuning_beats_what_was_given(default_run: Path, untuned: Path) -> None:
    """On rows that the search never saw, the tuned ReLU networks have a lower log loss on spirals and on moons."""
    tuned, given = (scores(folder, "log_loss") for folder in (default_run, untuned))
    for dataset in ("spirals", "moons"):
        assert tuned[dataset, "relu"] < 0.9 * given[dataset, "relu"]
    tuned, given = (scores(folder, "accuracy") for folder in (default_run, untuned))
    assert tuned["spirals", "relu"] > given["spirals", "relu"]
