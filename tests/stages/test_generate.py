from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn import datasets

from pipeline.errors import BadInput
from pipeline.stages import generate as stage
from pipeline.stages.generate import DatasetSpec, generate


def make(**keys: object) -> DatasetSpec:
    return DatasetSpec.model_validate(keys)


def test_make_is_scikit_learns_generator() -> None:
    """`make: circles` gives the rows of `sklearn.datasets.make_circles` under the same arguments, bit for bit."""
    made = generate("d", make(make="circles", n_samples=300, noise=0.03, random_state=42))
    features, target = datasets.make_circles(n_samples=300, noise=0.03, random_state=42)
    assert made.features.tobytes() == features.tobytes()
    assert (made.target == target).all()
    assert (made.task, made.class_names, made.feature_names) == ("binary", ("0", "1"), ("x1", "x2"))


@pytest.mark.parametrize(
    "name", [*stage.CLASSIFICATION_GENERATORS, *stage.REGRESSION_GENERATORS, *stage.OWN_GENERATORS]
)
def test_every_generator_works_by_name(name: str) -> None:
    """Each generator is reached by its name, and says rightly whether it makes classes or a real target."""
    made = generate("d", make(make=name))
    assert len(made.features) == len(made.target) > 0
    assert (made.task == "regression") == (name in (*stage.REGRESSION_GENERATORS, "line"))
    assert set(np.unique(made.target)) == set(range(len(made.class_names))) or made.task == "regression"


@pytest.mark.parametrize("name", [*stage.CLASSIFICATION_TABLES, *stage.REGRESSION_TABLES])
def test_every_table_works_by_name(name: str) -> None:
    """Each table of scikit-learn is loaded by its name, with its own feature and class names."""
    made = generate("d", make(load=name))
    bunch = getattr(datasets, f"load_{name}")()
    assert (made.features == bunch.data).all()
    assert made.feature_names == tuple(map(str, bunch.feature_names))
    assert made.class_names == tuple(map(str, bunch.get("target_names", [])))


def test_generator_list_is_complete() -> None:
    """No classification generator or table that scikit-learn has is forgotten."""
    # Left out: several labels a row, clusters of rows and columns, matrices, pictures, text, downloads.
    other = {"biclusters", "checkerboard", "low_rank_matrix", "multilabel_classification", "s_curve", "swiss_roll"}
    other |= {"sparse_coded_signal", "sparse_spd_matrix", "sparse_uncorrelated", "spd_matrix"}
    known = {*stage.CLASSIFICATION_GENERATORS, *stage.REGRESSION_GENERATORS}
    assert {name.removeprefix("make_") for name in datasets.__all__ if name.startswith("make_")} - other == known
    tables = {name.removeprefix("load_") for name in datasets.__all__ if name.startswith("load_")}
    assert tables - {"files", "linnerud", "sample_image", "sample_images", "svmlight_file", "svmlight_files"} == {
        *stage.CLASSIFICATION_TABLES,
        *stage.REGRESSION_TABLES,
    }


def test_generator_without_random_state_is_repeatable() -> None:
    """A file that leaves `random_state` out makes the same data at every run."""
    assert generate("d", make(make="moons", noise=0.2)).digest == generate("d", make(make="moons", noise=0.2)).digest


@pytest.mark.parametrize("keys", [{"make": "moons"}, {"make": "blobs", "centers": [[0, 0], [1, 2]], "random_state": 7}])
def test_recipe_makes_the_data_again(keys: dict[str, object]) -> None:
    """A recipe holds what was given and the random state in effect, survives JSON, and makes the same data."""
    made = generate("d", make(**keys))
    assert made.recipe == {"random_state": stage.DEFAULT_RANDOM_STATE, **keys}
    again = json.loads(json.dumps(made.recipe))
    assert generate("d", make(**again)).digest == made.digest


@pytest.mark.parametrize("name", ["circles", "moons", "blobs"])
def test_rows_can_be_given_class_by_class(name: str) -> None:
    """A list of two numbers, as a file has it, is the number of rows of either class, where scikit-learn has it so."""
    assert np.bincount(generate("d", make(make=name, n_samples=[30, 50])).target).tolist() == [30, 50]


def test_loaded_table_has_no_recipe() -> None:
    """Nobody knows how a table came about."""
    assert generate("d", make(load="wine")).recipe == {}


