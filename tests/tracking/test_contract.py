"""What a finished comparison leaves in the store, read back through MLflow's own client."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from pipeline.cli import main
from pipeline.experiment_file import load
from pipeline.labels import predicted_labels, threshold_text
from pipeline.stages.reporting.pictures import all_pictures
from pipeline.tracking.descriptions import escaped
from pipeline.tracking.files import load_split
from pipeline.training.networks import predict_logits, probabilities
from pipeline.training.storage import load_network, load_snapshots
from tests.conftest import Finished, report_input
from tests.figures.making import words

CURVES = {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy"}
FINAL = {"test/accuracy", "test/precision", "test/recall", "test/f1", "test/roc_auc", "test/log_loss"}
FINAL |= {"test/balanced_accuracy", "test/average_precision", "test/mcc"}
BEST = {"best/validation_loss", "best/epoch"}
PARAMS = {"dataset", "model", "seed", "hidden_units", "depth", "width", "activation", "optimizer", "lr", "epochs"}


def download(finished: Finished, run_id: str, path: str = "") -> Path:
    """An artifact on disk; `mlflow-artifacts` needs the store's address."""
    mlflow.set_tracking_uri(f"sqlite:///{finished.folder / 'mlflow.db'}")
    return Path(finished.client.download_artifacts(run_id, path))


def test_one_parent_with_a_child_for_each_model_run(finished: Finished) -> None:
    """One parent, named as the experiment, and dataset × model × seed children nested under it, all FINISHED."""
    assert finished.parent.data.tags["photofinish.experiment"] == "tiny"
    assert finished.parent.info.run_name == "tiny"
    assert finished.client.get_experiment(finished.parent.info.experiment_id).name == "tiny"
    assert len(finished.children) == 2 * 2 * 3
    assert {run.info.status for run in [*finished.children, finished.parent]} == {"FINISHED"}
    assert finished.child("circles", "relu", 1).info.run_name == "circles · relu · seed 1"


def test_children_carry_the_contracts_params_and_tags(finished: Finished) -> None:
    """Params and tags have the contract's names, fingerprints are distinct, and completion is marked."""
    for run in finished.children:
        assert set(run.data.params) >= PARAMS | {"batch_size"}
        assert run.data.tags["photofinish.role"] == "model"
        assert run.data.tags["photofinish.status"] == "complete"
    assert len({run.data.tags["photofinish.fingerprint"] for run in finished.children}) == 12
    params = finished.child("blobs", "relu", 2).data.params
    assert (params["hidden_units"], params["depth"], params["width"]) == ("[4, 3]", "2", "4")
    assert (params["activation"], params["optimizer"], params["lr"], params["epochs"]) == ("relu", "Adam", "0.05", "12")


def test_curves_have_a_value_an_epoch(finished: Finished) -> None:
    """Each curve has the steps 0 … epochs - 1, and the values of `history.parquet`."""
    run = finished.child("blobs", "relu", 2)
    assert set(run.data.metrics) >= CURVES | FINAL | BEST
    history = pd.read_parquet(download(finished, finished.parent.info.run_id, "history.parquet"))
    own = history[history["run_id"] == run.info.run_id]
    for key in CURVES:
        logged = sorted(finished.client.get_metric_history(run.info.run_id, key), key=lambda point: point.step)
        assert [point.step for point in logged] == list(range(12))
        assert [point.value for point in logged] == own[key.replace("/", "_")].tolist()
    losses = own["validation_loss"].to_numpy()
    assert run.data.metrics["best/validation_loss"] == losses.min()
    assert run.data.metrics["best/epoch"] == losses.argmin()


def test_final_metrics_are_those_of_the_ledger(finished: Finished) -> None:
    """`test/accuracy` of every child is the share of test rows in the ledger that its probabilities get right."""
    ledger = pd.read_parquet(download(finished, finished.parent.info.run_id, "predictions.parquet"))
    assert list(ledger.columns[:7]) == ["dataset", "model", "seed", "run_id", "split", "row_id", "label"]
    for run in finished.children:
        own = ledger[(ledger["run_id"] == run.info.run_id) & (ledger["split"] == "test")]
        table = own[[column for column in own.columns if column.startswith("p_")]].dropna(axis=1).to_numpy()
        accuracy = (table.argmax(axis=1) == own["label"]).mean()
        assert run.data.metrics["test/accuracy"] == pytest.approx(accuracy)


