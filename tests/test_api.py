"""What `import pipeline` gives, and its examples."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import pipeline
import pipeline.api
import pipeline.figures
from pipeline.experiment_file import read_yaml
from pipeline.walk import Options
from tests.comparison.test_tables import numbers
from tests.conftest import REPOSITORY, TINY, Finished, own_store, report_input, runs_of
from tests.test_docs import blocks

HEAVY = {"torch", "pandas", "mlflow", "sklearn", "matplotlib", "numpy", "pydantic"}


@pytest.fixture
def tiny(workspace: Path) -> dict[str, object]:
    return read_yaml(workspace / "tiny.yaml")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pipeline.Finished]:
    """`tiny.yaml` as a mapping, run once until stage evaluate."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    with own_store(folder):
        yield pipeline.run(read_yaml(folder / "tiny.yaml"), until="evaluate")


def test_the_surface_is_what_it_says() -> None:
    """Every name of `__all__` is there, documented, and all that `dir` shows; importing brings nothing heavy."""
    for module in (pipeline, pipeline.figures):
        assert all(getattr(module, name).__doc__ for name in module.__all__)
    assert dir(pipeline) == sorted(pipeline.__all__)
    code = f"import sys, pipeline\nassert pipeline.figures\nassert not {HEAVY} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("module", [pipeline, pipeline.api, pipeline.figures], ids=lambda module: module.__name__)
def test_examples_in_docstrings_hold(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docstrings' examples give what they show."""
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(
        module,
    )
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_examples_on_pages_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's blocks run one after another as they stand, the README's being those under "From Python"."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    found = [block for block in blocks(REPOSITORY / page, "python") if page != "README.md" or "pipeline.run" in block]
    assert found
    for block in found:
        exec(block, names)


def test_a_run_is_the_commands(evaluated: pipeline.Finished, finished: Finished) -> None:
    """A mapping gives the numbers that the command gives for the same file, and says how it was called."""
    told = pd.read_csv(finished.report / "metrics.csv")
    own = evaluated.runs
    assert own is not None
    scores = ["dataset", "model", "seed", "accuracy", "log_loss"]
    pd.testing.assert_frame_equal(own[scores], told[scores])
    assert evaluated.history is not None
    assert evaluated.report is None
    assert len(repr(evaluated)) < 1000  # as a notebook would show it: no tables


def test_nothing_is_printed(tiny: dict[str, object], workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A run is silent, tracked in the working directory, and tagged with the call that repeats it."""
    done = pipeline.run("tiny.yaml", until="split")
    assert capfd.readouterr() == ("", "")
    again = pipeline.run(tiny, until="split", fresh=True)
    client, _ = runs_of(workspace)
    commands = [client.get_run(one.run_id).data.tags["photofinish.command"] for one in (done, again)]
    assert commands == ["pipeline.run('tiny.yaml', until='split')", "pipeline.run({…}, until='split', fresh=True)"]


def test_passwords_stay_out_of_the_call() -> None:
    """An address's password isn't tracked."""
    said = pipeline.api._call("", Options(storage="postgresql://me:secret@host/db"))
    assert said == "pipeline.run({…}, storage='postgresql://me:***@host/db')"


def test_a_verdict_is_the_reports(finished: Finished) -> None:
    """Two models' rows of a report's ledger, as frames or files, give the report's verdict."""
    (expected,) = [one for one in report_input(finished).outcome.primary() if one.dataset == "circles"]
    ledger = pd.read_parquet(finished.report / "predictions.parquet")
    rows = ledger[(ledger["split"] == "test") & (ledger["dataset"] == "circles")]
    relu, linear = (rows[rows["model"] == name] for name in ("relu", "linear"))
    assert numbers(pipeline.verdict(relu, linear)) == numbers(expected)


def test_tables_may_be_files(evaluated: pipeline.Finished, tmp_path: Path) -> None:
    """CSV with commas for points, and Parquet, give what the frames give, and are called by their files."""
    ledger = evaluated.ledger
    assert ledger is not None
    rows = ledger[(ledger["split"] == "test") & (ledger["dataset"] == "blobs")]
    halves = [rows[rows["model"] == name].drop(columns="model") for name in ("relu", "linear")]
    csv, parquet = tmp_path / "mine.csv", tmp_path / "theirs.parquet"
    halves[0].to_csv(csv, index=False, sep=";", decimal=",")
    halves[1].to_parquet(parquet)
    found = pipeline.verdict(csv, str(parquet), metric="log_loss")
    assert (found.model, found.baseline) == ("mine", "theirs")
    assert found == pipeline.verdict(*halves, metric="log_loss", names=("mine", "theirs"))
    assert pipeline.verdict(*halves).model == "model"
    csv.write_text("row_id,label,prediction\n0,1\n")
    with pytest.raises(pipeline.BadInput, match=r"mine\.csv can't be read: .*; save the table again"):
        pipeline.verdict(csv, parquet)


def test_bad_input_is_one_line(tiny: dict[str, object], workspace: Path) -> None:
    """An unknown name, a bad field, a bad option and a bad setting are told by field and remedy; nothing is created."""
    cases = {
        "tinny: no such experiment; check the path": lambda: pipeline.run("tinny"),
        "training.lrr: unknown key (value 1); did you mean 'lr'?": lambda: pipeline.run(
            {**tiny, "training": {"lrr": 1}}
        ),
        "until: 'evaluated' can't be used; give generate, split": lambda: pipeline.run(tiny, until="evaluated"),  # type: ignore[arg-type]
        "jobs: 0 can't be used; give 1 or more": lambda: pipeline.run(tiny, jobs=0),
        "jobs: '2' can't be used; give 1 or more": lambda: pipeline.run(tiny, jobs="2"),  # type: ignore[arg-type]
        "fresh: 'yes' can't be used; give True or False": lambda: pipeline.run(tiny, fresh="yes"),  # type: ignore[arg-type]
        "memory: 0.5 can't be used; give a number of bytes": lambda: pipeline.run(tiny, memory=0.5),  # type: ignore[arg-type]
        "storage: 3 can't be used; give an address, such as": lambda: pipeline.run(tiny, storage=3),  # type: ignore[arg-type]
        "cluster: 4 can't be used; give an address, such as": lambda: pipeline.run(tiny, cluster=4),  # type: ignore[arg-type]
        "cluster: 'local' is no address of a cluster; give a scheduler's": lambda: pipeline.run(tiny, cluster="local"),
        "memory: 0 MiB are too few for one network of": lambda: pipeline.run(tiny, memory=1),
        "model: 1 is no table; give a DataFrame, or the path of a file": lambda: pipeline.verdict(1, 2),  # type: ignore[arg-type]
        "metric: 'acuracy' can't be used; should be 'accuracy'": lambda: pipeline.verdict(
            "a.csv", "b.csv", metric="acuracy"
        ),  # type: ignore[arg-type]
        "a.csv isn't there; correct the path": lambda: pipeline.verdict("a.csv", "b.csv"),
        "names: both are called 'one'; give two names": lambda: pipeline.verdict(
            "a.csv", "b.csv", names=("one", "one")
        ),
    }
    for line, call in cases.items():
        with pytest.raises(pipeline.BadInput) as told:
            call()
        assert str(told.value).startswith(line)
    assert [path.name for path in workspace.iterdir()] == ["tiny.yaml"]
