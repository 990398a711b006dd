from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.cli import main
from tests.conftest import REPOSITORY, TINY, runs_of

SIZES = "datasets:\n  d: {make: circles}\nmodels:\n  m: {hidden_units: [2]}\n"

# What is typed into a file → what the one line must say: the field, the value, a remedy.
BAD_FILES = {
    "unknown key": (f"name: x\n{SIZES}colour: red\n", ["colour", "unknown key", "'red'"]),
    "misspelt key": (f"name: x\n{SIZES}trainng: {{lr: 1.0}}\n", ["trainng", "did you mean 'training'?"]),
    "misspelt nested key": (f"name: x\n{SIZES}training: {{lrr: 1.0}}\n", ["training.lrr", "did you mean 'lr'?"]),
    "wrong type": (f"name: x\n{SIZES}training: {{lr: quick}}\n", ["training.lr", "'quick'", "number"]),
    "a number as text": (f"name: x\n{SIZES}training: {{epochs: '10'}}\n", ["training.epochs", "'10'", "integer"]),
    "a truth for a number": (f"name: x\n{SIZES}training: {{lr: true}}\n", ["training.lr", "True"]),
    "negative lr": (f"name: x\n{SIZES}training: {{lr: -0.1}}\n", ["training.lr", "-0.1", "greater than 0"]),
    "lr of a model": (
        "name: x\ndatasets: {d: {make: circles}}\nmodels: {m: {hidden_units: [2], training: {lr: 0}}}\n",
        ["models.m.training.lr", "greater than 0"],
    ),
    "not a number": (f"name: x\n{SIZES}training: {{lr: .nan}}\n", ["training.lr", "nan"]),
    "no name": (SIZES, ["name", "is missing", "add it"]),
    "no datasets": ("name: x\nmodels: {m: {hidden_units: []}}\n", ["datasets", "is missing"]),
    "empty datasets": ("name: x\ndatasets: {}\nmodels: {m: {hidden_units: []}}\n", ["datasets", "is empty"]),
    "null datasets": ("name: x\ndatasets:\nmodels: {m: {hidden_units: []}}\n", ["datasets", "None"]),
    "unknown generator": (
        "name: x\ndatasets: {d: {make: circels}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.make", "'circels'", "did you mean 'circles'?"],
    ),
    "unknown table": (
        "name: x\ndatasets: {d: {load: wines}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.load", "did you mean 'wine'?"],
    ),
    "unknown keyword": (
        "name: x\ndatasets: {d: {make: circles, nois: 0.1}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.nois", "make_circles has no such argument", "did you mean 'noise'?"],
    ),
    "bad keyword value": (
        "name: x\ndatasets: {d: {make: circles, n_samples: -5}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d", "n_samples"],
    ),
    "two sources": (
        "name: x\ndatasets: {d: {make: circles, load: wine}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d", "make and load given", "exactly one"],
    ),
    "no source": (
        "name: x\ndatasets: {d: {noise: 0.1}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d", "none of them given"],
    ),
    "a table that isn't there": (
        "name: x\ndatasets: {d: {file: churn.csv, target: churned}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.file", "churn.csv isn't there", "correct the path: it was looked for as /"],
    ),
    "a table without a target": (
        "name: x\ndatasets: {d: {file: churn.csv}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.target", "is missing", "add it"],
    ),
    "a misspelt option of a table": (
        "name: x\ndatasets: {d: {file: churn.csv, target: t, droop: [a]}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.droop", "unknown key", "did you mean 'drop'?"],
    ),
    "a table and a generator": (
        "name: x\ndatasets: {d: {file: churn.csv, target: t, make: moons}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d", "make and file given", "exactly one"],
    ),
    "tuning without a space": (f"name: x\n{SIZES}tuning: {{trials: 20}}\n", ["tuning.space", "is missing", "add it"]),
    "inverted range": (
        f"name: x\n{SIZES}tuning: {{space: {{lr: [0.1, 0.01]}}}}\n",
        ["tuning.space.lr", "inverted", "write [0.01, 0.1]"],
    ),
    "more classes than rows": (
        "name: x\ndatasets: {d: {make: blobs, n_samples: 3, centers: 5}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.centers", "5 classes for 3 rows"],
    ),
    "one class": (
        "name: x\ndatasets: {d: {make: blobs, centers: 1}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d", "single class"],
    ),
    "a split that leaves a class out": (
        "name: x\ndatasets: {d: {make: blobs, n_samples: 12, centers: 6, split: {stratify: false}}}\n"
        "models: {m: {hidden_units: []}}\n",
        ["datasets.d.split", "rows have none of class", "stratify: true"],
    ),
    "too few rows to stratify": (
        "name: x\ndatasets: {d: {make: blobs, n_samples: 6, centers: 6}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.d.split.test_size", "stratify: false"],
    ),
    "nothing to train on": (f"name: x\n{SIZES}split: {{test_size: 0.6, validation_size: 0.4}}\n", ["split", "below 1"]),
    "nothing to train on, in rows": (
        f"name: x\n{SIZES}split: {{test_size: 90, validation_size: 10}}\n",
        ["datasets.d.split", "leave none of 100"],
    ),
    "nothing to measure on": (f"name: x\n{SIZES}split: {{test_size: 0, validation_size: 0}}\n", ["split", "both 0"]),
    "stratified in order": (f"name: x\n{SIZES}split: {{shuffle: false}}\n", ["d.split.stratify", "stratify: false"]),
    "seeds twice": (f"name: x\n{SIZES}seeds: [1, 2, 1]\n", ["seeds", "1 is given more than once"]),
    "no seeds": (f"name: x\n{SIZES}seeds: 0\n", ["seeds", "0"]),
    "empty seeds": (f"name: x\n{SIZES}seeds: []\n", ["seeds", "is empty"]),
    "negative seed": (f"name: x\n{SIZES}seeds: [-1]\n", ["seeds", "-1"]),
    "name with a slash": (f"name: a/b\n{SIZES}", ["name", "'a/b'"]),
    "name that climbs": (f"name: ..\n{SIZES}", ["name", "'..'"]),
    "dataset name with a slash": (
        "name: x\ndatasets: {a/b: {make: circles}}\nmodels: {m: {hidden_units: []}}\n",
        ["datasets.a/b", "can't be a name"],
    ),
    "key twice": (f"name: x\nname: y\n{SIZES}", ["line 2", "duplicate key"]),
    "seeds as text": (f'name: x\n{SIZES}seeds: "3"\n', ["seeds: '3' can't be used; give a whole number, or a list"]),
    "seeds as a truth": (f"name: x\n{SIZES}seeds: true\n", ["seeds: True can't be used; give a whole number"]),
    "indented otherwise": (f"name: x\n{SIZES} seeds: 3\n", ["line", "is indented otherwise"]),
    "a tab": (f"name: x\n\t{SIZES}", ["line 2: is indented by a tab; use spaces"]),
    "no YAML": ("name: [x\n", ["line", "correct the YAML"]),
    "no mapping": ("- a\n- b\n", ["no mapping"]),
    "an object in the YAML": ("name: !!python/object:os.system x\n", ["tag", "correct the YAML"]),
    "loss of another task": (
        f"name: x\n{SIZES}training: {{loss: mse}}\n",
        ["m.training.loss", "'mse'", "bce_with_logits"],
    ),
    "class weights of a real target": (
        "name: x\ndatasets: {d: {make: line}}\nmodels: {m: {hidden_units: []}}\ntraining: {class_weight: balanced}\n",
        ["models.m.training.class_weight: 'balanced'", "d has a real target", "remove it, or leave d out"],
    ),
    "class that isn't there": (
        "name: x\ndatasets: {d: {load: wine}}\nmodels: {m: {hidden_units: []}}\n"
        "training: {class_weight: {clas_1: 2}}\n",
        ["models.m.training.class_weight: 'clas_1' is no class of d", "did you mean 'class_1'?"],
    ),
    "class weights by another name": (
        f"name: x\n{SIZES}training: {{class_weight: balance}}\n",
        ["training.class_weight: 'balance' can't be used", "give balanced, or classes with their weights"],
    ),
    "class weights below 0": (
        f"name: x\n{SIZES}training: {{class_weight: {{1: -2}}}}\n",
        ["training.class_weight.1: -2 can't be used", "greater than 0"],
    ),
    "no class weights": (f"name: x\n{SIZES}training: {{class_weight: {{}}}}\n", ["training.class_weight: {}", "empty"]),
    "class weights too far apart": (
        f"name: x\n{SIZES}training: {{class_weight: {{1: 1e-99}}}}\n",
        [
            "models.m.training: training rows of d weigh from 1e-99 to 1",
            "give weights above 0 that are closer together",
        ],
    ),
    "class weights to be searched": (
        f"name: x\n{SIZES}tuning: {{space: {{lr: [0.1, 0.2]}}}}\ntraining: {{class_weight: {{2: 5}}}}\n",
        ["models.m.training.class_weight: '2' is no class of d; choose from 0, 1"],
    ),
    "batch larger than the rows": (
        f"name: x\n{SIZES}training: {{batch_size: 64}}\n",
        ["models.m.training.batch_size", "64", "60"],
    ),
    "momentum for Adam": (
        f"name: x\n{SIZES}training: {{optimizer: Adam, momentum: 0.9}}\n",
        ["training.momentum", "Adam has no momentum"],
    ),
    "baseline that isn't there": (f"name: x\n{SIZES}compare: {{baseline: relu}}\n", ["compare.baseline", "'relu'"]),
    "no such threshold": (
        f"name: x\n{SIZES}threshold: precision\n",
        ["bad.yaml: threshold: 'precision'", "precision>=0.95", "{cost: {fp: 1, fn: 5}}"],
    ),
    "a threshold of 1": (f"name: x\n{SIZES}threshold: 1\n", ["threshold: 1 ", "a number between 0 and 1"]),
    "a cost of nothing": (f"name: x\n{SIZES}threshold: {{cost: {{fp: 0, fn: 1}}}}\n", ["threshold: {'cost'"]),
    "a threshold without validation rows": (
        f"name: x\n{SIZES}threshold: f1\nsplit: {{validation_size: 0}}\n",
        ["threshold: 'f1'", "d, which has no validation rows", "give split.validation_size"],
    ),
    "a threshold without two classes": (
        "name: x\ndatasets: {d: {make: blobs}}\nmodels: {m: {hidden_units: []}}\nthreshold: 0.3\n",
        ["threshold: '0.3'", "two classes, which no dataset has", "leave it out"],
    ),
    "metric of another task": (f"name: x\n{SIZES}compare: {{metric: mae}}\n", ["compare.metric", "'mae'", "accuracy"]),
    "no resample": (f"name: x\n{SIZES}resamples: 0\n", ["resamples", "0", "greater than or equal to 1"]),
    "too many resamples": (f"name: x\n{SIZES}resamples: 1001\n", ["resamples", "1001", "less than or equal to 1000"]),
    "half a resample": (f"name: x\n{SIZES}resamples: 1.5\n", ["resamples", "1.5", "integer"]),
    "resamples of a table in order": (
        "name: x\ndatasets: {w: {load: wine, split: {shuffle: false, stratify: false}}}\nresamples: 3\n"
        "models: {m: {hidden_units: []}}\n",
        ["resamples", "3 resamples of w would be the same split", "datasets.w.split.shuffle: true"],
    ),
    "a resample without a class": (
        "name: x\ndatasets: {d: {make: blobs, n_samples: 15, split: {stratify: false, random_state: 1}}}\n"
        "models: {m: {hidden_units: []}}\nresamples: 20\n",
        ["datasets.d.split: resample ", "rows have none of class", "stratify: true"],
    ),
    "resamples of no random_state": (
        "name: x\ndatasets: {d: {make: blobs, random_state: null}}\nmodels: {m: {hidden_units: []}}\nresamples: 2\n",
        ["datasets.d.random_state: resample 1: None", "whole number"],
    ),
    "zero units": (
        "name: x\ndatasets: {d: {make: circles}}\nmodels: {m: {hidden_units: [0]}}\n",
        ["models.m.hidden_units.0"],
    ),
}


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; nothing else may be there."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("photofinish: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_gets_one_line_and_nothing_is_created(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that can't be used: exit code 2, one line with file, field, value and remedy, no store, no report."""
    text, expected = BAD_FILES[case]
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "bad.yaml"]) == 2
    line = complaint(capsys)
    assert "bad.yaml" in line
    for part in expected:
        assert part in line
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


