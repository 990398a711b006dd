"""Numbers out of bounds: a network that diverges fails alone, and data that can't be calculated with are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import runs_of

# At this rate one of the six networks diverges.
WILD = """\
name: wild
datasets:
  slope: {make: regression, n_samples: 100, n_features: 2, noise: 5.0}
models:
  linear: {hidden_units: [], training: {lr: 0.1}}
  relu: {hidden_units: [8], activation: relu}
training: {optimizer: SGD, lr: 0.7, epochs: 60}
seeds: 6
"""

TABLE = """\
name: table
datasets:
  d: {file: d.csv, target: y}
models:
  network: {hidden_units: [], training: {epochs: 3}}
  logistic: {sklearn: LogisticRegression}
seeds: 1
"""


def test_a_verdict_says_on_how_many_seeds_it_rests(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One network diverges: it is FAILED with epoch and reason, and everywhere the verdict rests on 5 of 6 seeds."""
    Path("wild.yaml").write_text(WILD, encoding="utf-8")
    assert main(["run", "wild.yaml"]) == 0
    printed = capsys.readouterr().out
    _, runs = runs_of(workspace)
    (failed,) = [run for run in runs if run.info.status == "FAILED"]
    assert failed.data.params["model"] == "relu"
    assert failed.data.tags["photofinish.reason"] == "validation/loss became nan in epoch 7"
    page = Path("reports/wild/index.html").read_text(encoding="utf-8")
    verdicts = json.loads(Path("reports/wild/verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    for said in (printed, page, verdicts[0]["sentence"]):
        assert "5 of 6 and 6 seeds × 20 rows" in said
    assert {tuple(one["seeds"]) for one in verdicts} == {(5, 6)}
    assert {tuple(one["seeds_asked"]) for one in verdicts} == {(6, 6)}
    assert "validation/loss became nan in epoch 7" in printed
    (comparison,) = [run.info.run_id for run in runs if run.data.tags.get("photofinish.role") == "comparison"]
    _compare_with_itself_again(comparison, capsys)


def _compare_with_itself_again(comparison: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare` counts the seed that failed too, where the whole comparison is named."""
    assert main(["run", "wild.yaml", "--fresh", "--until", "evaluate"]) == 0
    _, runs = runs_of(Path.cwd())
    other = next(
        run.info.run_id
        for run in runs
        if run.data.tags.get("photofinish.role") == "comparison" and run.info.run_id != comparison
    )
    capsys.readouterr()
    assert main(["compare", comparison, other]) == 0
    assert "5 of 6 seeds × 20 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("1e308", "1e+308 is too large (beyond ±3.4e+38)"),
        ("-1e40", "-1e+40 is too large (beyond ±3.4e+38)"),
        ("inf", "inf is not finite"),
    ],
)
def test_values_that_cannot_be_calculated_with_are_refused(
    value: str, problem: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An infinite value, or one beyond single precision: a line that names file, column and row; nothing is created."""
    write_table({3: value})
    assert main(["run", "table.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"d.csv, column 'a', row 4: {problem}; " in line
    assert not Path("mlflow.db").exists()


def test_generated_data_out_of_bounds_are_refused(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same of data that are made: the line names the dataset, and nothing is created."""
    assert main(["run", "tiny.yaml", "--set", "datasets.circles.noise=1e300"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "datasets.circles: " in line
    assert "too large (beyond ±3.4e+38)" in line
    assert not Path("mlflow.db").exists()


def test_a_row_far_outside_the_others_fails_the_models_that_have_no_answer(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test row that overflows once it is scaled: its models are FAILED and say so, and no number is made of it."""
    rows = 40
    write_table({}, scale=1e-30)
    Path("table.yaml").write_text(TABLE + "split: {shuffle: false, stratify: false}\n", encoding="utf-8")
    table = pd.read_csv("d.csv", dtype=str)
    table.loc[rows - 1, "a"] = "1e30"  # the last row is a test row
    table.to_csv("d.csv", index=False)
    assert main(["run", "table.yaml"]) == 1
    reason = "the prediction of 1 of 8 test rows became infinite or not a number"
    assert reason in capsys.readouterr().err
    _, runs = runs_of(workspace)
    models = [run for run in runs if run.data.tags.get("photofinish.role") == "model"]
    assert len(models) == 2
    for run in models:
        assert run.info.status == "FAILED"
        assert run.data.tags["photofinish.reason"] == reason
        assert not {"photofinish.status", "photofinish.best"} & run.data.tags.keys()
        assert not [key for key in run.data.metrics if key.startswith("test/")]


def write_table(values: dict[int, str], scale: float = 1.0) -> None:
    """`table.yaml`, and a table with two numbers and two classes; some values of the first column as given."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(40, 2))
    texts = [repr(float(scale * value)) for value in columns[:, 0]]
    for row, text in values.items():
        texts[row] = text
    pd.DataFrame({"a": texts, "b": columns[:, 1], "y": np.arange(40) % 2}).to_csv("d.csv", index=False)
    Path("table.yaml").write_text(TABLE, encoding="utf-8")
