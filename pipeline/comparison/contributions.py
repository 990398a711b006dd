"""What each test row contributes to a metric: jackknife pseudo-values, for all runs of a model at once.

A metric over rows is turned into one number a row, whose mean is the metric (up to its jackknife bias) and whose
variance over rows, divided by their number, is the metric's variance over samples of rows. For a mean over rows, such
as accuracy, these are the row's own values; for F1 or ROC AUC they are what leaving the row out changes (Quenouille
1956; Tukey 1958; for ROC AUC with readers and cases: Dorfman, Berbaum & Metz 1992).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import Floats, Integers
from pipeline.labels import predicted_labels

Booleans = npt.NDArray[np.bool_]

CLASSIFICATION = (
    "accuracy",
    "f1",
    "roc_auc",
    "log_loss",
    "precision",
    "recall",
    "balanced_accuracy",
    "average_precision",
    "mcc",
)
REGRESSION = ("mae", "mse", "rmse", "r2")

# What one badly placed row typically costs, as a share of its class, or of the positive rows for average precision,
# where a false alarm at the top costs all of them. benchmarks/verdict_calibration.py shows that with it intervals stay
# honest for few rows and nearly perfect models.
AUC_ROW_EFFECT = 0.2
AP_ROW_EFFECT = 0.3


@dataclass(frozen=True, eq=False)
class Contributions:
    """One metric of one model on one dataset: its value in each run, and what each row contributes."""

    values: Floats  # (runs,), the metric itself
    rows: Floats  # (runs, rows), pseudo-values
    row_effect: float  # what one row gone wrong can change, times the number of rows; 0 for unbounded metrics


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the runs of one model say about the same rows."""

    truth: Integers | Floats  # (rows,): class index, or a regression's target
    predicted: Floats  # (runs, rows, classes) probabilities, or (runs, rows) in target units
    thresholds: Floats  # (runs,), NaN where labels don't depend on one

    @property
    def is_regression(self) -> bool:
        """Whether values rather than classes are predicted."""
        return self.predicted.ndim == 2

    def labels(self) -> Integers:
        """Predicted class of every row in every run, (runs, rows)."""
        pairs = zip(self.predicted, self.thresholds, strict=True)
        return np.stack([predicted_labels(table, float(cut)) for table, cut in pairs])


def metrics_for(predictions: Predictions) -> tuple[str, ...]:
    """Names of the metrics that can be compared, the first of them the usual one."""
    return REGRESSION if predictions.is_regression else CLASSIFICATION


def contributions(metric: str, predictions: Predictions) -> Contributions:
    """Return what each row contributes to a metric, in every run.

    Definitions are scikit-learn's: of two classes the second one's precision, recall, F1, ROC AUC and average
    precision, of more the macro average (one against the rest for the last two). Balanced accuracy is the mean recall
    of the classes that have rows, Matthews correlation Gorodkin's (2004). ROC AUC is not a number where a class has no
    rows; whatever else isn't defined counts as 0.
    """
    return _METRICS[metric](predictions)


def _of_rows(rows: Floats, row_effect: float) -> Contributions:
    return Contributions(rows.mean(axis=1), rows, row_effect)


def _accuracy(predictions: Predictions) -> Contributions:
    right: Floats = (predictions.labels() == predictions.truth).astype(np.float64)
    return _of_rows(right, 1.0)


def _log_loss(predictions: Predictions) -> Contributions:
    truth = predictions.truth.astype(np.int64)
    given = predictions.predicted[:, np.arange(len(truth)), truth]
    return _of_rows(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)), 0.0)


def _label_score(
    numerator: Callable[[Booleans, Booleans], Floats], denominator: Callable[[Booleans, Booleans], Floats]
) -> Callable[[Predictions], Contributions]:
    """Make a score that is a ratio of counts, each a sum over rows of what truth and prediction say of a class."""

    def score(predictions: Predictions) -> Contributions:
        labels, n_classes = predictions.labels(), predictions.predicted.shape[-1]
        classes = (1,) if n_classes == 2 else tuple(range(n_classes))
        per_class = []
        for label in classes:
            truth = np.broadcast_to(predictions.truth == label, labels.shape)
            per_class.append(_ratio(numerator(truth, labels == label), denominator(truth, labels == label)))
        return _mean(per_class)

    return score


def _mean(parts: list[Contributions]) -> Contributions:
    """Macro average over classes."""
    return Contributions(
        np.mean([part.values for part in parts], axis=0),
        np.mean([part.rows for part in parts], axis=0),
        float(np.mean([part.row_effect for part in parts])),
    )


