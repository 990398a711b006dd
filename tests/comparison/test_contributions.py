from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as sk

from pipeline.artifacts import Floats
from pipeline.comparison.contributions import (
    AP_ROW_EFFECT,
    AUC_ROW_EFFECT,
    CLASSIFICATION,
    REGRESSION,
    Predictions,
    contributions,
    metrics_for,
)
from tests.comparison.making import random_predictions

MEANS = ("accuracy", "log_loss", "mae", "mse")


def predicted_classes(predicted: Floats, threshold: float) -> Floats:
    """The rule written out: above the threshold, or the largest of several."""
    if predicted.shape[1] == 2:
        return np.array([1 if row[1] > threshold else 0 for row in predicted])
    return np.array([int(np.argmax(row)) for row in predicted])


def by_scikit_learn(metric: str, truth: Floats, predicted: Floats, threshold: float) -> float:
    """The metric of one run as scikit-learn has it."""
    if predicted.ndim == 1:
        functions: dict[str, Callable[..., float]] = {
            "mae": sk.mean_absolute_error,
            "mse": sk.mean_squared_error,
            "rmse": sk.root_mean_squared_error,
            "r2": sk.r2_score,
        }
        return float(functions[metric](truth, predicted))
    n_classes = predicted.shape[1]
    labels = predicted_classes(predicted, threshold)
    if metric == "accuracy":
        return float(sk.accuracy_score(truth, labels))
    if metric == "log_loss":
        return float(sk.log_loss(truth, predicted, labels=range(n_classes)))
    if metric == "roc_auc" and n_classes == 2:
        return float(sk.roc_auc_score(truth, predicted[:, 1]))
    if metric == "roc_auc":
        return float(sk.roc_auc_score(truth, predicted, multi_class="ovr", average="macro"))
    if metric == "average_precision":
        several = truth[:, None] == np.arange(n_classes)
        return float(
            sk.average_precision_score(*((truth, predicted[:, 1]) if n_classes == 2 else (several, predicted)))
        )
    if metric in ("balanced_accuracy", "mcc"):
        of_labels = {"balanced_accuracy": sk.balanced_accuracy_score, "mcc": sk.matthews_corrcoef}
        return float(of_labels[metric](truth, labels))
    score = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[metric]
    which = {"average": "binary"} if n_classes == 2 else {"average": "macro", "labels": range(n_classes)}
    return float(score(truth, labels, zero_division=0, **which))


CASES = [
    *((metric, random_predictions(2)) for metric in CLASSIFICATION),
    *((metric, random_predictions(2, decimals=1)) for metric in CLASSIFICATION),
    *((metric, random_predictions(3)) for metric in CLASSIFICATION),
    *((metric, random_predictions(4, decimals=1)) for metric in CLASSIFICATION),
    *((metric, random_predictions(0)) for metric in REGRESSION),
]
NAMES = [f"{metric}-{one.predicted.shape[-1] if one.predicted.ndim == 3 else 0}" for metric, one in CASES]


@pytest.mark.parametrize(("metric", "predictions"), CASES, ids=NAMES)
def test_values_are_scikit_learns(metric: str, predictions: Predictions) -> None:
    """Every metric of every run is scikit-learn's, for two classes and more, with each run's own threshold and ties."""
    expected = [
        by_scikit_learn(metric, predictions.truth, one, cut)
        for one, cut in zip(predictions.predicted, predictions.thresholds, strict=True)
    ]
    assert_allclose(contributions(metric, predictions).values, expected, rtol=1e-12)
    assert len(set(expected)) > 1


@pytest.mark.parametrize(("metric", "predictions"), CASES, ids=NAMES)
def test_rows_are_what_leaving_them_out_changes(metric: str, predictions: Predictions) -> None:
    """A row's contribution is n·θ − (n − 1)·θ without it, with θ by scikit-learn on the rows that remain."""
    rows = contributions(metric, predictions).rows
    n = len(predictions.truth)
    for run, (one, cut) in enumerate(zip(predictions.predicted, predictions.thresholds, strict=True)):
        whole = by_scikit_learn(metric, predictions.truth, one, cut)
        for row in range(n):
            rest = np.arange(n) != row
            without = by_scikit_learn(metric, predictions.truth[rest], one[rest], cut)
            assert rows[run, row] == pytest.approx(n * whole - (n - 1) * without, abs=1e-10)


