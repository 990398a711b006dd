from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.experiment_file import check, load, to_yaml
from pipeline.stages.tables.spec import TableSpec

FULL = """\
name: x
split: {test_size: 0.3}
datasets:
  churn:
    file: data/churn.csv
    target: churned
    drop: [a, "b {x}"]
    categorical: [zip]
    positive: "yes"
    weights: w
    group: customer
    delimiter: ;
    decimal: ","
    na_values: ["?", -9]
models: {m: {hidden_units: []}}
resamples: 2
"""


def test_a_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """The resolved file has what was written and no other key of a table, and reads back equal, without the data."""
    (tmp_path / "x.yaml").write_text(FULL)
    experiment = load(tmp_path / "x.yaml")
    (tmp_path / "again.yaml").write_text(to_yaml(experiment))
    assert load(tmp_path / "again.yaml") == experiment
    table = experiment.datasets["churn"]
    assert isinstance(table, TableSpec)
    assert set(table.model_dump()) == {
        *("file", "target", "drop", "categorical", "positive", "weights", "delimiter", "decimal", "na_values", "split"),
    }
    assert (table.split.test_size, table.roles) == (0.3, {"weights": "w", "group": "customer"})
    assert experiment.shared_tables == {"churn"}


@pytest.mark.parametrize("positive", [True, 1, 1.0, "1"])
def test_positive_keeps_its_type(positive: object) -> None:
    """A class may be named by text, number or boolean, and is written back as it was."""
    spec = TableSpec.model_validate({"file": "t.csv", "target": "y", "positive": positive})
    assert spec.positive == positive
    assert type(spec.positive) is type(positive)


def test_group_may_stand_beside_the_file_or_in_the_split() -> None:
    """`group` and `time` are the split's wherever they are written; in both places is once too often."""
    beside = TableSpec.model_validate({"file": "t.csv", "target": "y", "time": "t"})
    assert beside == TableSpec.model_validate({"file": "t.csv", "target": "y", "split": {"time": "t"}})
    with pytest.raises(BadInput, match=r"datasets\.d\.time: is given under split too"):
        check(
            {
                "name": "x",
                "datasets": {"d": {"file": "t.csv", "target": "y", "time": "t", "split": {"time": "t"}}},
                "models": {"m": {"hidden_units": []}},
            },
            "x.yaml",
        )
