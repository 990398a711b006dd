from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.labels import predicted_labels
from pipeline.planes import MOST_CODED, code_table, decode, encode, grid, grid_points


def test_the_grid_spans_the_data() -> None:
    """The grid reaches 8 % of the range beyond the data on every side; a constant feature gets room as well."""
    x, y = grid(np.array([[0.0, 5.0], [100.0, 5.0]]), points=11)
    assert (x[0], x[-1]) == pytest.approx((-8, 108))
    assert (y[0], y[-1]) == pytest.approx((4, 6))
    assert len(x) == len(y) == 11


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