@st.composite
def small_predictions(draw: st.DrawFn) -> Predictions:
    """A few rows with many ties; classes may have one row, none, or all of them, and need not be predicted."""
    n_classes, rows, runs = draw(st.integers(2, 4)), draw(st.integers(2, 9)), draw(st.integers(1, 2))
    truth = draw(st.lists(st.integers(0, n_classes - 1), min_size=rows, max_size=rows))
    size = runs * rows * n_classes
    parts = np.array(draw(st.lists(st.integers(1, 4), min_size=size, max_size=size)), dtype=np.float64)
    table = parts.reshape(runs, rows, n_classes)
    cuts = draw(st.lists(st.sampled_from([0.2, 0.5, 0.75]), min_size=runs, max_size=runs))
    return Predictions(np.array(truth), table / table.sum(axis=2, keepdims=True), np.array(cuts))


@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn's, of classes without rows
@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "balanced_accuracy", "average_precision", "mcc"])
@given(predictions=small_predictions())
def test_degenerate_tables_follow_scikit_learn_too(metric: str, predictions: Predictions) -> None:
    """Whatever classes, ties and predictions there are, values and leave-one-out are scikit-learn's, and finite."""
    found, n = contributions(metric, predictions), len(predictions.truth)
    assert np.isfinite(found.row_effect)
    for run, (one, cut) in enumerate(zip(predictions.predicted, predictions.thresholds, strict=True)):
        whole = by_scikit_learn(metric, predictions.truth, one, cut)
        assert found.values[run] == pytest.approx(whole, abs=1e-12)
        for row in range(n):
            rest = np.arange(n) != row
            without = by_scikit_learn(metric, predictions.truth[rest], one[rest], cut)
            assert found.rows[run, row] == pytest.approx(n * whole - (n - 1) * without, abs=1e-10)


@pytest.mark.parametrize(("metric", "predictions"), [case for case in CASES if case[0] in MEANS])
def test_means_over_rows_are_made_of_the_rows_own_values(metric: str, predictions: Predictions) -> None:
    """What a row contributes to a mean doesn't depend on the other rows."""
    whole = contributions(metric, predictions)
    some = np.array([3, 1, 20])
    part = Predictions(predictions.truth[some], predictions.predicted[:, some], predictions.thresholds)
    assert_allclose(contributions(metric, part).rows, whole.rows[:, some])
    assert_allclose(whole.rows.mean(axis=1), whole.values)


def test_a_row_exactly_at_the_threshold_is_of_the_first_class() -> None:
    """Class 1 begins above the threshold, in the verdict as everywhere else."""
    predictions = Predictions(np.array([1, 0]), np.array([[[0.6, 0.4], [0.5, 0.5]]]), np.array([0.4]))
    assert_array_equal(contributions("accuracy", predictions).rows, [[0.0, 0.0]])


def test_classes_that_are_never_predicted_count_as_nothing() -> None:
    """Precision and F1 of a class that a run never predicts are 0, as with scikit-learn's `zero_division=0`."""
    for n_classes in (2, 3):
        predicted = np.zeros((1, 12, n_classes))
        predicted[..., 0] = 1.0
        predictions = Predictions(np.arange(12) % n_classes, predicted, np.array([0.5]))
        for metric in ("precision", "recall", "f1"):
            found = contributions(metric, predictions)
            assert found.values[0] == pytest.approx(by_scikit_learn(metric, predictions.truth, predicted[0], 0.5))
            assert np.isfinite(found.rows).all()
            if (metric, n_classes) == ("precision", 2):
                assert found.row_effect == 12  # one row that is predicted decides all of it


def test_a_probability_of_0_for_the_truth_costs_a_finite_log_loss() -> None:
    """Log loss is cut where scikit-learn cuts it, so that one sure mistake isn't infinitely bad."""
    predicted = np.array([[[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]]])
    predictions = Predictions(np.array([1, 1, 0]), predicted, np.array([0.5]))
    assert contributions("log_loss", predictions).values[0] == pytest.approx(
        sk.log_loss(predictions.truth, predicted[0])
    )


