from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.labels import predicted_labels, threshold_text


def test_class_1_begins_above_the_threshold() -> None:
    """Of two classes the label is 1 above the threshold and 0 at it: at an even chance the first class is predicted."""
    table = np.array([[0.5, 0.5], [0.4, 0.6], [0.79, 0.21]])
    assert predicted_labels(table).tolist() == [0, 1, 0]
    assert predicted_labels(table, 0.6).tolist() == [0, 0, 0]
    assert predicted_labels(table, 0.2).tolist() == [1, 1, 1]


def test_of_more_classes_the_likeliest_is_predicted() -> None:
    """With three classes a threshold means nothing, not even NaN; of equals the first is taken."""
    table = np.array([[0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
    for threshold in (0.5, 0.9, np.nan):
        assert predicted_labels(table, threshold).tolist() == [2, 0]


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.83])
def test_labels_are_those_of_sklearns_fixed_threshold(threshold: float) -> None:
    """Labels agree with scikit-learn's FixedThresholdClassifier, for rows that lie on no threshold."""
    features = np.random.default_rng(0).normal(size=(80, 3))
    classifier = LogisticRegression().fit(features, features[:, 0] > 0.3)
    fixed = FixedThresholdClassifier(classifier, threshold=threshold, response_method="predict_proba")
    expected = fixed.fit(features, features[:, 0] > 0.3).predict(features)
    assert np.array_equal(predicted_labels(classifier.predict_proba(features), threshold), expected)


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        (0.5, "0.5"),
        (0.21449, "0.214"),
        (0.0004, "<0.001"),
        (0.9996, ">0.999"),
        (0.0, "0"),
        (1.0, "1"),
        (0.9994, "0.999"),
    ],
)
def test_a_threshold_is_written_briefly(threshold: float, text: str) -> None:
    """Three digits at most, and never 0 or 1 for what lies between them."""
    assert threshold_text(threshold) == text
