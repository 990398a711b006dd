from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import REPOSITORY, runs_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The default experiment as it is, and without tuning, in one folder."""
    made = tmp_path_factory.mktemp("default")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MLFLOW_", "PHOTOFINISH_"))]:
            patch.delenv(name)
        patch.chdir(made)
        experiment = str(REPOSITORY / "experiments/linear_vs_relu.yaml")
        assert main(["run", experiment, "--jobs", "2"]) == 0
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{made / 'untuned.db'}")
        assert main(["run", experiment, "--set", "tuning=null", "--reports", "untuned", "--jobs", "2"]) == 0
        yield made


def scores(folder: Path, report: str, metric: str) -> pd.Series[float]:
    """Mean over the seeds, by dataset and model."""
    metrics = pd.read_csv(folder / report / "linear_vs_relu/metrics.csv")
    return metrics.groupby(["dataset", "model"])[metric].mean()


@pytest.mark.slow
def test_default_experiment_tells_its_story(folder: Path) -> None:
    """One parent with 80 complete children and 8 searches; a straight line fails on circles and spirals."""
    _, runs = runs_of(folder)
    by_role = Counter(run.data.tags["photofinish.role"] for run in runs)
    assert by_role == {"comparison": 1, "model": 80, "study": 8, "trial": 160}
    children = [run for run in runs if run.data.tags["photofinish.role"] in ("model", "study")]
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    models = [run for run in runs if run.data.tags["photofinish.role"] == "model"]
    assert {run.data.tags["photofinish.status"] for run in models} == {"complete"}
    accuracy = scores(folder, "reports", "accuracy")
    assert accuracy["circles", "linear"] < 0.6
    assert accuracy["spirals", "linear"] < 0.6
    assert accuracy["circles", "relu"] > 0.98
    assert accuracy["spirals", "relu"] > 0.97
    assert accuracy["moons", "relu"] > accuracy["moons", "linear"]
    assert accuracy["blobs", "linear"] > 0.98
    assert accuracy["blobs", "relu"] > 0.98
    assert (folder / "reports/linear_vs_relu/index.html").stat().st_size < 5e6


@pytest.mark.slow
def test_tuning_beats_what_was_given(folder: Path) -> None:
    """On rows that the search never saw, the tuned ReLU networks have a lower log loss on spirals and on moons."""
    tuned, given = (scores(folder, report, "log_loss") for report in ("reports", "untuned"))
    for dataset in ("spirals", "moons"):
        assert tuned[dataset, "relu"] < 0.9 * given[dataset, "relu"]
    assert (
        scores(folder, "reports", "accuracy")["spirals", "relu"]
        > scores(folder, "untuned", "accuracy")["spirals", "relu"]
    )
