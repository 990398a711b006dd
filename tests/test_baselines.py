"""Models of scikit-learn beside a network, from the file to the page, through the store and back, and served."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.cli import main
from pipeline.labels import predicted_labels
from pipeline.stages.inference import class_probabilities
from tests.conftest import Finished, finish, runs_of

TEXT = """\
name: tiny
datasets:
  circles: {make: circles, n_samples: 120, noise: 0.03}
  iris: {load: iris}
models:
  logistic: {sklearn: LogisticRegression, C: 0.5, max_iter: 2}
  svc: {sklearn: SVC}
  relu: {hidden_units: [4], activation: relu}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 2
threshold: f1
"""
OF_SKLEARN = ("logistic", "svc")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(TEXT, tmp_path_factory.mktemp("baselines"))


@pytest.fixture
def store(compared: Finished, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    uri = f"sqlite:///{compared.folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def test_one_run_a_seed_with_the_class_and_its_arguments(compared: Finished) -> None:
    """Each seed is a child run; a model of scikit-learn has class and arguments as params, none of a network's."""
    assert len(compared.children) == 2 * 3 * 2
    run = compared.child("iris", "logistic", 1)
    assert run.data.params == {"dataset": "iris", "model": "logistic", "seed": "1", "resample": "0"} | {
        "sklearn": "LogisticRegression",
        "C": "0.5",
        "max_iter": "2",
    }
    assert run.data.tags["photofinish.status"] == "complete"
    assert "failed to converge" in run.data.tags["photofinish.notes"]
    assert "scikit-learn's LogisticRegression" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics["parameters"] == 3 * 4 + 3
    assert not {key for key in run.data.metrics if key.startswith(("best/", "train/", "validation/"))}
    assert "parameters" not in compared.child("iris", "svc", 1).data.metrics
    assert len({run.data.tags["photofinish.fingerprint"] for run in compared.children}) == 12


def test_verdict_and_page_are_of_all_models(compared: Finished) -> None:
    """The first model, one of scikit-learn, is the baseline; curves do without it, and notes say what to know."""
    verdicts = pd.read_json(compared.report / "verdicts.json", typ="series")["verdicts"]
    assert {(one["model"], one["baseline"]) for one in verdicts} == {("svc", "logistic"), ("relu", "logistic")}
    page = (compared.report / "index.html").read_text(encoding="utf-8")
    assert "probabilities by CalibratedClassifierCV on the train rows" in page
    assert "logistic: scikit-learn warned: lbfgs failed to converge" in page
    assert "scikit-learn gives its answer at once" in page
    assert {row.model for row in pd.read_csv(compared.report / "figures/iris_curves.csv").itertuples()} == {"relu"}
    ledger = pd.read_parquet(compared.report / "predictions.parquet")
    assert ledger.groupby(["dataset", "model", "seed"]).size().groupby("dataset").nunique().eq(1).all()


def test_report_from_the_store_is_the_same_to_the_byte(
    compared: Finished, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimators are read back from skops, and give the very page that was written after training."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", compared.parent.info.run_id, "--reports", "again"]) == 0
    for file in compared.report.rglob("*"):
        if file.is_file() and file.suffix != ".parquet":
            assert (tmp_path / "again/tiny" / file.relative_to(compared.report)).read_bytes() == file.read_bytes(), file


@pytest.mark.parametrize("dataset", ["circles", "iris"])
@pytest.mark.parametrize("name", OF_SKLEARN)
def test_served_model_gives_the_ledger(compared: Finished, store: str, name: str, dataset: str) -> None:
    """By mlflow.pyfunc: from raw features the ledger's probabilities, and the label at the run's threshold."""
    (run,) = [
        run
        for run in compared.children
        if run.data.params["model"] == name
        and run.data.params["dataset"] == dataset
        and "photofinish.best" in run.data.tags
    ]
    download = compared.client.download_artifacts
    table = pd.read_parquet(Path(download(compared.parent.info.run_id, "data")) / f"{dataset}.parquet")
    predictions = pd.read_parquet(download(run.info.run_id, "predictions.parquet"))
    raw = table.loc[predictions["row_id"], [key for key in table if key.startswith("feature_")]].to_numpy().copy()
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    served = model.predict(raw)
    shares = class_probabilities(predictions)
    np.testing.assert_allclose(served[:, :-1], shares, rtol=0, atol=1e-12)
    threshold = predictions["threshold"].iloc[0]
    assert np.array_equal(served[:, -1], predicted_labels(shares, threshold))
    assert model.metadata.metadata["outputs"] == [*(f"p_{label}" for label in range(shares.shape[1])), "label"]


