"""What models depend on: how much worse the median runs predict when a feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.figures import importance
from pipeline.planes import is_plane
from pipeline.stages.inference import predict_table
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture
from pipeline.stages.reporting.source import ReportInput

MOST_ROWS = 2000  # predicted again and again; more would hardly change the order of features
SHUFFLES = 5  # of each feature, to see how much it matters


def importance_pictures(source: ReportInput, name: str, found: Callable[[], Mapping[str, Floats]]) -> Iterator[Picture]:
    """Yield what the models depend on most, given `importances`; nothing where a plane shows it better."""
    split = source.splits[name]
    if split.dataset.n_features < 2 or is_plane(split):
        return
    measure = "mean absolute error" if split.dataset.task == "regression" else "log loss"
    yield Picture(
        f"{name}_importance",
        "importance",
        name,
        "What the models depend on",
        f"How much {measure} the median runs gain on {split.monitored} rows when the values of one feature are shuffled"
        f" among them: bars are means of {SHUFFLES} shuffles, whiskers their standard deviations. Features that say the"
        " same stand in for one another, so each of them seems to matter little.",
        lambda: findings.importance(importance.importance_frame(found(), split.dataset.feature_names)),
        lambda: importance.importance_frame(found(), split.dataset.feature_names),
        lambda: importance.draw_importance(
            importance.importance_frame(found(), split.dataset.feature_names),
            source.coloured,
            measure=measure,
            part=split.monitored,
        ),
    )


def importances(source: ReportInput, name: str) -> dict[str, Floats]:
    """How much each model's median run loses on the monitored rows when a feature is shuffled, (features, shuffles).

    That is log loss, or mean absolute error of a regression. Breiman 2001, "Random Forests", Machine Learning 45,
    section 10. These rows have been looked at already; the final ones have no part in it. Of more than 2,000 a fixed
    sample is taken.
    """
    return {model: _importances(source, name, model) for model in source.seeds(name)}


def _importances(source: ReportInput, name: str, model: str) -> Floats:
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import log_loss, mean_absolute_error

    split, network = source.splits[name], source.representatives[name, model].network
    rows, classes = split.rows(split.monitored), np.arange(len(split.dataset.class_names))
    if len(rows) > MOST_ROWS:
        rows = np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)

    def score(_: _Trained, table: Floats, truth: Floats | Integers) -> float:
        predicted = predict_table(network, split, table)
        if split.dataset.task == "regression":
            return -float(mean_absolute_error(truth, predicted))
        return -float(log_loss(truth, predicted, labels=classes))

    found = permutation_importance(
        _Trained(),
        split.dataset.features[rows],
        split.dataset.target[rows],
        scoring=score,
        n_repeats=SHUFFLES,
        random_state=0,
    )
    losses: Floats = found.importances
    return losses


class _Trained:
    """What scikit-learn takes for an estimator; the scoring does all."""

    def fit(self) -> None:
        """Nothing is left to fit."""
