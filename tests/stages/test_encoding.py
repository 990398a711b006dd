from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline import artifacts
from pipeline.stages.encoding import fit_encoding
from pipeline.stages.split import SplitSpec, split
from tests.making import MIXED, mixed_dataset

NAN = np.nan
NAMES = ("age", "vip", "city", "since", "since: weekday")


def test_inputs_are_those_of_scikit_learns_column_transformer() -> None:
    """What models are given of a mixed table is what scikit-learn's usual preprocessing gives, in single precision."""
    data = mixed_dataset()
    made = split(data, SplitSpec())
    numbers, booleans, categories = [0, 3], [1], [2, 4]
    usual = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", add_indicator=True), numbers),
            ("booleans", SimpleImputer(strategy="most_frequent", add_indicator=True), booleans),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        ]
    )
    train = usual.fit_transform(data.features[made.train])
    scaler = StandardScaler().fit(train[:, :2])
    expected = usual.transform(data.features[made.test])
    expected[:, :2] = scaler.transform(expected[:, :2])
    np.testing.assert_array_equal(made.scaled_features(made.test), expected.astype(np.float32))
    assert made.input_names == (
        *("age", "since", "age is missing", "since is missing", "vip", "vip is missing"),
        *("city = Bruck", "city = Graz", "city = Linz", "city = Wien", "city is missing"),
        *("since: weekday = Monday", "since: weekday = Tuesday", "since: weekday is missing"),
    )


def test_nothing_of_other_rows_has_a_part_in_the_encoding() -> None:
    """Medians, known categories and scaling stay to the bit, whatever the rows outside of training hold."""
    data = mixed_dataset()
    made = split(data, SplitSpec())
    others = data.features.copy()
    others[np.concatenate([made.validation, made.test])] = [1e9, 1.0, 3.0, NAN, 1.0]
    changed = split(replace(data, features=others), SplitSpec())
    np.testing.assert_array_equal(made.scaled_features(made.train), changed.scaled_features(made.train))
    assert made.input_names == changed.input_names
    np.testing.assert_array_equal(made.scale, changed.scale)


@pytest.mark.parametrize(("city", "what"), [(3.0, "known elsewhere"), (-1.0, "never seen"), (NAN, "missing")])
def test_a_category_that_training_has_not_seen_is_none_of_those_it_has(city: float, what: str) -> None:
    """Every input of such a category is 0, be it one of the table's others, one from outside, or missing."""
    train = np.array([[40.0, 1, 0, 18_000, 0], [50.0, 0, 1, 18_001, 1]])
    encoding = fit_encoding(MIXED, NAMES, train)
    assert encoding.names[3:5] == ("city = Bruck", "city = Graz")
    assert encoding.inputs(np.array([[45.0, 1, city, 18_000, 0]])).tolist() == [[45, 18_000, 1, 0, 0, 1, 0]]


def test_missing_where_training_had_all_is_filled_in_without_a_sign() -> None:
    """A number missing for the first time is the median, a boolean the commoner value."""
    train = np.array([[40.0, 1, 0, 18_000, 0], [50.0, 1, 1, 18_002, 1], [60.0, 0, 1, 18_004, 1]])
    encoding = fit_encoding(MIXED, NAMES, train)
    assert encoding.inputs(np.array([[NAN, NAN, 0, NAN, 0]])).tolist() == [[50, 18_002, 1, 1, 0, 1, 0]]


def test_a_column_without_a_value_in_training_is_0() -> None:
    """It says nothing, and its sign that it is missing stands for it."""
    train = np.array([[NAN, NAN, NAN, 18_000, 0], [NAN, NAN, NAN, 18_001, 1]])
    encoding = fit_encoding(MIXED, NAMES, train)
    row = dict(zip(encoding.names, encoding.inputs(np.array([[7.0, 1, 2, 18_000, 0]]))[0], strict=True))
    assert row["age"] == 7
    assert row["age is missing"] == 0
    assert row["city is missing"] == 0
    assert dict(zip(encoding.names, encoding.inputs(train)[0], strict=True))["age"] == 0


def test_blocks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs that are made a few rows at a time are those made at once."""
    data = mixed_dataset()
    made = split(data, SplitSpec())
    at_once = made.scaled_features(made.train)
    monkeypatch.setattr(artifacts, "ENCODED_AT_ONCE", 7)
    np.testing.assert_array_equal(made.scaled_features(made.train), at_once)
