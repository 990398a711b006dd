"""Pictures of networks on data of more than two features: slices through the medians, the most telling pairs first."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.figures import slices
from pipeline.figures.boundaries import Boundary
from pipeline.figures.slices import Slice
from pipeline.stages.evaluate import predict_table
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture, labelled
from pipeline.stages.reporting.source import ReportInput

MOST_SLICES = 3
SHUFFLES = 5  # of each feature, to see how much it matters


def slice_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield what the median runs say over pairs of features, all others held at their medians."""
    split = source.splits[name]
    if split.dataset.n_features < 3:
        return
    made = cache(lambda: [_slice(source, name, pair) for pair in telling_pairs(source, name)])
    yield Picture(
        f"{name}_slices",
        "slices",
        name,
        "Slices of the decision",
        f"What the median runs predict while two features vary and the other {split.dataset.n_features - 2}"
        " are held at their medians over the train rows: cuts through the decision, not all of it. The pairs are those"
        " of the features that the models depend on most, by how much worse they predict the"
        f" {split.monitored} rows when a feature is shuffled. Dots are the rows nearest to a slice."
        f"{labelled(source, name)}",
        lambda: findings.slices([one.features for one in made()]),
        lambda: slices.slices_frame(made()),
        lambda: slices.draw_slices(
            name, made(), source.models, class_names=split.dataset.class_names, part=split.final
        ),
    )


def telling_pairs(source: ReportInput, name: str) -> list[tuple[int, int]]:
    """Choose the pairs of features whose permutation importances, summed over the pair, are largest."""
    importances = np.mean([_importances(source, name, model) for model in source.seeds(name)], axis=0)
    order = [int(feature) for feature in np.argsort(-importances, kind="stable")]
    pairs = sorted(combinations(order[: MOST_SLICES + 1], 2), key=lambda pair: -importances[list(pair)].sum())
    return pairs[:MOST_SLICES]


def _importances(source: ReportInput, name: str, model: str) -> Floats:
    """How much log loss a model gains on the monitored rows when a feature is shuffled, (features,).

    Breiman 2001, "Random Forests", Machine Learning 45, section 10. These rows have been looked at already; the final
    ones have no part in which slices are shown.
    """
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import log_loss

    split, network = source.splits[name], source.representatives[name, model].network
    rows, classes = split.rows(split.monitored), np.arange(len(split.dataset.class_names))

    def score(_: _Trained, table: Floats, truth: Integers) -> float:
        return -float(log_loss(truth, predict_table(network, split, table), labels=classes))

    found = permutation_importance(
        _Trained(),
        split.dataset.features[rows],
        split.dataset.target[rows],
        scoring=score,
        n_repeats=SHUFFLES,
        random_state=0,
    )
    importances: Floats = found.importances_mean
    return importances


class _Trained:
    """What scikit-learn takes for an estimator; the scoring does all."""

    def fit(self) -> None:
        """Nothing is left to fit."""


def _slice(source: ReportInput, name: str, pair: tuple[int, int]) -> Slice:
    split = source.splits[name]
    x, y, table = slices.slice_grid(split, pair)
    boundaries: dict[str, Boundary | None] = dict.fromkeys(source.models)
    for model in source.seeds(name):
        chosen = source.representatives[name, model]
        shares = predict_table(chosen.network, split, table).reshape(len(y), len(x), -1)
        boundaries[model] = Boundary(x, y, shares, chosen.seed, *source.scored(chosen))
    names = split.dataset.feature_names
    points = slices.nearest_frame(split, pair)
    return Slice((names[pair[0]], names[pair[1]]), boundaries, points, split.dataset.n_features - 2)
