from __future__ import annotations

import json

from pipeline.stages.split import SplitSpec, split
from pipeline.tracking.writer import _dataset_input
from tests.making import dataset, mixed_dataset


def test_mlflow_is_told_the_kinds_of_columns() -> None:
    """The schema of a file's table names each feature's kind, its profile features and inputs, its source the file."""
    made = _dataset_input(split(mixed_dataset(), SplitSpec()), "training").dataset
    schema, profile = json.loads(made.schema), json.loads(made.profile)
    kinds = dict(zip(schema["features"], schema["kinds"], strict=True))
    assert kinds == {
        "age": "number",
        "vip": "boolean",
        "city": "category",
        "since": "date: days",
        "since: weekday": "date: weekday",
    }
    assert (profile["features"], profile["inputs"]) == (5, 14)
    assert (made.source_type, json.loads(made.source)["uri"]) == ("local", "mixed.csv")


def test_tables_that_are_no_files_have_no_kinds() -> None:
    """A generated table's inputs are its features, and its source is the function."""
    made = _dataset_input(split(dataset(make="moons"), SplitSpec()), "training").dataset
    assert "kinds" not in json.loads(made.schema)
    assert json.loads(made.profile)["inputs"] == 2
    assert json.loads(made.source)["function"] == "sklearn.datasets.make_moons"
