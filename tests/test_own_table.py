"""One's own table, through the real commands: from a file to a promoted model, predictions and a server's answers."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

from pipeline.cli import main
from pipeline.labels import predicted_labels
from pipeline.stages.inference import class_probabilities
from tests.conftest import Finished, finish
from tests.making import customers
from tests.serving import serving

CLASSES = {"kunden": ["=ja", "nö"], "stufen": ["<b>tief</b>", "höher 😀", "mittel"]}
REGRESSION = """\
name: tiny
datasets:
  kunden: {file: kunden.csv, target: preis, drop: [klasse, stufe]}
models:
  relu: {hidden_units: [4]}
  ridge: {sklearn: Ridge}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 1
"""


@pytest.fixture
def here(own_tables: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, with the tables and their store at hand."""
    monkeypatch.chdir(tmp_path)
    yield from reaching(own_tables, monkeypatch)


def reaching(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
    yield finished.folder
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def ledger_of(finished: Finished, run_id: str) -> pd.DataFrame:
    """A run's rows of the ledger, by row id."""
    ledger = pd.read_parquet(finished.report / "predictions.parquet")
    return ledger[ledger["run_id"] == run_id].set_index("row_id").sort_index()


def assert_like_the_ledger(predicted: pd.DataFrame, ledger: pd.DataFrame, classes: list[str]) -> None:
    """Every row of the ledger has its probabilities, to 1e-6, and the label that its threshold gives."""
    rows = predicted.set_index("row_id").loc[ledger.index]
    shares = class_probabilities(ledger.dropna(axis=1, how="all"))
    np.testing.assert_allclose(rows[[f"p_{name}" for name in classes]], shares, rtol=0, atol=1e-6)
    labels = predicted_labels(shares, ledger["threshold"].iloc[0])
    assert rows["label"].tolist() == [classes[label] for label in labels]


@pytest.mark.parametrize("model", ["relu", "logistic"])
@pytest.mark.parametrize("dataset", CLASSES)
def test_predictions_are_the_ledgers(own_tables: Finished, here: Path, dataset: str, model: str) -> None:
    """Each model predicts its own file, row by row, with the ledger's numbers, and the labels of its threshold."""
    run_id = own_tables.child(dataset, model, 0).info.run_id
    table = here / ("kunden.csv" if dataset == "kunden" else "kunden.parquet")
    assert main(["predict", run_id, str(table), "--out", "p.parquet"]) == 0
    predicted = pd.read_parquet("p.parquet")
    assert list(predicted) == ["row_id", "label", *(f"p_{name}" for name in CLASSES[dataset])]
    assert predicted["row_id"].tolist() == list(range(240))
    assert_like_the_ledger(predicted, ledger_of(own_tables, run_id), CLASSES[dataset])


def test_a_model_goes_by_many_names_and_to_many_files(
    own_tables: Finished, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By run id, runs:/ and models:/, from CSV and Parquet, columns in any order: the same table, to file or terminal.

    In CSV a label that looks like a formula is marked as text. An index that pandas saved along is no column.
    """
    run_id = own_tables.child("kunden", "logistic", 0).info.run_id
    assert main(["promote", run_id, "--as", "named"]) == 0
    columns = ["<i>seit</i>", "vip", "größe", "=ort", "code", "kinder"]
    customers()[columns].to_csv("turned.csv", index=False)
    customers()[columns].rename(index=lambda row: 2 * row).to_parquet("turned.parquet")
    made = []
    for model, table, out in (
        (run_id, here / "kunden.csv", "a.parquet"),
        (f"runs:/{run_id}/model", "turned.csv", "b.parquet"),
        ("models:/named@champion", "turned.parquet", "c.parquet"),
        ("models:/named/1", here / "kunden.parquet", "d.csv"),
    ):
        assert main(["predict", model, str(table), "--out", out]) == 0
        made.append(pd.read_parquet(out) if out.endswith("parquet") else pd.read_csv(out))
    assert f"240 rows predicted: {out}" in capsys.readouterr().out
    assert main(["predict", run_id, str(here / "kunden.csv")]) == 0
    made.append(pd.read_csv(io.StringIO(capsys.readouterr().out)))
    assert set(made[-1]["label"]) == {"'=ja", "nö"}
    for other in made[1:]:
        pd.testing.assert_frame_equal(other.assign(label=other["label"].str.lstrip("'")), made[0], rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("regression")
    customers().to_csv(folder / "kunden.csv", index=False)
    return finish(REGRESSION, folder)


@pytest.mark.parametrize("model", ["relu", "ridge"])
def test_a_regression_predicts_the_ledger_in_its_units(
    regression: Finished, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predictions, without labels, equal the ledger's to 1e-6, by the command and by mlflow.pyfunc."""
    monkeypatch.chdir(tmp_path)
    for folder in reaching(regression, monkeypatch):
        run_id = regression.child("kunden", model, 0).info.run_id
        assert main(["predict", run_id, str(folder / "kunden.csv"), "--out", "p.csv"]) == 0
        served = mlflow.pyfunc.load_model(f"runs:/{run_id}/model").predict(customers())
    predicted, ledger = pd.read_csv("p.csv"), ledger_of(regression, run_id)
    assert list(predicted) == ["row_id", "prediction"]
    for answers in (predicted.set_index("row_id"), served):
        np.testing.assert_allclose(answers.loc[ledger.index, "prediction"], ledger["prediction"], rtol=0, atol=1e-6)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as JSON has it: null where a cell is missing, whole numbers where they are."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows


def answered(address: str, rows: list[dict[str, Any]], *, split: bool = False) -> pd.DataFrame:
    """What the server says of some rows."""
    body: dict[str, Any] = {"dataframe_records": rows}
    if split:
        body = {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}
    answer = requests.post(f"{address}/invocations", json=body, timeout=60)
    assert answer.ok, answer.text
    return pd.DataFrame(answer.json()["predictions"])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["relu", "logistic"])
def test_the_champion_is_served_without_photofinish(
    own_tables: Finished, here: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed `mlflow models serve`, where Photofinish can't be imported, answers with the ledger's numbers.

    One row or all, with nulls; whole numbers where training had fractions, codes with gaps, an unseen category, as the
    command predicts them; a column of another kind is an error that names it.
    """
    run_id = own_tables.child("kunden", model, 0).info.run_id
    assert main(["promote", run_id, "--as", model]) == 0
    command = capsys.readouterr().out.partition("serve ")[2].strip()
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text("import sys\nsys.modules['pipeline'] = None\n")
    environment = {"PYTHONPATH": str(tmp_path / "blocked")}
    imported = subprocess.run([sys.executable, "-c", "import pipeline"], env=environment, capture_output=True)
    assert b"ModuleNotFoundError" in imported.stderr
    table = customers().drop(columns=["klasse", "stufe", "preis"])
    odd = table[:9].assign(**{"größe": range(45, 54), "=ort": ["Paris", *table["=ort"][1:9]]})
    odd.to_parquet("odd.parquet")
    assert main(["predict", run_id, "odd.parquet", "--out", "odd_predicted.parquet"]) == 0
    with serving(command, **environment) as address:
        everything = answered(address, records(table), split=True)
        single = pd.concat([answered(address, [row]) for row in records(table[:12])], ignore_index=True)
        of_odd = answered(address, records(odd))
        wrong = requests.post(
            f"{address}/invocations", json={"dataframe_records": [{**records(odd)[0], "größe": "groß"}]}, timeout=60
        )
    ledger = ledger_of(own_tables, run_id)
    assert_like_the_ledger(everything.rename_axis("row_id").reset_index(), ledger, CLASSES["kunden"])
    pd.testing.assert_frame_equal(single, everything[:12], rtol=0, atol=1e-6)
    expected = pd.read_parquet("odd_predicted.parquet").drop(columns="row_id")
    pd.testing.assert_frame_equal(of_odd[list(expected)], expected, rtol=0, atol=1e-6)
    assert wrong.status_code == 400
    assert "größe" in wrong.json()["message"]


def test_no_pickle_is_in_the_store_but_in_graphs(own_tables: Finished) -> None:
    """Runs and models hold safetensors, skops and JSON; MLflow's graphs, pt2, are read by nothing of ours."""
    suffixes = {file.suffix for file in (own_tables.folder / "mlruns").rglob("*") if file.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy"}
    assert {".safetensors", ".skops", ".pt2"} <= suffixes


def written(table: pd.DataFrame) -> Callable[[], str]:
    def write() -> str:
        table.to_csv("new.csv", index=False)
        return "new.csv"

    return write


def cut_short() -> str:
    customers().to_parquet("new.parquet")
    content = Path("new.parquet").read_bytes()
    Path("new.parquet").write_bytes(content[: len(content) * 2 // 3])
    return "new.parquet"


def made(name: str, content: str | None = None) -> Callable[[], str]:
    def make() -> str:
        if content is None:
            Path(name).mkdir()
        else:
            Path(name).write_text(content)
        return name

    return make


TABLE = customers(5).drop(columns=["klasse", "stufe", "preis"])
# The table → how the one line begins, and what else it says.
BAD_TABLES: dict[str, tuple[Callable[[], str], list[str]]] = {
    "missing column": (
        written(TABLE.rename(columns={"größe": "Größe"})),
        ["new.csv has no column 'größe', which the model takes", "did you mean 'Größe'?"],
    ),
    "extra column": (written(TABLE.assign(neu=1)), ["new.csv has a column 'neu'", "remove it"]),
    "text for a number": (
        written(TABLE.assign(größe=["1.5", "2", "viel", "3", "4"])),
        ["new.csv, column 'größe', row 3: 'viel' is no number", "correct it"],
    ),
    "a date of another format": (
        written(TABLE.assign(**{"<i>seit</i>": "2024-02-01"})),
        ["new.csv, column '<i>seit</i>', row 1: '2024-02-01' is no date", "correct it"],
    ),
    "numbers for words": (
        written(TABLE.assign(**{"=ort": 7})),
        ["new.csv, column '=ort', row 1: '7' is a number", "'<b>Linz</b>'", "correct the column"],
    ),
    "empty file": (made("new.csv", ""), ["new.csv is empty", "save the table again"]),
    "header only": (written(TABLE[:0]), ["new.csv has a header and no rows", "give it rows"]),
    "cut-short Parquet": (cut_short, ["new.parquet can't be read", "save the table again"]),
    "no file": (lambda: "new.csv", ["new.csv isn't there", "correct the path"]),
    "directory": (made("new.csv"), ["new.csv is a directory", "give the file itself"]),
    "unknown kind of file": (made("new.xlsx", "x"), ["new.xlsx is no kind of file", "CSV or Parquet"]),
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that `predict` says; exit code 2, and no file more than before."""
    before = sorted(Path().iterdir())
    capsys.readouterr()
    assert main(["predict", *arguments]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == ""
    assert sorted(Path().iterdir()) == before
    assert "; " in line
    return line.removeprefix("photofinish: ")


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_table_gets_one_line_and_nothing_is_written(
    case: str, own_tables: Finished, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line that begins with the table's name and says column, row, what and remedy."""
    make, expected = BAD_TABLES[case]
    line = refused(capsys, own_tables.child("kunden", "relu", 0).info.run_id, make(), "--out", "out.csv")
    assert line.startswith(expected[0])
    for part in expected:
        assert part in line


def test_a_gap_is_refused_where_training_had_none(
    own_tables: Finished, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model of a table without gaps, which knows nothing to put there, refuses one: row and column are named."""
    run = own_tables.child("wine", "logistic", 0)
    names = mlflow.models.get_model_info(f"runs:/{run.info.run_id}/model").metadata["features"]
    table = pd.DataFrame(np.ones((3, 13)), columns=names)
    table.to_csv("whole.csv", index=False)
    assert main(["predict", run.info.run_id, "whole.csv", "--out", "whole_predicted.csv"]) == 0
    table.loc[1, names[4]] = np.nan
    table.to_csv("new.csv", index=False)
    line = refused(capsys, run.info.run_id, "new.csv", "--out", "out.parquet")
    assert line.startswith(f"new.csv, column {names[4]!r}, row 2: has no value")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("models:/nobody@champion", "models:/nobody@champion: no model can be read there"),
        ("models:/nobody/1", "models:/nobody/1: no model can be read there"),
        ("f" * 32, f"{'f' * 32}: no model can be read there"),
        ("nonsense", "nonsense: no model can be read there"),
        ("models:/foreign/1", "models:/foreign/1: is no model of Photofinish; predict with mlflow models predict"),
    ],
)
def test_what_is_no_model_of_ours_is_refused(
    model: str, expected: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown address, and a model that someone else has logged: exit code 2, one line that names the address."""
    if "foreign" in model:
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        script = Path("foreign.py")
        script.write_text(
            "import mlflow\nclass M(mlflow.pyfunc.PythonModel):\n"
            "    def predict(self, model_input: list[str]): return model_input\nmlflow.models.set_model(M())\n"
        )
        with mlflow.start_run():
            mlflow.pyfunc.log_model(name="m", python_model="foreign.py", registered_model_name="foreign")
    assert refused(capsys, model, str(here / "kunden.csv"), "--out", "out.csv").startswith(expected)


def test_bad_destinations_are_refused(
    own_tables: Finished, here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A missing folder, an odd suffix, a folder, the table itself: told before anything is read."""
    customers().to_csv("t.csv", index=False)
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("t.csv")
    for out, expected in {
        "none/out.csv": "--out: there is no folder none; make it",
        "out.xlsx": "--out: 'out.xlsx' is neither CSV nor Parquet; give a name that ends in .csv or .parquet",
        "out": "--out: 'out' is neither",
        "d.csv": "--out: d.csv is a folder",
        "./t.csv": "--out: t.csv is the table",
        "link.csv": "--out: link.csv is the table",
    }.items():
        assert refused(capsys, "f" * 32, "t.csv", "--out", out).startswith(expected)


def test_a_file_that_cannot_be_written_is_named(
    own_tables: Finished, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the system has against a file is said in one line (here its name's length; root may write everywhere)."""
    run_id = own_tables.child("kunden", "relu", 0).info.run_id
    for suffix in (".csv", ".parquet"):
        out = "o" * 252 + suffix
        line = refused(capsys, run_id, str(here / "kunden.csv"), "--out", out)
        assert line.startswith(f"--out: {out} can't be written: File name too long; give another")


PREDICT = """\
import resource, sys
from pipeline.cli import main
assert main(["predict", *sys.argv[1:]]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def predicting(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PREDICT, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The customers two thousand times over."""
    file = tmp_path_factory.mktemp("large") / "large.parquet"
    pd.concat([customers()] * 2000, ignore_index=True).to_parquet(file, row_group_size=10**7)
    return file


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(own_tables: Finished, here: Path, large: Path) -> None:
    """Half a million rows take what a few do, and have their own places in the file as row ids."""
    run_id, peaks = own_tables.child("kunden", "logistic", 0).info.run_id, []
    for table in (here / "kunden.parquet", large):
        with predicting(run_id, str(table), "--out", "p.parquet") as process:
            said = process.communicate()[0].splitlines()
        peaks.append(int(said[-1]) / 1024)
    assert peaks[1] - peaks[0] < 150, peaks
    predicted = pd.read_parquet("p.parquet")
    assert predicted["row_id"].tolist() == list(range(480_000))
    assert predicted["label"][:240].tolist() == predicted["label"][-240:].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_prediction_leaves_no_file_under_its_name(
    own_tables: Finished, here: Path, large: Path, end: signal.Signals
) -> None:
    """Whatever ends the command midway: what lay there stays; only after kill -9 is there a partial file beside it."""
    run_id = own_tables.child("kunden", "relu", 0).info.run_id
    Path("out.csv").write_text("before")
    with predicting(run_id, str(large), "--out", "out.csv") as process:
        until = time.monotonic() + 60
        while not any(file.stat().st_size for file in Path().glob(".out.csv.*.partial")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(end)
    assert Path("out.csv").read_text() == "before"
    assert len(list(Path().iterdir())) == (2 if end == signal.SIGKILL else 1)
