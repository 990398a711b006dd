from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import Column, Dataset
from pipeline.labels import predicted_labels
from pipeline.planes import MOST_CODED, code_table, decode, encode, grid, grid_points, is_plane
from pipeline.stages.split import SplitSpec, split
from tests.making import MIXED, dataset, mixed_dataset


def test_the_grid_spans_the_data() -> None:
    """The grid reaches 8 % of the range beyond the data on every side; a constant feature gets room as well."""
    x, y = grid(np.array([[0.0, 5.0], [100.0, 5.0]]), points=11)
    assert (x[0], x[-1]) == pytest.approx((-8, 108))
    assert (y[0], y[-1]) == pytest.approx((4, 6))
    assert len(x) == len(y) == 11


def test_the_grid_spans_the_values_there_are() -> None:
    """Gaps have no part in the ends of a grid."""
    x, y = grid(np.array([[0.0, np.nan], [np.nan, 5.0], [100.0, 7.0]]), points=3)
    assert (x[0], x[-1]) == pytest.approx((-8, 108))
    assert (y[0], y[-1]) == pytest.approx((4.84, 7.16))


def of_columns(*columns: Column, gaps: bool = False) -> Dataset:
    """The mixed table with just two features, said to be of these columns."""
    data = mixed_dataset()
    features = data.features[:, [0, 3]] if gaps else np.nan_to_num(data.features[:, [0, 3]])
    return replace(data, features=features, columns=columns, feature_names=("a", "b"))


def test_a_plane_takes_two_numbers_without_gaps() -> None:
    """Two features are drawn over unless one has gaps or is a code, a truth or a date; a regression never is."""
    number, *others = MIXED
    assert is_plane(split(of_columns(number, number), SplitSpec()))
    assert not is_plane(split(of_columns(number, number, gaps=True), SplitSpec()))
    for other in others:
        data = of_columns(number, other)
        data.features[:, 1] = np.arange(400) % 2
        assert not is_plane(split(data, SplitSpec()))
    assert is_plane(split(dataset(make="moons"), SplitSpec()))
    assert not is_plane(split(dataset(make="blobs", n_features=3), SplitSpec()))
    assert not is_plane(split(dataset(load="diabetes"), SplitSpec()))


def test_points_of_a_grid_come_row_by_row() -> None:
    """Values at the points of a grid, taken as (rows, columns), are those of y by x."""
    x, y = np.array([0.0, 1.0, 2.0]), np.array([10.0, 20.0])
    points = grid_points(x, y)
    assert points.reshape(2, 3, 2)[1, 2].tolist() == [2, 20]
    assert len(points) == 6


@settings(derandomize=True)
@given(n_classes=st.integers(2, MOST_CODED), seed=st.integers(0, 10_000), sharpness=st.floats(0.01, 50))
def test_a_byte_keeps_the_label_and_its_lead(n_classes: int, seed: int, sharpness: float) -> None:
    """Decoded, the likeliest class is still the likeliest, and leads by as much, half a level at most aside.

    Levels are even in the root of the lead. Probabilities of a point sum to one.
    """
    logits = sharpness * np.random.default_rng(seed).normal(size=(5, 8, n_classes))
    probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    codes = encode(probabilities)
    assert (codes.dtype, codes.shape) == (np.uint8, (5, 8))
    decoded = decode(codes, n_classes)
    assert decoded.sum(axis=-1) == pytest.approx(1)
    best = probabilities.argmax(axis=-1)[..., None]
    likeliest = np.take_along_axis(decoded, best, axis=-1)
    assert (likeliest >= decoded.max(axis=-1, keepdims=True) - 1e-12).all()
    before, after = (np.sqrt(np.diff(np.sort(table)[..., -2:])) for table in (probabilities, decoded))
    assert after == pytest.approx(before, abs=0.5 / (256 // n_classes - 1) + 1e-6)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_boundary_is_found_between_points(n_classes: int) -> None:
    """Where a linear network is never sure, its boundary is found to a ninth of the way between points."""
    x, y = grid(np.array([[-1.0, -1.0], [1.0, 1.0]]), points=64)
    slope = grid_points(x, y) @ [0.05, 0.02]
    logits = np.full((len(slope), n_classes), -20.0)
    logits[:, 0], logits[:, 1] = -slope, slope
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    decoded = decode(encode(shares.reshape(64, 64, -1)), n_classes)
    lead = decoded[..., 1] - decoded[..., 0]
    left = (lead[:, :-1] < 0) & (lead[:, 1:] >= 0)
    rows, columns = np.nonzero(left)
    assert len(rows) > 40
    before, after = lead[rows, columns], lead[rows, columns + 1]
    crossing = x[columns] + (x[1] - x[0]) * before / (before - after)
    assert np.abs(crossing + 0.4 * y[rows]).max() < (x[1] - x[0]) / 9


@pytest.mark.parametrize("n_classes", [2, 3, 10, MOST_CODED])
def test_the_table_holds_every_code_once(n_classes: int) -> None:
    """Each code is coded as itself again, and each class is there, as sure as can be.

    A code without any lead is the first class's.
    """
    table = code_table(n_classes)
    again = encode(decode(table, n_classes))
    moved = table[again != table]
    assert set(moved.tolist()) <= {place * (256 // n_classes) for place in range(1, n_classes)}
    certain = encode(np.eye(n_classes))
    assert set(certain.tolist()) <= set(table.tolist())
    assert len(set(certain.tolist())) == n_classes
    labels = predicted_labels(decode(certain, n_classes))
    assert labels.tolist() == list(range(n_classes))