NO_STORE = ["there is no tracking store at sqlite:////", "mlflow.db; go to the folder", "MLFLOW_TRACKING_URI"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere"], ["nowhere", "no such experiment"]),
        (["run", "nowhere"], ["run it where your experiments/ lies"]),
        (["run", "."], ["directory"]),
        (["run", "tiny.yaml", "--set", "training.lr"], ["--set", "KEY=VALUE"]),
        (["run", "tiny.yaml", "--set", "training.lr=-1"], ["training.lr", "-1"]),
        (["run", "tiny.yaml", "--set", "question=,"], ["--set question", """--set "question=','\""""]),
        (["run", "tiny.yaml", "--set", "name.first=x"], ["--set name.first", "holds no keys"]),
        (["run", "tiny.yaml", "--seeds", "none"], ["--seeds", "'none'"]),
        (["run", "tiny.yaml", "--jobs", "0"], ["--jobs", "'0'"]),
        (["report"], ["report", "give EXPERIMENT or RUN_ID, or else --compare RUN_ID RUN_ID"]),
        (["report", "tiny", "--compare", "0" * 8, "1" * 8], ["--compare", "give EXPERIMENT or RUN_ID, or else"]),
        (["run", "tiny.yaml", "--until", "dawn"], ["--until", "dawn"]),
        (["run", "tiny.yaml", "--device", "cuda"], ["--device", "no CUDA device"]),
        (["run", "tiny.yaml", "--memory", "much"], ["--memory", "'much'"]),
        (
            ["run", "tiny.yaml", "--memory", "1", "--set", "models.relu.hidden_units=[2000]"],
            ["--memory", "1 MiB are too few for one network of 2001 units"],
        ),
        (["report", "0" * 32], NO_STORE),
        (["report", "0" * 8], NO_STORE),
        (["report", "tiny.yaml"], NO_STORE),
        (["report", "--compare", "0" * 8, "1" * 8], NO_STORE),
        (["compare", "0" * 32, "1" * 32], NO_STORE),
        (["promote", "0" * 8], NO_STORE),
        (["predict", "models:/tiny@champion", "tiny.csv"], NO_STORE),
        (["compare"], ["RUN_ID"]),
        (["compare", "1a2b3c4d", "relu"], ["relu: is no run id", "32 digits"]),
        (["compare", "1a2b3c4d", "1a2b3c4d"], ["1a2b3c4d: is the only run named", "two different ones"]),
        (["fly"], ["fly"]),
        ([], ["COMMAND"]),
    ],
)
def test_bad_argument_gets_one_line(
    arguments: list[str], expected: list[str], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An argument that can't be used: exit code 2 and one line that names it; nothing is created."""
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert main(arguments) == 2
    line = complaint(capsys)
    for part in expected:
        assert part in line
    assert [path.name for path in workspace.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "tiny.yaml", "--set", "training.lrr=1"]])
