from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_absolute_error

from pipeline.artifacts import Task
from pipeline.stages.inference import predict_table
from pipeline.stages.reporting.importance_pictures import MOST_ROWS, importance_pictures, importances
from pipeline.stages.reporting.pictures import all_pictures
from tests.making import dataset, mixed_dataset
from tests.stages.reporting.making import report_source


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_importance_is_what_shuffling_a_feature_costs(task: Task) -> None:
    """City and age matter, the rest next to nothing."""
    source = report_source(mixed_dataset(task=task), epochs=150)
    (picture,) = importance_pictures(source, "mixed", lambda: importances(source, "mixed"))
    frame = picture.frame()
    assert len(frame) == 10
    assert set(frame["feature"][:4]) == {"city", "age"}
    assert (frame["importance"][:4] > 3 * frame["importance"][4:].max()).all()
    loss = "mean absolute error" if task == "regression" else "log loss"
    assert loss in picture.caption
    assert picture.finding().startswith("linear depends most on ")
    assert {axes.get_xlabel() for axes in picture.draw().axes} == {f"{loss} gained"}


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_importance_is_measured_on_the_monitored_rows(task: Task) -> None:
    """A feature's losses are those of scikit-learn's measure on validation rows with that feature shuffled."""
    source = report_source(mixed_dataset(task=task), seeds=1)
    made, network = source.splits["mixed"], source.representatives["mixed", "relu"].network
    table, truth = made.dataset.features[made.validation], made.dataset.target[made.validation]

    def loss(features: np.ndarray) -> float:
        predicted = predict_table(network, made, features)
        return mean_absolute_error(truth, predicted) if task == "regression" else log_loss(truth, predicted)

    random = np.random.default_rng(0)
    means = []
    for column in range(5):
        shuffled = table.copy()
        losses = []
        for _ in range(100):
            shuffled[:, column] = random.permutation(table[:, column])
            losses.append(loss(shuffled) - loss(table))
        means.append(np.mean(losses))
    found = importances(source, "mixed")["relu"]
    assert found.shape == (5, 5)
    np.testing.assert_allclose(found.mean(axis=1), means, atol=0.25 * max(means))


def test_no_final_row_has_a_part_in_it_and_large_parts_are_sampled() -> None:
    """Test rows may hold anything; of more monitored rows than 2,000 no more are predicted."""
    source = report_source(mixed_dataset(), models={"relu": {"hidden_units": [4]}}, seeds=1, epochs=5)
    made, before = source.splits["mixed"], importances(source, "mixed")["relu"]
    features = made.dataset.features.copy()
    features[made.test] = 0.0
    other = replace(source, splits={"mixed": replace(made, dataset=replace(made.dataset, features=features))})
    np.testing.assert_array_equal(importances(other, "mixed")["relu"], before)

    many = mixed_dataset(4 * MOST_ROWS)
    rows = np.arange(4 * MOST_ROWS)
    large = replace(made, dataset=many, validation=rows[: 3 * MOST_ROWS], train=rows[3 * MOST_ROWS :])
    sample = np.random.default_rng(0).choice(large.validation, MOST_ROWS, replace=False)
    sampled = importances(replace(source, splits={"mixed": replace(large, validation=sample)}), "mixed")["relu"]
    np.testing.assert_array_equal(importances(replace(source, splits={"mixed": large}), "mixed")["relu"], sampled)


def test_every_table_but_a_plane_has_the_picture() -> None:
    """Classes over a plane are seen whole, a single feature is all there is; all others have the picture."""
    tables = (
        dataset("moons", make="moons", n_samples=100),
        dataset("line", make="line"),
        dataset("iris", load="iris"),
        mixed_dataset(200),
    )
    source = report_source(*tables, models={"linear": {"hidden_units": []}}, seeds=1, epochs=2)
    assert [one.dataset for one in all_pictures(source) if one.kind == "importance"] == ["iris", "mixed"]
    assert [one.dataset for one in all_pictures(source) if one.kind == "slices"] == ["iris", "mixed"]
