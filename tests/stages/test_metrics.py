from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from pipeline.stages.metrics import CLASSIFICATION_METRICS, classification_metric


def test_classes_without_rows_are_measured_in_silence() -> None:
    """What isn't defined is 0, ROC AUC no number, and classes without rows have no part in balanced accuracy."""
    table = np.array([[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1]])
    truth = np.array([0, 0, 1, 1])
    found = {name: classification_metric(name, truth, table) for name in CLASSIFICATION_METRICS}
    assert found["balanced_accuracy"] == 0.5
    assert found["recall"] == pytest.approx(1 / 3)
    per_class = [metrics.average_precision_score(truth == label, table[:, label]) for label in (0, 1)]
    assert found["average_precision"] == pytest.approx(sum(per_class) / 3)
    assert np.isnan(found["roc_auc"])
    alone = {name: classification_metric(name, np.zeros(4, dtype=np.int64), table[:, :2]) for name in found}
    assert (alone["average_precision"], alone["mcc"], alone["balanced_accuracy"]) == (0, 0, alone["accuracy"])