def test_pictures_lie_where_the_compare_page_finds_them(finished: Finished) -> None:
    """Every model run has its pictures at the top of its artifacts: files in folders aren't shown side by side."""
    for run in finished.children:
        top = {file.path for file in finished.client.list_artifacts(run.info.run_id) if not file.is_dir}
        assert top == {"checksums.json", "predictions.parquet", "boundary.png", "confusion.png"}


def test_parent_says_where_it_came_from(finished: Finished) -> None:
    """The parent holds the resolved experiment, versions, commit and command, and each stage's wall time."""
    folder = download(finished, finished.parent.info.run_id)
    assert load(folder / "experiment.yaml") == load(finished.folder / "tiny.yaml")
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["versions"]["torch"].startswith("2.13.0")
    assert provenance["command"].startswith("photofinish")
    seconds = {key for key in finished.parent.data.metrics if key.startswith("seconds/")}
    assert seconds == {f"seconds/{stage}" for stage in ("generate", "split", "tune", "train", "evaluate", "report")}
    note = finished.parent.data.tags["mlflow.note.content"]
    assert note.split("\n")[0] == "**Is &lt;b>this&lt;/b> a question?**"


def test_datasets_are_logged_with_a_digest_over_their_content(finished: Finished) -> None:
    """Parent and children name their datasets; equal data have equal digests, other data other ones."""
    inputs = {item.dataset.name: item.dataset for item in finished.parent.inputs.dataset_inputs}
    assert set(inputs) == {"circles", "blobs"}
    (own,) = finished.child("circles", "relu", 0).inputs.dataset_inputs
    assert own.dataset.digest == inputs["circles"].digest != inputs["blobs"].digest
    assert json.loads(own.dataset.source)["sha256"].startswith(own.dataset.digest)


def test_weights_give_the_ledgers_probabilities(finished: Finished) -> None:
    """Every child's weights, read from safetensors, predict the probabilities in its ledger."""
    split = load_split("blobs", download(finished, finished.parent.info.run_id, "data"))
    for seed in range(3):
        run = finished.child("blobs", "relu", seed)
        network = load_network(download(finished, run.info.run_id, "network"))
        assert network.hidden_units == (4, 3)
        predictions = pd.read_parquet(download(finished, run.info.run_id, "predictions.parquet"))
        rows = predictions["row_id"].to_numpy()
        table = probabilities(predict_logits(network, split.scaled_features(rows)), "multiclass")
        np.testing.assert_array_equal(table, predictions[["p_0", "p_1", "p_2"]])


def test_how_networks_learned_lies_beside_them(finished: Finished) -> None:
    """Every run on the plane has stored snapshots, and the report of the store gets those of the median runs."""
    for run in finished.children:
        snapshots = load_snapshots(download(finished, run.info.run_id, "network"))
        assert snapshots is not None
        assert snapshots.epochs.tolist() == [1, 2, 3, 4, 5, 6, 8, 10, 12]
    for representative in report_input(finished).representatives.values():
        stored = load_snapshots(download(finished, representative.run_id, "network"))
        assert representative.snapshots is not None
        assert stored is not None
        assert np.array_equal(representative.snapshots.codes, stored.codes)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["circles", "blobs"])