def test_spirals_are_those_of_cs231n() -> None:
    """The arms follow the published recipe: radius, angle and one normal draw an arm, in order."""
    made = generate("d", make(make="spirals", n_samples=300, n_classes=3, noise=0.2, random_state=1))
    np.random.seed(1)  # noqa: NPY002 - the published code draws from the global generator
    for arm in range(3):
        angle = np.linspace(arm * 4, (arm + 1) * 4, 100) + np.random.randn(100) * 0.2  # noqa: NPY002
        radius = np.linspace(0.0, 1, 100)
        rows = slice(100 * arm, 100 * (arm + 1))
        np.testing.assert_array_equal(made.features[rows], np.c_[radius * np.sin(angle), radius * np.cos(angle)])
        assert (made.target[rows] == arm).all()


def test_line_is_the_published_one() -> None:
    """Without arguments `line` is x = 0, 0.01 … 0.99 and y = 0.7 x + 0.3."""
    made = generate("d", make(make="line"))
    np.testing.assert_allclose(made.features[:, 0], np.arange(0, 1, 0.01))
    np.testing.assert_allclose(made.target, 0.7 * np.arange(0, 1, 0.01) + 0.3)


@pytest.mark.parametrize(
    "keys",
    [
        {"make": "circles", "noise": 0.1},
        {"make": "friedman1"},
        {"make": "gaussian_quantiles"},
        {"make": "hastie_10_2", "n_samples": 100},
        {"make": "line", "noise": 0.1},
        {"make": "moons", "noise": 0.1},
        {"make": "spirals"},
    ],
    ids=lambda keys: keys["make"],
)
def test_resample_of_a_fixed_law_is_another_random_state(keys: dict[str, object]) -> None:
    """Resample 0 is the file's own data; resample 2 is what the generator makes two random states further on."""
    spec = make(**keys, random_state=7)
    assert not spec.shares_table
    assert generate("d", spec, 0).digest == generate("d", spec).digest
    assert generate("d", spec, 2).digest == generate("d", make(**keys, random_state=9)).digest
    assert generate("d", spec, 2).digest != generate("d", spec).digest


@pytest.mark.parametrize(
    "keys", [{"centers": 4}, {}, {"n_samples": [20, 30]}, {"centers": [[0.0, 1.0], [5.0, 5.0]]}], ids=str
)
def test_resamples_of_blobs_have_the_same_centers(keys: dict[str, object]) -> None:
    """Another resample of blobs has other points around the same centers, given or drawn."""
    spec = make(make="blobs", cluster_std=1e-6, **keys)
    first, second = generate("d", spec), generate("d", spec, 1)
    assert not spec.shares_table
    assert set(first.features.ravel()).isdisjoint(second.features.ravel())
    for label in range(len(first.class_names)):
        centers = [made.features[made.target == label].mean(axis=0) for made in (first, second)]
        np.testing.assert_allclose(*centers, atol=1e-5)


@pytest.mark.parametrize(
    "keys",
    [
        {"load": "wine"},
        {"make": "classification"},
        {"make": "regression"},
        {"make": "circles"},
        {"make": "line"},
        {"make": "moons", "noise": 0.0},
        {"make": "spirals", "noise": 0},
    ],
    ids=str,
)
def test_resamples_share_a_table_whose_law_or_points_are_one(keys: dict[str, object]) -> None:
    """Loaded tables, generators that draw their law, and points without noise are the same in every resample."""
    spec = make(**keys)
    assert spec.shares_table
    assert generate("d", spec, 3).digest == generate("d", spec).digest


def test_resample_of_a_random_state_that_cannot_be_counted_up_is_refused() -> None:
    """`random_state: null` would make resamples that can't be made again."""
    with pytest.raises(BadInput, match=r"random_state: None can't be counted up .*; give a whole number"):
        generate("d", make(make="blobs", random_state=None), 1)


def test_labels_become_class_indices() -> None:
    """Labels of -1 and 1 become classes 0 and 1 that keep their names."""
    made = generate("d", make(make="hastie_10_2", n_samples=50))
    assert made.class_names == ("-1", "1")
    assert set(made.target) == {0, 1}


def test_digest_covers_every_value_and_no_name() -> None:
    """One changed value changes the digest; the name in the experiment doesn't."""
    made = generate("a", make(make="moons"))
    assert generate("b", make(make="moons")).digest == made.digest
    features = made.features.copy()
    features[-1, -1] = np.nextafter(features[-1, -1], 9)
    changed = replace(made, features=features)
    assert stage.digest_of(changed.features, changed.target, ["x1", "x2"], ["0", "1"]) != made.digest


@pytest.mark.parametrize(("n_samples", "n_classes", "noise"), [(2, 3, 0.1), (30, 0, 0.1), (30, 3, -0.1)])
def test_impossible_spirals_are_refused(n_samples: int, n_classes: int, noise: float) -> None:
    """Spirals that can't be drawn are refused with a reason, as scikit-learn's generators refuse."""
    with pytest.raises(BadInput):
        generate("d", make(make="spirals", n_samples=n_samples, n_classes=n_classes, noise=noise))
