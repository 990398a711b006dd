"""Pictures of models on data of more than two features: slices through what is usual, the most telling pairs first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import combinations

import numpy as np

from pipeline.artifacts import Floats, Integers, Split
from pipeline.figures import slices
from pipeline.figures.boundaries import Boundary
from pipeline.figures.importance import shared_importance
from pipeline.figures.slices import Slice
from pipeline.stages.inference import predict_table
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture, labelled
from pipeline.stages.reporting.source import ReportInput

MOST_SLICES = 3
MATTERS = 0.1  # of what matters most: what matters less is not worth a word


def slice_pictures(source: ReportInput, name: str, found: Callable[[], Mapping[str, Floats]]) -> Iterator[Picture]:
    """Yield what the median runs say over pairs of amounts, given their importances, while all others are held."""
    split = source.splits[name]
    if not has_slices(split):
        return
    dataset = split.dataset
    chosen = cache(lambda: telling_pairs(split, shared_importance(found())))
    made = cache(lambda: [_slice(source, name, pair) for pair in chosen()])
    undrawn = cache(lambda: telling_but_undrawn(split, shared_importance(found())))
    held = slices.held_at(dataset.n_features - 2, slices.usual_kind(split))
    kinds = "" if dataset.are_amounts.all() else " numbers and dates"
    yield Picture(
        f"{name}_slices",
        "slices",
        name,
        "Slices of the decision",
        f"What the median runs predict while two features vary and {held} over the train rows: cuts through the"
        f" decision, not all of it. The pairs are those of the{kinds or ' features'} that the models depend on most, by"
        f" how much worse they predict the {split.monitored} rows when a feature is shuffled. Dots are the rows nearest"
        f" to a slice.{labelled(source, name)}",
        lambda: findings.slices([one.features for one in made()], undrawn()),
        lambda: slices.slices_frame(made()),
        lambda: slices.draw_slices(
            name, made(), source.models, class_names=dataset.class_names, part=split.final, undrawn=undrawn()
        ),
    )


def has_slices(split: Split) -> bool:
    """Whether there are more than two features, and among them two to vary."""
    return split.dataset.n_features > 2 and len(_drawable(split)) >= 2


def _drawable(split: Split) -> Integers:
    """Places of the amounts that have a value in some train row."""
    is_empty = np.isnan(split.dataset.features[split.train]).all(axis=0)
    return np.flatnonzero(split.dataset.are_amounts & ~is_empty).astype(np.int64)


def telling_pairs(split: Split, shared: Floats) -> list[tuple[int, int]]:
    """Choose the pairs of amounts whose importances, (features,), summed over the pair, are largest."""
    drawable = _drawable(split)
    order = drawable[np.argsort(-shared[drawable], kind="stable")].tolist()
    pairs = sorted(combinations(order[: MOST_SLICES + 1], 2), key=lambda pair: -shared[list(pair)].sum())
    return pairs[:MOST_SLICES]


def telling_but_undrawn(split: Split, shared: Floats) -> list[str]:
    """Name the features that are no amounts but matter more than one of those drawn first, the most important first."""
    least = max(shared[list(telling_pairs(split, shared)[0])].min(), MATTERS * shared.max())
    order, amounts = np.argsort(-shared, kind="stable"), split.dataset.are_amounts
    return [split.dataset.feature_names[place] for place in order if not amounts[place] and shared[place] > least]


def _slice(source: ReportInput, name: str, pair: tuple[int, int]) -> Slice:
    split = source.splits[name]
    x, y, table = slices.slice_grid(split, pair)
    boundaries: dict[str, Boundary | None] = dict.fromkeys(source.models)
    for model in source.seeds(name):
        chosen = source.representatives[name, model]
        shares = predict_table(chosen.network, split, table).reshape(len(y), len(x), -1)
        boundaries[model] = Boundary(x, y, shares, chosen.seed, *source.scored(chosen))
    dataset = split.dataset
    first, second = pair
    return Slice(
        (dataset.feature_names[first], dataset.feature_names[second]),
        boundaries,
        slices.nearest_frame(split, pair),
        dataset.n_features - 2,
        (_counts_days(split, first), _counts_days(split, second)),
        slices.usual_kind(split),
    )


def _counts_days(split: Split, place: int) -> bool:
    columns = split.dataset.columns
    return bool(columns) and columns[place].part == "days"