def test_servable_model_predicts_the_ledger_in_another_process(
    finished: Finished, dataset: str, tmp_path: Path
) -> None:
    """The best run, loaded by mlflow.pyfunc in another process, gives its ledger to 1e-6 and the labels of that."""
    best = [run for run in finished.children if run.data.tags.get("photofinish.best") == "true"]
    assert len(best) == 4
    (run,) = [r for r in best if r.data.params["dataset"] == dataset and r.data.params["model"] == "relu"]
    losses = {
        child.info.run_id: finished.client.get_metric_history(child.info.run_id, "validation/loss")[-1].value
        for child in finished.children
        if (child.data.params["dataset"], child.data.params["model"]) == (dataset, "relu")
    }
    assert min(losses, key=lambda run_id: losses[run_id]) == run.info.run_id
    table = pd.read_parquet(download(finished, finished.parent.info.run_id, "data") / f"{dataset}.parquet")
    predictions = pd.read_parquet(download(finished, run.info.run_id, "predictions.parquet"))
    raw = table.loc[predictions["row_id"], ["feature_0", "feature_1"]].to_numpy()
    np.save(tmp_path / "raw.npy", raw)
    code = (
        "import sys, numpy, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model(sys.argv[2])\n"
        "numpy.save(sys.argv[4], model.predict(numpy.load(sys.argv[3])))\n"
    )
    uri, model = f"sqlite:///{finished.folder / 'mlflow.db'}", f"runs:/{run.info.run_id}/model"
    arguments = [uri, model, str(tmp_path / "raw.npy"), str(tmp_path / "served.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=tmp_path)
    expected = predictions[[c for c in predictions.columns if c.startswith("p_")]].to_numpy()
    served = np.load(tmp_path / "served.npy")
    np.testing.assert_allclose(served[:, :-1], expected, rtol=0, atol=1e-6)
    assert np.array_equal(served[:, -1], predicted_labels(expected))


def test_resamples_are_told_apart_in_the_store(resampled: Finished, finished: Finished) -> None:
    """Children say which resample they are of, and the parent how many there are; run names only of several."""
    assert resampled.parent.data.tags["photofinish.resamples"] == "2"
    assert resampled.child("iris", "relu", 1, 0).info.run_name == "iris · relu · seed 1 · resample 0"
    assert resampled.child("iris", "relu", 1, 1).info.run_name == "iris · relu · seed 1 · resample 1"
    assert finished.parent.data.tags["photofinish.resamples"] == "1"
    assert {run.data.params["resample"] for run in finished.children} == {"0"}


def test_splits_of_all_resamples_are_in_the_store(resampled: Finished) -> None:
    """The rows of resample 0 lie under data/, those of resample 1 beside them, and both are what was trained on."""
    folder = download(resampled, resampled.parent.info.run_id, "data")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"resample_1"}
    ledger = pd.read_parquet(resampled.report / "predictions.parquet")
    for dataset, resample in [("moons", 0), ("moons", 1), ("iris", 0), ("iris", 1)]:
        made = load_split(dataset, folder, resample)
        own = ledger[ledger["run_id"] == resampled.child(dataset, "linear", 0, resample).info.run_id]
        assert made.resample == resample
        assert own["row_id"].tolist() == [*made.validation, *made.test]
        assert own["label"].tolist() == made.dataset.target[own["row_id"]].tolist()
    digests = {name: [load_split(name, folder, r).dataset.digest for r in (0, 1)] for name in ("moons", "iris")}
    assert digests["moons"][0] != digests["moons"][1]
    assert digests["iris"][0] == digests["iris"][1]
    logged = [item.dataset.name for item in resampled.parent.inputs.dataset_inputs]
    assert sorted(logged) == ["iris", "moons", "moons"]


def test_thresholds_are_stored_with_their_runs(thresholded: Finished) -> None:
    """Metrics, tag, `metrics.csv` and ledger name one threshold for each run of two classes, and argmax for more."""
    folder = download(thresholded, thresholded.parent.info.run_id)
    rows = pd.read_csv(folder / "metrics.csv").set_index("run_id")
    ledger = pd.read_parquet(folder / "predictions.parquet")
    assert list(ledger.columns[-5:]) == ["p_0", "p_1", "p_2", "threshold", "resample"]
    columns = ["threshold", "threshold_low", "threshold_high"]
    for run in thresholded.children:
        own, row = ledger[ledger["run_id"] == run.info.run_id], rows.loc[run.info.run_id]
        if run.data.params["dataset"] == "blobs":
            assert run.data.tags["photofinish.threshold"] == "argmax"
            assert not run.data.metrics.keys() & columns
            assert own["threshold"].isna().all()
            assert row[columns].isna().all()
            continue
        assert run.data.tags["photofinish.threshold"] == "f1"
        value = run.data.metrics["threshold"]
        assert set(own["threshold"]) == {value}
        assert row[columns].tolist() == [run.data.metrics[column] for column in columns]
        validation, test = (own[own["split"] == part] for part in ("validation", "test"))
        worth = f1_score(validation["label"], validation["p_1"] > value)
        assert run.data.metrics["threshold_validation_score"] == pytest.approx(worth)
        assert worth >= f1_score(validation["label"], validation["p_1"] > 0.5)
        assert run.data.metrics["test/accuracy"] == pytest.approx(((test["p_1"] > value) == test["label"]).mean())
    assert (rows["threshold"].dropna() != 0.5).all()


def test_a_run_without_a_goal_says_so(finished: Finished) -> None:
    """Without a goal the threshold is 0.5, with no width, and the page has nothing to say of it."""
    run = finished.child("circles", "relu", 0)
    assert run.data.tags["photofinish.threshold"] == "0.5"
    assert [run.data.metrics[f"threshold{end}"] for end in ("", "_low", "_high")] == [0.5, 0.5, 0.5]
    assert "labels are made" not in (finished.report / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("dataset", ["circles", "blobs"])
def test_served_labels_are_those_of_the_ledger(thresholded: Finished, dataset: str) -> None:
    """A served model gives, after the ledger's probabilities, the labels at the run's threshold, and names them."""
    best = [run for run in thresholded.children if run.data.tags.get("photofinish.best") == "true"]
    (run,) = [r for r in best if r.data.params["dataset"] == dataset and r.data.params["model"] == "relu"]
    table = pd.read_parquet(download(thresholded, thresholded.parent.info.run_id, "data") / f"{dataset}.parquet")
    predictions = pd.read_parquet(download(thresholded, run.info.run_id, "predictions.parquet"))
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    metadata = model.metadata.metadata
    probabilities = predictions[metadata["outputs"][:-1]].to_numpy()
    given = model.predict(table.loc[predictions["row_id"], ["feature_0", "feature_1"]].to_numpy().copy())
    np.testing.assert_allclose(given[:, :-1], probabilities, rtol=0, atol=1e-6)
    assert np.array_equal(given[:, -1], predicted_labels(probabilities, predictions["threshold"].iloc[0]))
    assert metadata["outputs"][-1] == "label"
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, given.shape[1])
    if dataset == "circles":
        assert (metadata["threshold"], metadata["rule"]) == (run.data.metrics["threshold"], "f1")
    else:
        assert not {"threshold", "rule"} & set(metadata)


def test_page_says_how_labels_are_made(thresholded: Finished) -> None:
    """The page names the goal and each model's thresholds, over the seeds, and every picture of labels the goal."""
    page = html.unescape((thresholded.report / "index.html").read_text(encoding="utf-8"))
    assert "circles: labels are made at thresholds chosen on the validation rows for f1: linear 0." in page
    assert "(median of 3 seeds, lowest to highest)" in page
    sentence = "Each run has its own threshold for labels, chosen on validation rows for f1."
    assert page.count(f"{sentence}</figcaption>") == 6
    assert "blobs: labels" not in page


@pytest.mark.parametrize("kind", ["boundaries", "roc", "thresholds"])
def test_pictures_show_the_runs_own_threshold(thresholded: Finished, kind: str) -> None:
    """What a picture of the median runs calls their threshold is what those runs have stored."""
    source = report_input(thresholded)
    (picture,) = [one for one in all_pictures(source).datasets["circles"] if one.kind == kind]
    said = words(picture.draw())
    for model in ("linear", "relu"):
        run = thresholded.client.get_run(source.representatives["circles", model].run_id)
        assert any(threshold_text(run.data.metrics["threshold"]) in text for text in said)
        low, high = run.data.metrics["threshold_low"], run.data.metrics["threshold_high"]
        if kind == "thresholds" and low < high:
            assert any(f"({threshold_text(low)} to {threshold_text(high)})" in text for text in said)


def test_the_parent_says_the_verdict(finished: Finished) -> None:
    """Difference, interval and p-value of each pair are the parent's metrics, and its description has the sentences."""
    verdicts = json.loads((finished.report / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts["run_id"] == finished.parent.info.run_id
    primary = [one for one in verdicts["verdicts"] if one["primary"]]
    assert [one["dataset"] for one in primary] == ["circles", "blobs"]
    for one in primary:
        key = f"verdict/{one['dataset']}/relu_vs_linear"
        logged = [finished.parent.data.metrics[f"{key}/{name}"] for name in ("difference", "low", "high", "p_value")]
        assert logged == [one["difference"], one["low"], one["high"], one["adjusted_p_value"]]
        means = {
            model: np.mean(
                [finished.child(one["dataset"], model, seed).data.metrics["test/accuracy"] for seed in range(3)]
            )
            for model in ("linear", "relu")
        }
        assert one["difference"] == pytest.approx(means["relu"] - means["linear"])
        assert escaped(one["sentence"]) in finished.parent.data.tags["mlflow.note.content"]


@pytest.mark.parametrize("fixture", ["finished", "thresholded", "resampled"])
def test_report_is_rebuilt_from_the_store_alone(
    fixture: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`report` of an id's beginning, elsewhere, without the experiment file, quietly gives the same page and tables."""
    finished: Finished = request.getfixturevalue(fixture)
    capsys.readouterr()  # it may have been made just now
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
    capsys.readouterr()  # what the run itself said, if it was made just now
    assert main(["report", finished.parent.info.run_id[:8], "--jobs", "1"]) == 0
    assert capsys.readouterr().err == ""
    rebuilt = tmp_path / "reports" / "tiny"
    for name in ("index.html", "metrics.csv", "verdicts.json"):
        assert (rebuilt / name).read_bytes() == (finished.report / name).read_bytes()
    for name in ("predictions.parquet", "history.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(rebuilt / name), pd.read_parquet(finished.report / name))


def test_pictures_are_the_same_whoever_draws_them(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn here or by two workers: page, pictures, SVGs (asked for) and data are the same to the byte."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
    for jobs in ("1", "2"):
        arguments = [finished.parent.info.run_id, "--svg", "--jobs", jobs, "--reports", jobs]
        assert main(["report", *arguments]) == 0
    here, workers = (
        {path.name: path.read_bytes() for path in Path(jobs, "tiny").rglob("*") if path.is_file()} for jobs in "12"
    )
    assert here == workers
    pictures = {path.stem for path in (finished.report / "figures").glob("*.png")}
    assert {Path(name).stem for name in here if name.endswith(".svg")} == pictures
    assert ">decision boundary</text>" in here["circles_boundaries.svg"].decode()
    assert here["circles_boundaries.png"] == (finished.report / "figures" / "circles_boundaries.png").read_bytes()


def test_report_of_an_experiment_takes_its_newest_comparison(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report EXPERIMENT` finds the run by the experiment's name; without one it says how to make it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
    assert main(["report", str(finished.folder / "tiny.yaml")]) == 0
    assert finished.parent.info.run_id in (tmp_path / "reports" / "tiny" / "index.html").read_text(encoding="utf-8")
    text = (finished.folder / "tiny.yaml").read_text(encoding="utf-8").replace("name: tiny", "name: other")
    (tmp_path / "other.yaml").write_text(text, encoding="utf-8")
    assert main(["report", "other.yaml"]) == 1
    assert "no finished comparison of 'other'" in capsys.readouterr().err
    Path("experiments").mkdir()
    Path("experiments/deadbeef.yaml").write_text(text.replace("name: other", "name: deadbeef"), encoding="utf-8")
    assert main(["report", "deadbeef"]) == 1  # which may be an id's beginning too
    assert "no finished comparison of 'deadbeef'" in capsys.readouterr().err
    wrong = {
        "0" * 32: "0: no such run in",
        finished.child("circles", "relu", 0).info.run_id: "is no comparison (model)",
    }
    for run_id, said in wrong.items():
        assert main(["report", run_id]) == 2
        assert said in capsys.readouterr().err