def test_help_and_bad_input_import_no_heavy_library(arguments: list[str], workspace: Path) -> None:
    """`--help` and complaints come at once: neither torch nor mlflow is imported for them."""
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'mlflow', 'optuna', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    if "--help" in arguments:
        code += "assert not {'sklearn', 'pydantic', 'rich'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment(), capture_output=True)


def test_one_mistake_in_the_defaults_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in `training:` is one mistake, however many models take it over; two mistakes are two."""
    monkeypatch.chdir(tmp_path)
    models = "models: {a: {hidden_units: []}, b: {hidden_units: []}}\n"
    Path("bad.yaml").write_text(f"name: x\ndatasets: {{d: {{make: moons}}}}\n{models}training: {{lrr: 1}}\n")
    assert main(["run", "bad.yaml"]) == 2
    assert " more)" not in complaint(capsys)
    assert main(["run", "bad.yaml", "--set", "training.epochs=-1"]) == 2
    assert "(and 1 more)" in complaint(capsys)


def test_overrides_and_bare_names(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bare name finds its file in experiments/; `--set` and `--seeds` reach what is trained; the time is told."""
    Path("experiments/deep").mkdir(parents=True)
    Path("tiny.yaml").rename("experiments/deep/tiny.yaml")
    arguments = ["run", "tiny", "--set", "training.epochs=3", "--set", "models.linear.training.lr=1e-3", "--seeds", "1"]
    assert main([*arguments, "--until", "evaluate"]) == 0
    printed = capsys.readouterr().out
    assert "mean ± standard deviation over 1 seed" in printed
    assert "\ntook      0:" in printed
    _, runs = runs_of(workspace)
    children = [run for run in runs if run.data.tags["photofinish.role"] == "model"]
    assert len(children) == 4
    assert {run.data.params["epochs"] for run in children} == {"3"}
    assert {run.data.params["lr"] for run in children if run.data.params["model"] == "linear"} == {"0.001"}


def test_list_names_experiments_and_questions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list` shows every experiment file with its question."""
    monkeypatch.chdir(REPOSITORY)
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "experiments/linear_vs_relu.yaml" in printed
    assert "Does a non-linear activation pay for itself" in " ".join(printed.split())


def test_store_that_cannot_be_reached_is_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tracking store that doesn't open ends with exit code 1 and its address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/none/mlflow.db")
    assert main(["run", "tiny.yaml"]) == 1
    assert "sqlite:////proc/none/mlflow.db" in complaint(capsys)


def test_bad_input_under_mlflow_run_closes_its_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `mlflow run` has made a run already, that run ends FAILED and carries the line."""
    uri = f"sqlite:///{workspace / 'mlflow.db'}"
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    Path("tiny.yaml").write_text(TINY.replace("lr: 0.05", "lr: -1"), encoding="utf-8")
    assert main(["run", "tiny.yaml"]) == 2
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["photofinish.reason"].startswith("tiny.yaml: training.lr: -1")


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}