def test_roc_auc_of_one_class_alone_is_not_a_number() -> None:
    """Rows of one class leave ROC AUC undefined, and everything it contributes."""
    predictions = Predictions(np.ones(5, dtype=np.int64), np.full((2, 5, 2), 0.5), np.full(2, 0.5))
    found = contributions("roc_auc", predictions)
    assert np.isnan(found.values).all()
    assert np.isnan(found.rows).all()


@pytest.mark.parametrize(("n", "positives"), [(5, 1), (5, 2), (5, 4), (3, 2)])
def test_the_only_row_of_a_class_contributes_the_roc_auc_itself(n: int, positives: int) -> None:
    """Without it there would be none, and that is no reason to say anything else; other rows are left out as ever."""
    truth = (np.arange(n) < positives).astype(np.int64)
    positive = np.array([[0.5, 0.3, 0.4, 0.8, 0.35]])[:, :n]
    found = contributions("roc_auc", Predictions(truth, np.stack([1 - positive, positive], axis=2), np.array([0.5])))
    area = sk.roc_auc_score(truth, positive[0])
    for row in range(n):
        rest = np.arange(n) != row
        several = len(set(truth[rest])) > 1
        without = sk.roc_auc_score(truth[rest], positive[0, rest]) if several else area
        assert found.rows[0, row] == pytest.approx(n * area - (n - 1) * without)


@pytest.mark.parametrize("decimals", [None, 1])
def test_roc_auc_varies_as_delong_says(decimals: int | None) -> None:
    """The variance of ROC AUC is DeLong's, each class's part times (n − 1) / n · m / (m − 1), m being its rows."""
    random = np.random.default_rng(3)
    truth = (np.arange(50) < 17).astype(np.int64)
    positive = 1 / (1 + np.exp(-random.normal(truth, 1.0)))
    positive = positive if decimals is None else positive.round(decimals)
    predictions = Predictions(truth, np.stack([1 - positive, positive], axis=1)[None], np.array([0.5]))
    rows = contributions("roc_auc", predictions).rows[0]

    above, below = positive[truth == 1], positive[truth == 0]
    order = (above[:, None] > below).astype(float) + 0.5 * (above[:, None] == below)
    parts = [values.var(ddof=1) / len(values) for values in (order.mean(axis=1), order.mean(axis=0))]
    n, sizes = len(truth), (len(above), len(below))
    expected = sum(part * (n - 1) / n * m / (m - 1) for part, m in zip(parts, sizes, strict=True))
    assert rows.var(ddof=1) / n == pytest.approx(expected)
    assert rows.mean() == pytest.approx(order.mean())


@pytest.mark.parametrize(
    "metric", ["f1", "precision", "recall", "rmse", "r2", "roc_auc", "balanced_accuracy", "average_precision", "mcc"]
)
def test_pseudo_values_carry_the_metrics_own_sampling_error(metric: str) -> None:
    """Over many samples of rows the variance of pseudo-values / n is on average the variance of the metric."""
    random, values, variances = np.random.default_rng(0), [], []
    everyone = random_predictions(0 if metric in REGRESSION else 2, runs=1, rows=5000)
    for _ in range(300):
        some = random.integers(0, 5000, 150)
        sample = Predictions(everyone.truth[some], everyone.predicted[:, some], everyone.thresholds)
        found = contributions(metric, sample)
        values.append(found.values[0])
        variances.append(found.rows[0].var(ddof=1) / 150)
    # A standard deviation from 300 values is known to about 4 %, so its square to about 8 %.
    assert np.mean(variances) == pytest.approx(np.var(values, ddof=1), rel=0.3)


