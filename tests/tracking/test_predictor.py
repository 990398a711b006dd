from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io

from pipeline.cli import main
from pipeline.labels import predicted_labels
from pipeline.stages.inference import class_probabilities
from pipeline.tracking.store import connect
from tests.conftest import Finished
from tests.making import customers


def model_of(finished: Finished, dataset: str, model: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run's servable model, in a working directory of its own."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
    connect()  # MLflow looks for a run's model in the store that was last connected to
    runs = [run for run in finished.children if "photofinish.best" in run.data.tags]
    wanted = {"dataset": dataset, "model": model}
    (run,) = [run for run in runs if wanted.items() <= run.data.params.items()]
    address = f"runs:/{run.info.run_id}/model"
    copy = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder / "m")))
    (copy / "checksums.json").unlink()  # of what someone else has written there may be none
    customers().to_csv("kunden.csv", index=False)
    return copy


@pytest.mark.parametrize("dataset", ["circles", "blobs"])
def test_a_model_of_numbers_predicts_a_table_with_their_names(
    finished: Finished, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks of generated data take columns by the features' names: the ledger's numbers, to 1e-6, and its labels."""
    model = model_of(finished, dataset, "relu", tmp_path, monkeypatch)
    run_id = mlflow.models.Model.load(model).run_id
    table = pd.read_parquet(finished.client.download_artifacts(finished.parent.info.run_id, f"data/{dataset}.parquet"))
    features = table[["feature_1", "feature_0"]]
    features.rename(columns={"feature_0": "x1", "feature_1": "x2"}).to_csv("points.csv", index=False)
    assert main(["predict", run_id, "points.csv", "--out", "p.parquet"]) == 0
    ledger = pd.read_parquet(finished.client.download_artifacts(run_id, "predictions.parquet"))
    predicted, shares = pd.read_parquet("p.parquet").loc[ledger["row_id"]], class_probabilities(ledger)
    np.testing.assert_allclose(class_probabilities(predicted), shares, rtol=0, atol=1e-6)
    assert predicted["label"].astype(int).tolist() == predicted_labels(shares).tolist()


@pytest.mark.parametrize("model", ["relu", "logistic"])
def test_no_code_of_the_store_is_run(
    own_tables: Finished, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts that leave a trace, and a graph whose pickle does: predictions are the same, and there is no trace."""
    folder = model_of(own_tables, "kunden", model, tmp_path, monkeypatch)
    assert main(["predict", str(folder), "kunden.csv", "--out", "before.csv"]) == 0
    trace = tmp_path / "trace"
    for script in folder.rglob("*.py"):
        script.write_text(f"open({str(trace)!r}, 'w').close()\n")
    for graph in folder.rglob("*.pt2"):
        with zipfile.ZipFile(graph, "w") as archive:
            archive.writestr("graph/data/sample_inputs/model.pt", pickle.dumps(Trace(trace)))
    assert main(["predict", str(folder), "kunden.csv", "--out", "after.csv"]) == 0
    assert not trace.exists()
    assert Path("before.csv").read_bytes() == Path("after.csv").read_bytes()


class Trace:
    """Leaves a file behind where it is unpickled, and none where it isn't."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return io.open, (str(self.path), "w")


@pytest.mark.parametrize("part", ["encoding.skops", "estimator.skops"])
def test_a_part_that_would_make_foreign_things_is_refused(
    own_tables: Finished,
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A type that is neither scikit-learn's nor numpy's is named in one line, even where the store calls it trusted."""
    folder = model_of(own_tables, "kunden", "logistic", tmp_path, monkeypatch)
    skops.io.dump(Trace(tmp_path), folder / "artifacts" / part)
    around = json.loads((folder / "artifacts" / "serving.json").read_text())
    around["trusted"][part] = [f"{__name__}.Trace", "pathlib.PosixPath"]
    (folder / "artifacts" / "serving.json").write_text(json.dumps(around))
    capsys.readouterr()
    assert main(["predict", str(folder), "kunden.csv"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert part in line
    assert f"would make pathlib.PosixPath, {__name__}.Trace, which is neither" in line


def test_a_damaged_model_is_named(
    own_tables: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a part is missing, or isn't what it should be, one line says which."""
    folder = model_of(own_tables, "kunden", "relu", tmp_path, monkeypatch)
    for part in ("weights.safetensors", "encoding.skops", "serving.json"):
        file = folder / "artifacts" / part
        content = file.read_bytes()
        for damage in (lambda file: file.unlink(), lambda file: file.write_bytes(b"{")):
            damage(file)
            capsys.readouterr()
            assert main(["predict", str(folder), "kunden.csv"]) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(f"photofinish: {folder}: a part of the model can't be used: ")
        file.write_bytes(content)