def _ratio(numerator: Floats, denominator: Floats) -> Contributions:
    """Ratio of two sums over rows, (runs, rows) each, and its pseudo-values; 0 where the denominator is 0."""
    n = numerator.shape[1]
    above, below = numerator.sum(axis=1, keepdims=True), denominator.sum(axis=1, keepdims=True)
    value = _divide(above, below)
    without = _divide(above - numerator, below - denominator)
    row_effect = n / max(float(below.mean()), 1.0)  # one count more or less in the numerator
    return Contributions(value[:, 0], n * value - (n - 1) * without, row_effect)


def _divide(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.divide(
        above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0
    )
    return ratio


def _balanced_accuracy(predictions: Predictions) -> Contributions:
    """Mean recall of the classes that have rows; the only row of a class takes the class with it."""
    truth, n_classes = predictions.truth.astype(np.int64), predictions.predicted.shape[-1]
    right = (predictions.labels() == truth).astype(np.float64)
    sizes: Floats = np.bincount(truth, minlength=n_classes).astype(np.float64)
    hits: Floats = np.stack([np.bincount(truth, weights=run, minlength=n_classes) for run in right])
    recall, present = _divide(hits, sizes), int((sizes > 0).sum())
    total = recall.sum(axis=1, keepdims=True)
    others, rest = total - recall[:, truth], sizes[truth] - 1
    without = (others + _divide(hits[:, truth] - right, rest)) / np.maximum(present - (rest == 0), 1)
    value, n = total / present, len(truth)
    row_effect = n / (present * float(sizes[sizes > 0].min()))  # a wrong row counts most in the smallest class
    return Contributions(value[:, 0], n * value - (n - 1) * without, row_effect)


def _matthews(predictions: Predictions) -> Contributions:
    """Matthews correlation, from how many rows are right, are of each class, and are predicted to be.

    With the shares of classes s among rows and p among labels it is (accuracy - s·p) / √((1 - s·s)(1 - p·p)); all of
    these change by what one row has a part in when it is left out.
    """
    truth, labels = predictions.truth.astype(np.int64), predictions.labels()
    n, n_classes = len(truth), predictions.predicted.shape[-1]
    sizes: Floats = np.bincount(truth, minlength=n_classes).astype(np.float64)
    given = np.stack([np.bincount(run, minlength=n_classes) for run in labels]).astype(np.float64)
    right = (labels == truth).astype(np.float64)
    hits, both = right.sum(axis=1, keepdims=True), (given @ sizes)[:, None]
    squares, given_squares = float(sizes @ sizes), (given**2).sum(axis=1, keepdims=True)

    value = _correlation(n, hits, both, squares, given_squares)
    without = _correlation(
        n - 1,
        hits - right,
        both - np.take_along_axis(given, truth[None], axis=1) - sizes[labels] + right,
        squares - 2 * sizes[truth] + 1,
        given_squares - 2 * np.take_along_axis(given, labels, axis=1) + 1,
    )
    row_effect = n**2 / max(n**2 - squares, n)  # one wrong label among right ones costs 1 / n / (1 - s·s)
    return Contributions(value[:, 0], n * value - (n - 1) * without, row_effect)


def _correlation(n: int, hits: Floats, both: Floats, squares: Floats | float, given_squares: Floats) -> Floats:
    """Matthews correlation of n rows; 0 where all are of one class, or are said to be."""
    return _divide(n * hits - both, np.sqrt((n**2 - squares) * (n**2 - given_squares)))


def _against_rest(score: Callable[[Booleans, Floats], Contributions]) -> Callable[[Predictions], Contributions]:
    """Make a score of probabilities: that of class 1, or of more than two classes the mean of each against the rest."""

    def of_classes(predictions: Predictions) -> Contributions:
        n_classes = predictions.predicted.shape[-1]
        classes = (1,) if n_classes == 2 else tuple(range(n_classes))
        return _mean([score(predictions.truth == label, predictions.predicted[..., label]) for label in classes])

    return of_classes


def _average_precision(positive: Booleans, scores: Floats) -> Contributions:
    """Mean over positive rows of the precision among rows that score as high or higher; 0 without positive rows.

    A row that is left out changes nothing above it, and below it a precision of right / taken to (right - itself) /
    (taken - 1). So sums over the ranking, from above and from below, are all it takes.
    """
    n, n_positive = len(positive), int(positive.sum())
    order = np.argsort(-scores, axis=1, kind="stable")
    is_positive = positive[order].astype(np.float64)
    first, last = _ends_of_ties(np.take_along_axis(scores, order, axis=1))
    count = _summed(is_positive)
    right, taken = np.take_along_axis(count, last, axis=1), last.astype(np.float64)

    above = _summed(is_positive * right / taken)
    fewer = np.maximum(taken - 1, 1)
    kept, lost = _summed(is_positive * right / fewer), _summed(is_positive / fewer)
    value = above[:, -1:] / max(n_positive, 1)
    tied = right - np.take_along_axis(count, first, axis=1)  # positive rows of the same score, itself among them
    below = kept[:, -1:] - np.take_along_axis(kept, last, axis=1)
    below -= is_positive * (lost[:, -1:] - np.take_along_axis(lost, last, axis=1))
    total = np.take_along_axis(above, first, axis=1) + (tied - is_positive) * (right - is_positive) / fewer + below
    rows = np.empty(scores.shape)
    np.put_along_axis(rows, order, n * value - (n - 1) * _divide(total, n_positive - is_positive), axis=1)
    return Contributions(value[:, 0], rows, AP_ROW_EFFECT * n / max(n_positive, 1))


def _ends_of_ties(ranked: Floats) -> tuple[Integers, Integers]:
    """Where the ties begin and end (exclusively) that each place of sorted scores (runs, rows) belongs to."""
    n = ranked.shape[1]
    changes = np.diff(ranked, axis=1) != 0
    edge = np.ones((len(ranked), 1), dtype=np.bool_)
    places = np.arange(n)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), places, 0), axis=1)
    last = np.where(np.hstack([changes, edge]), places + 1, n)
    return first, np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]


