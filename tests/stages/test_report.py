from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.cli import main
from pipeline.comparison.thresholds import Goal
from pipeline.stages.reporting.notes import notes, threshold_notes
from pipeline.stages.reporting.source import median_runs
from pipeline.stages.reporting.tables import runs_of
from pipeline.stages.split import SplitSpec, split
from tests.conftest import REPOSITORY, TINY, Finished
from tests.making import dataset


class Page(HTMLParser):
    """Addresses, tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_folder_holds_what_the_contract_names(finished: Finished) -> None:
    """Page, tables, a picture of each kind for each dataset and its data are there, and artifacts of the parent."""
    kinds = ("boundaries", "calibration", "classes", "confusion", "curves", "disagreement", "roc", "thresholds")
    pictures = {f"{dataset}_{kind}" for dataset in ("circles", "blobs") for kind in kinds}
    pictures |= {"headline", "forest", "noise"}
    figures = finished.report / "figures"
    assert {path.name for path in figures.iterdir()} == {f"{name}.{end}" for name in pictures for end in ("png", "csv")}
    assert all(len(pd.read_csv(figures / f"{name}.csv")) for name in pictures)
    metrics = pd.read_csv(finished.report / "metrics.csv")
    expected = ["dataset", "model", "seed", "run_id", "status", "accuracy", "precision", "recall", "f1", "roc_auc"]
    expected += ["log_loss", "balanced_accuracy", "average_precision", "mcc"]
    assert list(metrics.columns[:14]) == expected
    assert len(metrics) == 12
    run_id = finished.parent.info.run_id
    logged = {file.path for path in ("", "report") for file in finished.client.list_artifacts(run_id, path)}
    tables = {"metrics.csv", "predictions.parquet", "history.parquet", "verdicts.json"}
    assert {"report/index.html", "report/figures", *tables} <= logged


def test_page_is_self_contained_and_escapes_what_it_shows(finished: Finished) -> None:
    """Every picture is inside the page, nothing is fetched, and a question with tags in it stays text."""
    page = Page((finished.report / "index.html").read_text(encoding="utf-8"))
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.addresses)
    assert sum(address.startswith("data:") for address in page.addresses) == 23
    assert "b" not in page.tags
    assert "Is <b>this</b> a question?" in page.words


def test_page_says_where_numbers_come_from_without_validation_or_test_rows(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one part empty, console and page say in words which rows stand in for it."""
    text = TINY.replace("noise: 0.03}", "noise: 0.03, split: {validation_size: 0}}")
    text = text.replace("centers: 3}", "centers: 3, split: {test_size: 0}}")
    Path("tiny.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "tiny.yaml", "--seeds", "1"]) == 0
    printed = capsys.readouterr().out
    page = Path("reports/tiny/index.html").read_text(encoding="utf-8")
    for shown in (printed, page):
        assert "circles: there are no validation rows (validation_size: 0), so the rows watched" in shown
        assert "blobs: there are no test rows (test_size: 0), so the final numbers come from the validation" in shown
    assert "validation accuracy" in " ".join(printed.split())


def test_notes_tell_what_weights_do(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal, page and metrics.csv say which models have class weights, and what that does to their numbers."""
    arguments = ["--seeds", "1", "--set", "models.relu.training.class_weight={1: 4}", "--set", "name=weighted"]
    assert main(["run", "tiny.yaml", *arguments]) == 0
    said = "relu: trained with class weights (1 4), so its probabilities lean towards the classes that weigh more"
    for shown in (capsys.readouterr().out, Path("reports/weighted/index.html").read_text(encoding="utf-8")):
        assert f"circles: {said}" in shown
        assert f"blobs: {said}" in shown
        assert "linear: trained with" not in shown
    runs = pd.read_csv("reports/weighted/metrics.csv")
    told = {
        (model, "loss is the weighted one" in str(note))
        for model, note in zip(runs["model"], runs["note"], strict=True)
    }
    assert told == {("linear", False), ("relu", True)}
    moons = split(replace(dataset("moons", make="moons"), weights=np.linspace(1, 2, 100)), SplitSpec())
    (line,) = notes({"moons": moons})
    assert line.startswith("moons: rows have weights, which count in the loss that is minimised")


def test_notes_tell_how_labels_are_made() -> None:
    """Each model's thresholds over its seeds, what flatters, and runs out of the goal's reach are said in words."""
    moons = split(dataset("moons", make="moons"), SplitSpec())
    runs = pd.DataFrame({"dataset": "moons", "model": ["a", "a", "a", "b"], "seed": [0, 1, 2, 0], "resample": 0})
    runs = runs.assign(status="FINISHED", threshold=[0.2, 0.31, 0.3, 0.7], threshold_reached=[True, False, True, True])
    goal = Goal("precision", 0.9)
    chosen, missed = notes({"moons": moons}, runs, goal)
    assert chosen.startswith(
        "moons: labels are made at thresholds chosen on the validation rows for precision>=0.9:"
        " a 0.3 (0.2 to 0.31), b 0.7 (median of 3 seeds, lowest to highest)"
    )
    assert missed.startswith("moons: no threshold reaches precision>=0.9 on the validation rows in some runs")
    assert missed.endswith(": a (1 of 3).")
    untested = split(dataset("moons", make="moons"), SplitSpec(test_size=0))
    assert any("which flatters them" in note for note in notes({"moons": untested}, runs, goal))
    (fixed,) = notes({"moons": moons}, runs, Goal(level=0.3))
    assert fixed.startswith("moons: labels are made at the fixed threshold 0.3")
    assert notes({"moons": moons}, runs) == []
    blobs = split(dataset("blobs", make="blobs"), SplitSpec())
    assert notes({"blobs": blobs}, runs, goal) == []
    assert threshold_notes(moons, runs.assign(status="FAILED"), goal) == []


def test_notes_tell_how_rows_were_parted() -> None:
    """That groups are the cases, and how many there are, and that parts follow one another in time, is said."""
    table = dataset("moons", make="moons", n_samples=200)
    grouped = split(dataclasses.replace(table, groups=np.arange(200) % 40), SplitSpec())
    (line,) = notes({"moons": grouped})
    assert f"the {len(grouped.test)} test rows are those of {len(set((grouped.test % 40).tolist()))} groups" in line
    timed = split(dataclasses.replace(table, times=np.arange(200.0)), SplitSpec(test_size=0))
    (_, line) = notes({"moons": timed})
    assert line.startswith("moons: parts follow one another in time, the validation rows being the latest;")


def test_regression_has_its_own_numbers_and_pictures(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real target gets MAE, RMSE and R², a picture of the fit, and no confusion matrix."""
    Path("line.yaml").write_text(
        "name: line\ndatasets:\n  line: {make: line}\n  diabetes: {load: diabetes}\n"
        "models: {linear: {hidden_units: [], activation: identity}}\ntraining: {epochs: 20}\nseeds: 2\n",
        encoding="utf-8",
    )
    assert main(["run", "line.yaml"]) == 0
    figures = {path.name for path in Path("reports/line/figures").glob("*.png")}
    assert figures == {"line_fit.png", "line_curves.png", "diabetes_fit.png", "diabetes_curves.png"} | {
        "diabetes_importance.png",
        "noise.png",
    }
    assert "test MAE" in " ".join(capsys.readouterr().out.split())
    assert {"mae", "mse", "rmse", "r2"} <= set(pd.read_csv("reports/line/metrics.csv").columns)


def test_pictures_of_an_earlier_report_are_removed(workspace: Path) -> None:
    """A dataset that is no longer in the file leaves no stale picture behind."""
    stale = Path("reports/tiny/figures/gone_roc.png")
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    assert main(["run", "tiny.yaml", "--seeds", "1", "--set", "training.epochs=2"]) == 0
    assert not stale.exists()


def test_median_run_is_the_lower_of_the_middle_two() -> None:
    """The network in pictures is resample 0's median seed's: of an even number the lower, of equals the first seed."""
    runs = pd.DataFrame(
        {
            "dataset": "d",
            "model": "m",
            "seed": [0, 1, 2, 3, 4, 0, 1],
            "run_id": list("abcdefg"),
            "status": ["FINISHED"] * 4 + ["FAILED"] + ["FINISHED"] * 2,
            "accuracy": [0.9, 0.7, 0.8, 0.8, None, 0.1, 0.1],
            "resample": [0] * 5 + [1] * 2,
        }
    )
    assert median_runs(runs, {"d": "accuracy"}) == {("d", "m"): (2, "c")}


def test_page_says_what_is_over_resamples_and_what_is_of_one(resampled: Finished, finished: Finished) -> None:
    """Tables are over all resamples, pictures of resample 0, and a search that saw later test rows is told of."""
    page = (resampled.report / "index.html").read_text(encoding="utf-8")
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert captions
    of_all = [caption for caption in captions if not caption.endswith("Resample 0 of 2.")]
    assert [caption.split()[0] for caption in of_all] == ["95", "How"]  # intervals, and how far scores move
    assert "account for the split, the seeds and the choice of test rows" in of_all[0]
    assert page.count("over seeds and 2 resamples.") == 5
    runs = pd.read_csv(resampled.report / "metrics.csv")
    for name in ("moons", "iris"):
        accuracy = runs_of(runs, name, "linear")["accuracy"]
        assert len(accuracy) == 4
        assert f"<td>{accuracy.mean():.3f} ± {accuracy.std(ddof=1):.3f}</td>" in page
    f1 = runs_of(runs, "iris", "linear")["f1"]
    assert "macro average</td>" in page
    assert page.replace("\u00a0", " ").count(f"<td>{f1.mean():.3f} ± {f1.std(ddof=1):.3f}</td>") >= 2
    assert "iris: hyperparameters were searched on resample 0 alone" in page
    assert "moons: hyperparameters" not in page
    assert "iris: 2, splits of one table" in page
    assert "moons: 2, each of new data" in page
    assert not re.search(
        "Resample 0 of|<dt>Resamples|seeds and 2 resamples", (finished.report / "index.html").read_text("utf-8")
    )


def test_workers_draw_without_torch() -> None:
    """What a worker imports to draw pictures leaves torch out, which would take longer than most pictures."""
    code = "import sys, pipeline.stages.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
