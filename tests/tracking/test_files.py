from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.stages.split import SplitSpec, split
from pipeline.tracking.files import load_split, save_split
from tests.making import dataset, mixed_dataset


def test_split_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Values, parts, scaling and the recipe survive the store."""
    saved = split(dataset("d", make="moons", noise=0.3, n_samples=[30, 50]), SplitSpec())
    save_split(saved, tmp_path)
    loaded = load_split("d", tmp_path)
    assert loaded.dataset.recipe == {"make": "moons", "noise": 0.3, "n_samples": [30, 50], "random_state": 42}
    assert loaded.dataset.digest == saved.dataset.digest
    np.testing.assert_array_equal(loaded.dataset.features, saved.dataset.features)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(loaded.rows(part), saved.rows(part))
    np.testing.assert_array_equal(loaded.scale, saved.scale)


def test_split_saved_without_a_recipe_is_read(tmp_path: Path) -> None:
    """Comparisons that were stored before recipes were have none, and are read all the same."""
    save_split(split(dataset("d", make="moons"), SplitSpec()), tmp_path)
    file = tmp_path / "d.json"
    older = {key: value for key, value in json.loads(file.read_text()).items() if key != "recipe"}
    file.write_text(json.dumps(older))
    assert load_split("d", tmp_path).dataset.recipe == {}


def test_groups_times_and_weights_come_back(tmp_path: Path) -> None:
    """What a row belongs to, when it was and how much it counts survive the store; what isn't there isn't after."""
    table, random = dataset("d", make="moons"), np.random.default_rng(0)
    rows = len(table.target)
    given = {
        "groups": random.integers(0, 20, rows),
        "times": random.random(rows) * 20_000,
        "weights": random.random(rows) + 0.5,
    }
    for field, values in given.items():
        save_split(split(replace(table, **{field: values}), SplitSpec()), tmp_path / field)  # type: ignore[arg-type]
        loaded = load_split("d", tmp_path / field).dataset
        np.testing.assert_array_equal(getattr(loaded, field), values)
        assert getattr(loaded, field).dtype == values.dtype
        assert [getattr(loaded, other) for other in given if other != field] == [None, None]


def test_a_table_from_a_file_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Columns, missing values, notices and the encoding survive the store: inputs are the same bits."""
    saved = split(replace(mixed_dataset(), notices=("a notice",)), SplitSpec())
    save_split(saved, tmp_path)
    loaded = load_split("mixed", tmp_path)
    assert loaded.dataset.columns == saved.dataset.columns
    assert loaded.dataset.notices == ("a notice",)
    assert loaded.input_names == saved.input_names
    np.testing.assert_array_equal(loaded.dataset.features, saved.dataset.features)
    np.testing.assert_array_equal(loaded.scaled_features(saved.test), saved.scaled_features(saved.test))
