"""Tables whose rows come in groups, or in time, from the file to the verdict, through the store and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.cli import main
from tests.conftest import Finished, finish, report_input

TEXT = """\
name: tiny
datasets:
  customers: {file: visits.csv, target: bought, group: customer}
  days: {file: visits.csv, target: bought, drop: [customer], split: {time: day}}
models:
  linear: {hidden_units: []}
  relu: {hidden_units: [4], tuning: {trials: 2, folds: 3, space: {lr: [0.01, 0.1, log]}}}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 2
threshold: f1
"""


def visits(rows: int = 240) -> pd.DataFrame:
    """Visits of forty customers on eighty days, in no order."""
    random = np.random.default_rng(0)
    customer, liking = random.integers(0, 40, rows), random.normal(size=40)
    shown = random.normal(size=rows)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 80, rows), unit="D")
    bought = np.where(liking[customer] + shown + random.normal(size=rows) > 0, "yes", "no")
    names = [f"Mx. {number} ü" for number in customer]
    return pd.DataFrame({"customer": names, "day": day.strftime("%Y-%m-%d"), "shown": shown, "bought": bought})


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("groups")
    visits().to_csv(folder / "visits.csv", index=False)
    return finish(TEXT, folder)


def parts(compared: Finished, dataset: str, column: str) -> dict[str, pd.Series]:
    """Values of a column of the file, part by part, by the row ids of the ledger and what is left over."""
    ledger = pd.read_parquet(compared.report / "predictions.parquet")
    ids = ledger[ledger["dataset"] == dataset].groupby("split")["row_id"].unique()
    train = np.setdiff1d(np.arange(240), np.concatenate(list(ids)))
    return {part: visits()[column].iloc[rows] for part, rows in {"train": train, **ids}.items()}


def test_no_customer_is_in_two_parts_and_customers_are_the_cases(compared: Finished) -> None:
    """Parts of a grouped table share no group, and verdict and page say how many groups the test rows come in."""
    found = {part: set(values) for part, values in parts(compared, "customers", "customer").items()}
    assert sum(map(len, found.values())) == visits()["customer"].nunique()
    assert set().union(*found.values()) == set(visits()["customer"])
    verdicts = json.loads((compared.report / "verdicts.json").read_text())["verdicts"]
    groups = {one["dataset"]: one["groups"] for one in verdicts}
    assert groups == {"customers": len(found["test"]), "days": None}
    sentence = next(one["sentence"] for one in verdicts if one["dataset"] == "customers" and one["primary"])
    assert f" rows in {len(found['test'])} groups" in sentence
    page = (compared.report / "index.html").read_text()
    assert "intervals take groups, not rows, for independent cases" in page
    assert "days: parts follow one another in time" in page


def test_the_future_is_tested_on(compared: Finished) -> None:
    """Test rows are later than validation rows, and these later than training rows."""
    days = parts(compared, "days", "day")
    assert days["train"].max() < days["validation"].min()
    assert days["validation"].max() < days["test"].min()


def test_the_verdict_can_be_read_back_from_the_store(compared: Finished) -> None:
    """Groups and times lie beside the data, so that a report made again says the same."""
    source = report_input(compared)
    assert source.splits["customers"].dataset.groups is not None
    assert source.splits["days"].dataset.times is not None
    written = json.loads((compared.report / "verdicts.json").read_text())["verdicts"]
    again = [(one.groups, one.low, one.high, one.sentence) for one in source.outcome.verdicts]
    assert again == [(one["groups"], one["low"], one["high"], one["sentence"]) for one in written]


@pytest.mark.parametrize(
    ("datasets", "complaint"),
    [
        ("d: {make: moons, split: {group: customer}}", "datasets.d.split.group: 'customer': d has no such column, not"),
        (
            "d: {load: iris, split: {time: day}}",
            "datasets.d.split.time: 'day': d has no such column, not being a table",
        ),
        ("d: {file: v.csv, target: bought, group: customer, time: day}", "datasets.d.split: group and time are both"),
        ("d: {file: v.csv, target: bought, time: once}", "datasets.d.split.time: no row is left that is earlier than"),
        ("d: {file: v.csv, target: bought, group: half}", "datasets.d.split.group: 2 groups can't be parted so that 2"),
    ],
)
def test_what_cannot_be_parted_is_one_line_and_nothing_is_made(
    datasets: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; the line names file, field, what is wrong and what to do; there is no store, and no report."""
    monkeypatch.chdir(tmp_path)
    visits().assign(once="2024-01-01", half=np.arange(240) % 2).to_csv("v.csv", index=False)
    text = f"name: x\ndatasets: {{{datasets}}}\nmodels: {{a: {{hidden_units: []}}}}\n"
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "x.yaml"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"x.yaml: {complaint}" in line
    assert ";" in line
    assert sorted(file.name for file in tmp_path.iterdir()) == ["v.csv", "x.yaml"]
