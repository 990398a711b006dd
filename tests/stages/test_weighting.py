from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import Split
from pipeline.errors import BadInput
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.weighting import check_class_weight, train_weights
from tests.making import dataset


def unbalanced(weights: Any = None) -> Split:
    """Three classes named 0, 1, 2, of which the last has the fewest rows, with weights of rows where they are given."""
    made = dataset("d", make="blobs", n_samples=[60, 30, 10])
    return split(replace(made, weights=None if weights is None else np.asarray(weights, dtype=np.float64)), SplitSpec())


def test_rows_that_count_the_same_have_no_weights() -> None:
    """Without weights of rows or classes there are none at all."""
    assert train_weights(unbalanced()) is None


def test_balanced_is_scikit_learns() -> None:
    """A class's rows weigh n / (k n_c), counted on the train rows, so that all classes have the same sum; mean 1."""
    made = unbalanced()
    labels = made.dataset.target[made.train]
    counts = np.bincount(labels)
    weights = train_weights(made, "balanced")
    assert weights is not None
    np.testing.assert_allclose(weights, (len(labels) / (3 * counts))[labels])
    assert counts.tolist() == [36, 18, 6]
    np.testing.assert_allclose(np.bincount(labels, weights), 20)


def test_weights_of_classes_and_rows_are_multiplied() -> None:
    """A train row weighs its own weight times its class's, 1 where none is named, over their mean."""
    own = np.arange(1, 101)
    made = unbalanced(own)
    labels = made.dataset.target[made.train]
    expected = own[made.train] * np.array([1, 0.5, 8])[labels]
    weights = train_weights(made, {"1": 0.5, "2": 8})
    np.testing.assert_allclose(weights, expected / expected.mean())
    np.testing.assert_allclose(train_weights(made), own[made.train] / own[made.train].mean())


@pytest.mark.parametrize("weights", [1e-300, 0.0, 1e300])
def test_weights_that_one_loss_cannot_hold_are_refused(weights: float) -> None:
    """Weights that single precision would make nothing or infinite are told with the lowest and the highest."""
    made = unbalanced([weights, *[1e20] * 99])
    made = replace(made, train=np.sort(np.append(made.train[1:], 0)))
    with pytest.raises(BadInput, match=r"training rows of d weigh from \S+ to 1e\+\d+, which one loss can't hold"):
        train_weights(made, {"0": 1e10})
    with pytest.raises(BadInput, match="weigh from"):
        train_weights(made, {"0": 1e300})


def test_class_weights_that_fit_no_class_are_refused() -> None:
    """Class weights of a real target, and a class that isn't there, get one line with what would do."""
    with pytest.raises(BadInput, match=r"class_weight: 'balanced' is given, but line has a real target"):
        check_class_weight("balanced", dataset("line", make="line"))
    named = replace(dataset("churn", make="moons"), class_names=("no", "yes"))
    with pytest.raises(BadInput, match=r"class_weight: 'yess' is no class of churn; did you mean 'yes'\?"):
        check_class_weight({"no": 1.0, "yess": 2.0}, named)
    check_class_weight({"yes": 2.0}, named)
    check_class_weight(None, dataset("line", make="line"))
