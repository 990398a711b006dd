from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from pipeline.artifacts import Dataset, Split
from pipeline.stages.split import SplitSpec, split, undivided
from tests.making import dataset


@pytest.fixture(scope="module")
def moons() -> Dataset:
    return dataset("moons", make="moons", n_samples=200, noise=0.3)


def parts(made: Split) -> tuple[set[int], set[int], set[int]]:
    return set(made.train.tolist()), set(made.validation.tolist()), set(made.test.tolist())


@pytest.mark.parametrize("stratify", [True, False])
def test_rows_are_those_of_train_test_split(moons: Dataset, stratify: bool) -> None:
    """With the same random_state, the test rows are scikit-learn's, in its order; so is the validation part."""
    made = split(moons, SplitSpec(test_size=0.2, validation_size=0.2, random_state=5, stratify=stratify))
    rows = np.arange(200)
    rest, test = train_test_split(rows, test_size=0.2, random_state=5, stratify=moons.target if stratify else None)
    train, validation = train_test_split(
        rest, test_size=40, random_state=5, stratify=moons.target[rest] if stratify else None
    )
    assert made.test.tolist() == test.tolist()
    assert made.validation.tolist() == validation.tolist()
    assert made.train.tolist() == train.tolist()


def test_resamples_are_splits_of_further_random_states(moons: Dataset) -> None:
    """Resample r has the rows of `random_state + r` and scaling of its own; resample 0 is the split itself."""
    made = [split(moons, SplitSpec(random_state=5), resample) for resample in range(3)]
    assert [one.resample for one in made] == [0, 1, 2]
    for resample, one in enumerate(made):
        alone = split(moons, SplitSpec(random_state=5 + resample))
        assert [one.train.tolist(), one.validation.tolist(), one.test.tolist()] == [
            alone.train.tolist(),
            alone.validation.tolist(),
            alone.test.tolist(),
        ]
        np.testing.assert_allclose(one.center, moons.features[one.train].mean(axis=0))
    assert len({frozenset(one.test.tolist()) for one in made}) == 3


def test_parts_are_disjoint_and_complete(moons: Dataset) -> None:
    """Every row is in exactly one part, and sizes are shares of the whole table."""
    made = split(moons, SplitSpec(test_size=0.25, validation_size=0.1))
    train, validation, test = parts(made)
    assert train | validation | test == set(range(200))
    assert (len(train), len(validation), len(test)) == (130, 20, 50)


def test_sizes_may_be_rows(moons: Dataset) -> None:
    """Whole numbers are numbers of rows, as in scikit-learn."""
    made = split(moons, SplitSpec(test_size=30, validation_size=10))
    assert (len(made.train), len(made.validation), len(made.test)) == (160, 10, 30)


def test_order_is_kept_without_shuffle(moons: Dataset) -> None:
    """`shuffle: false` takes the last rows for testing, those before them for validation."""
    made = split(moons, SplitSpec(test_size=0.1, validation_size=0.1, shuffle=False, stratify=False))
    assert made.test.tolist() == list(range(180, 200))
    assert made.validation.tolist() == list(range(160, 180))
    assert made.train.tolist() == list(range(160))


def test_no_validation_rows_means_test_rows_are_watched(moons: Dataset) -> None:
    """`validation_size: 0` is allowed, and says which rows are watched instead; likewise `test_size: 0`."""
    made = split(moons, SplitSpec(validation_size=0))
    assert (made.monitored, made.final, len(made.validation)) == ("test", "test", 0)
    made = split(moons, SplitSpec(test_size=0))
    assert (made.monitored, made.final, len(made.test)) == ("validation", "validation", 0)


@pytest.mark.parametrize(
    ("name", "scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler()), ("robust", RobustScaler())]
)
def test_scaler_is_fitted_on_train_rows_alone(moons: Dataset, name: str, scaler: StandardScaler) -> None:
    """Scaled values are those of scikit-learn's scaler, fitted on the training rows."""
    made = split(moons, SplitSpec(scaler=name))
    expected = scaler.fit(moons.features[made.train]).transform(moons.features[made.test])
    np.testing.assert_allclose(made.scaled_features(made.test), expected, rtol=1e-6, atol=1e-6)


def test_constant_feature_survives_scaling() -> None:
    """A feature without spread is centered and not blown up to NaN."""
    made = dataset("d", make="moons")
    features = made.features.copy()
    features[:, 0] = 3.0
    from dataclasses import replace

    for name in ("standard", "minmax", "robust"):
        scaled = split(replace(made, features=features), SplitSpec(scaler=name))
        assert np.isfinite(scaled.scaled_features(scaled.train)).all()


def test_no_scaler_leaves_values_alone(moons: Dataset) -> None:
    """`scaler: none` hands the data on as they are, in single precision."""
    made = split(moons, SplitSpec(scaler="none"))
    assert (made.scaled_features(made.train) == moons.features[made.train].astype(np.float32)).all()


def test_regression_target_is_scaled_with_train_statistics() -> None:
    """A real target is standardised by the training rows, so that a step size fits whatever its units are."""
    made = split(dataset("d", load="diabetes"), SplitSpec())
    train = made.scaled_target(made.train)
    assert abs(float(train.mean())) < 1e-6
    assert float(train.std()) == pytest.approx(1, abs=1e-6)
    unscaled = split(dataset("d", load="diabetes"), SplitSpec(scaler="none"))
    assert (unscaled.target_center, unscaled.target_scale) == (0, 1)


@pytest.mark.parametrize("name", ["moons", "line"])
def test_undivided_rows_are_all_trained_on(name: str) -> None:
    """Undivided, a dataset's rows are training rows in their order, and scaling is fitted on all of them."""
    table = dataset(name, make=name, n_samples=50)
    made = undivided(table, "standard")
    assert made.train.tolist() == list(range(50))
    assert len(made.validation) == len(made.test) == 0
    assert made.center.tolist() == table.features.mean(axis=0).tolist()
    assert (made.target_scale == 1.0) == (name == "moons")
