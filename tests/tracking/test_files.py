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