def test_one_row_gone_wrong_changes_shares_by_its_weight() -> None:
    """The rule of three counts a row as 1 of n for accuracy, and as 1 of its kind where a metric looks at a part."""
    truth = (np.arange(40) < 10).astype(np.int64)
    positive = np.where(np.arange(40) < 16, 0.9, 0.1)
    predictions = Predictions(truth, np.stack([1 - positive, positive], axis=1)[None], np.array([0.5]))
    effect = {metric: contributions(metric, predictions).row_effect for metric in CLASSIFICATION}
    assert effect["accuracy"] == 1
    assert effect["recall"] == pytest.approx(40 / 10)
    assert effect["precision"] == pytest.approx(40 / 16)
    assert effect["f1"] == pytest.approx(40 / 26)
    assert effect["roc_auc"] == pytest.approx(AUC_ROW_EFFECT * 40 / 10)
    assert effect["log_loss"] == 0
    assert effect["balanced_accuracy"] == pytest.approx(40 / 10 / 2)
    assert effect["average_precision"] == pytest.approx(AP_ROW_EFFECT * 40 / 10)
    assert effect["mcc"] == pytest.approx(1 / (1 - 0.25**2 - 0.75**2))
    rare = Predictions((np.arange(40) > 0).astype(np.int64), predictions.predicted, predictions.thresholds)
    assert contributions("roc_auc", rare).row_effect == pytest.approx(AUC_ROW_EFFECT * 40)
    single = Predictions(1 - rare.truth, predictions.predicted, predictions.thresholds)
    assert contributions("average_precision", single).row_effect == pytest.approx(AP_ROW_EFFECT * 40)


@pytest.mark.parametrize("sizes", [(300, 300), (540, 60), (300, 200, 100)])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "mcc"])
def test_the_effect_of_a_row_is_what_a_first_mistake_costs(metric: str, sizes: tuple[int, ...]) -> None:
    """Of rows that are all right, the one whose label going wrong costs most costs the row effect / n."""
    truth = np.repeat(np.arange(len(sizes)), sizes)
    perfect = np.eye(len(sizes))[truth]
    found = contributions(metric, Predictions(truth, perfect[None], np.array([0.5])))
    costs = []
    for row in np.cumsum(sizes) - 1:
        mistaken = perfect.copy()
        mistaken[row] = np.roll(mistaken[row], 1)
        costs.append(1 - contributions(metric, Predictions(truth, mistaken[None], np.array([0.5]))).values[0])
    assert found.row_effect / len(truth) == pytest.approx(max(costs), rel=0.01)


def test_balanced_accuracy_of_equal_classes_is_accuracy() -> None:
    """Where classes have equally many rows, value and row effect are those of accuracy, and so is the verdict."""
    predictions = random_predictions(4)
    balanced, plain = (contributions(metric, predictions) for metric in ("balanced_accuracy", "accuracy"))
    assert_allclose(balanced.values, plain.values)
    assert balanced.row_effect == plain.row_effect


def test_a_row_of_a_macro_average_counts_as_the_mean_over_classes() -> None:
    """Each class has its own part of the rows; the macro average moves by the mean of what they do."""
    truth = np.repeat([0, 1, 2], [20, 10, 5])
    predictions = Predictions(truth, np.full((1, 35, 3), 1 / 3), np.array([np.nan]))
    effect = contributions("recall", predictions).row_effect
    assert effect == pytest.approx((35 / 20 + 35 / 10 + 35 / 5) / 3)


@pytest.mark.parametrize(("metric", "power"), [("mae", 1), ("rmse", 1), ("mse", 2), ("r2", 0)])
def test_errors_have_the_targets_unit(metric: str, power: int) -> None:
    """In another unit contributions are the same but for the unit: of MSE it is the square, and R² has none."""
    predictions = random_predictions(0)
    scaled = Predictions(predictions.truth / 1000, predictions.predicted / 1000, predictions.thresholds)
    assert_allclose(1000**power * contributions(metric, scaled).rows, contributions(metric, predictions).rows)


@pytest.mark.parametrize("metric", REGRESSION)
def test_errors_without_bound_have_no_rule_of_three(metric: str) -> None:
    """What one row can do to an unbounded metric is unknown, and nothing is made up."""
    assert contributions(metric, random_predictions(0)).row_effect == 0


def test_the_usual_metric_comes_first() -> None:
    """Classifiers are compared by classification metrics, regressions by errors, the usual one first."""
    assert metrics_for(random_predictions(3)) == CLASSIFICATION
    assert CLASSIFICATION[0] == "accuracy"
    assert metrics_for(random_predictions(0)) == REGRESSION
    assert REGRESSION[0] == "mae"