def test_no_pickle_is_in_the_store(compared: Finished) -> None:
    """Neither runs nor served models hold a pickle, and a served estimator needs nothing of Photofinish."""
    files = [file for file in (compared.folder / "mlruns").rglob("*") if file.is_file()]
    assert {"estimator.skops", "served_model.py"} <= {file.name for file in files}
    assert not [file for file in files if file.suffix in (".pkl", ".pickle", ".joblib")]
    (script, *_) = [file for file in files if file.name == "served_model.py"]
    code = f"import sys, runpy; runpy.run_path({str(script)!r}); assert 'pipeline' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=compared.folder)


def test_failed_fit_leaves_the_others(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fit that raises ends FAILED with its reason; where all do, the exit code is 1. Here with two workers."""
    wild = "wild: {hidden_units: [4], training: {optimizer: SGD, lr: 1e30}}"
    keys = ["--set", f"models={{bayes: {{sklearn: ComplementNB}}, dummy: {{sklearn: DummyClassifier}}, {wild}}}"]
    assert main(["run", "tiny.yaml", *keys, "--seeds", "2", "--jobs", "2"]) == 0
    assert "bayes with seed 0 failed and is left out: ComplementNB couldn't be fitted" in capsys.readouterr().out
    _, runs = runs_of(workspace)
    failed = {run.data.params["model"] for run in runs if run.info.status == "FAILED"}
    assert failed == {"bayes", "wild"}
    assert main(["run", "tiny.yaml", "--set", "models={bayes: {sklearn: ComplementNB}}", "--seeds", "1"]) == 1
    assert "all 2 model runs failed" in capsys.readouterr().err


def test_regression_without_networks(workspace: Path) -> None:
    """Regressors alone make a whole report, without curves; a classifier is refused, and nothing is created."""
    line = ["--set", "datasets={line: {load: diabetes}}", "--seeds", "2"]
    models = "models={ridge: {sklearn: Ridge}, trees: {sklearn: ExtraTreesRegressor, n_estimators: 5}}"
    assert main(["run", "tiny.yaml", *line, "--set", "models={svc: {sklearn: SVC}}"]) == 2
    assert not (workspace / "mlflow.db").exists()
    assert main(["run", "tiny.yaml", *line, "--set", models]) == 0
    table = pd.read_csv("reports/tiny/metrics.csv")
    assert (table[table["model"] == "ridge"]["r2"] > 0.3).all()
    assert not Path("reports/tiny/figures/line_curves.png").exists()
    (run,) = [run for run in runs_of(workspace)[1] if run.data.tags.get("photofinish.role") == "comparison"]
    assert main(["report", run.info.run_id, "--reports", "again"]) == 0
    assert Path("again/tiny/index.html").read_bytes() == Path("reports/tiny/index.html").read_bytes()


@pytest.mark.parametrize("part", ["test", "validation"])
def test_models_are_compared_without_test_or_without_validation_rows(workspace: Path, part: str) -> None:
    """An empty part is nothing to predict for a model of scikit-learn, and no reason to fail."""
    keys = ["--set", "models={dummy: {sklearn: DummyClassifier}}", "--set", f"split.{part}_size=0", "--seeds", "1"]
    assert main(["run", "tiny.yaml", *keys, "--until", "evaluate"]) == 0
    _, runs = runs_of(workspace)
    assert all("test/accuracy" in run.data.metrics for run in runs if run.data.tags.get("photofinish.role") == "model")