def _summed(values: Floats) -> Floats:
    """Sums of the first 0, 1, … rows, (runs, rows + 1)."""
    return np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))


def _roc_auc(positive: Booleans, scores: Floats) -> Contributions:
    """ROC AUC of scores (runs, rows), as the share of pairs of a positive and a negative row in the right order."""
    from scipy.stats import rankdata

    n, n_positive = len(positive), int(positive.sum())
    n_negative = n - n_positive
    if not n_positive or not n_negative:
        undefined = np.full(scores.shape, np.nan)
        return Contributions(undefined[:, 0], undefined, np.nan)
    rank = rankdata(scores, axis=1)
    wins = np.empty(scores.shape)  # of a positive row: negatives below it; of a negative one: positives above it
    wins[:, positive] = rank[:, positive] - rankdata(scores[:, positive], axis=1)
    wins[:, ~positive] = n_positive - (rank[:, ~positive] - rankdata(scores[:, ~positive], axis=1))
    total = wins[:, positive].sum(axis=1, keepdims=True)
    area = total / (n_positive * n_negative)
    pairs_without = np.where(positive, (n_positive - 1) * n_negative, n_positive * (n_negative - 1))
    without = np.divide(
        total - wins, pairs_without, out=np.broadcast_to(area, wins.shape).copy(), where=pairs_without > 0
    )
    effect = AUC_ROW_EFFECT * n / min(n_positive, n_negative)
    return Contributions(area[:, 0], n * area - (n - 1) * without, effect)


def _absolute_error(predictions: Predictions) -> Contributions:
    return _of_rows(np.abs(predictions.predicted - predictions.truth), 0.0)


def _squares(predictions: Predictions) -> Floats:
    squares: Floats = (predictions.predicted - predictions.truth) ** 2
    return squares


def _squared_error(predictions: Predictions) -> Contributions:
    return _of_rows(_squares(predictions), 0.0)


def _root_squared_error(predictions: Predictions) -> Contributions:
    squares = _squares(predictions)
    n = squares.shape[1]
    total = squares.sum(axis=1, keepdims=True)
    value = np.sqrt(total / n)
    without = np.sqrt(np.maximum(total - squares, 0) / (n - 1))
    return Contributions(value[:, 0], n * value - (n - 1) * without, 0.0)


def _explained(predictions: Predictions) -> Contributions:
    """R²; leaving a row out moves the mean of the target too."""
    squares, truth = _squares(predictions), predictions.truth
    n = len(truth)
    around_mean = (truth - truth.mean()) ** 2
    total = squares.sum(axis=1, keepdims=True)
    value = 1 - total / around_mean.sum()
    spread_without = around_mean.sum() - n / (n - 1) * around_mean
    return Contributions(value[:, 0], n * value - (n - 1) * (1 - (total - squares) / spread_without), 0.0)


def _both(truth: Booleans, predicted: Booleans) -> Floats:
    both: Floats = (truth & predicted).astype(np.float64)
    return both


_METRICS: dict[str, Callable[[Predictions], Contributions]] = {
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "precision": _label_score(_both, lambda _, predicted: predicted.astype(np.float64)),
    "recall": _label_score(_both, lambda truth, _: truth.astype(np.float64)),
    "f1": _label_score(
        lambda truth, predicted: 2 * _both(truth, predicted),
        lambda truth, predicted: truth.astype(np.float64) + predicted,
    ),
    "roc_auc": _against_rest(_roc_auc),
    "balanced_accuracy": _balanced_accuracy,
    "average_precision": _against_rest(_average_precision),
    "mcc": _matthews,
    "mae": _absolute_error,
    "mse": _squared_error,
    "rmse": _root_squared_error,
    "r2": _explained,
}
