"""Checks of the data before training: what makes a verdict mean less than it seems to, and what to do about it.

They warn and change nothing. What models learn from is looked at on the training rows; classes are counted, and twins
and unknown categories looked for, in all parts. In tables from files a missing value equals a missing one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import Floats, Integers, Part, Split
from pipeline.comparison.wording import count

Flags = npt.NDArray[np.bool_]

Kind = Literal[
    "reading",
    "constant feature",
    "missing values",
    "unknown categories",
    "duplicate features",
    "rows in two parts",
    "target among the features",
    "feature that tells the target",
    "few rows of a class",
    "imbalance",
]

PARTS: tuple[Part, ...] = ("train", "validation", "test")
PART_NAMES: dict[Part, str] = {"train": "training", "validation": "validation", "test": "test"}

FEW_ROWS = 10  # all of them right, and a class's recall may still be as low as 0.69 (95 % interval, Clopper-Pearson)
IMBALANCED = 0.9  # of the rows in one class: a model that always says it is right nine times in ten
FLATTERING = 0.01  # of a part's rows: fewer can't move its accuracy by more than the default `equivalence`
MOSTLY_MISSING = 0.5  # of the training rows: what stands in for a value is then commoner than the value
SAME = 1 - 1e-9  # correlation at which two columns are one but for unit, sign and rounding
TELLING_ACCURACY = 0.99  # balanced; the best single feature of scikit-learn's own tables stays below 0.97
TELLING_R2 = 0.999  # of a real target's ranks by a feature's; no honest measurement comes near
FOLDS = 3
LEAVES_PER_CLASS = 2  # a small tree: it can tell classes that lie in a few stretches of one feature, and no more

# Where checks of features stop, so that they stay quick on any table.
MOST_ROWS = 2000
MOST_PAIRED = 1000  # features held against one another
MOST_GROWN = 200  # features that trees are grown on
NAMED = 5  # names in a sentence


@dataclass(frozen=True)
class Finding:
    """Something in the data that one should know before believing a verdict."""

    dataset: str
    kind: Kind
    sentence: str  # what, where, how many, what it means, what to do


def check_data(splits: Mapping[str, Split]) -> tuple[Finding, ...]:
    """Look for what makes a comparison on these data mean less than it seems to; what reading a file said comes first.

    Where features are held against one another or against the target, at most 2,000 training rows are looked at (a
    fixed sample of more), and of wide tables the first 1,000 features, or the 200 in which classes differ most by an
    F test. Only numbers are held against a real target. Generated data (`Dataset.recipe`) may be told by one feature
    by their very law, which is no finding.

    Parameters
    ----------
    splits:
        By dataset.

    Returns
    -------
    tuple of Finding
        In the order of the datasets; empty when there is nothing to say.
    """
    return tuple(
        Finding(name, kind, f"{name}: {said}") for name, split in splits.items() for kind, said in _said(split) if said
    )


def _said(split: Split) -> Iterator[tuple[Kind, str]]:
    """Yield what each check says of a dataset: nothing where all is well."""
    for notice in split.dataset.notices:
        yield "reading", notice
    yield "constant feature", _constant(split)
    yield "missing values", _missing(split)
    yield "unknown categories", _unknown_categories(split)
    yield "duplicate features", _duplicates(split)
    yield "rows in two parts", _twins(split)
    if not split.dataset.recipe:
        copies, telling = _telling_features(split)
        yield "target among the features", _target_among(copies)
        yield "feature that tells the target", _told_by(telling, split)
    if split.dataset.task != "regression":
        yield "few rows of a class", _few_rows(split)
        yield "imbalance", _imbalance(split)


def _constant(split: Split) -> str:
    features, names = split.dataset.features, split.dataset.feature_names
    constant = _constant_columns(features[split.train])
    if not constant:
        return ""
    vary = sorted(set(constant) - set(_constant_columns(features)))
    elsewhere = (
        f"; other rows have other values in {_listed([names[column] for column in vary])}, and models will see them"
        " for the first time there"
        if vary
        else ""
    )
    is_empty = np.isnan(features[split.train[0], constant]).any()
    return (
        f"{count(len(constant), 'feature')} with one and the same value{', or none,' if is_empty else ''} in all"
        f" {len(split.train):,} training rows ({_listed([names[column] for column in constant])}): nothing can be"
        f" learned from {_them(constant)}{elsewhere}. Leave {_them(constant)} out."
    )


def _missing(split: Split) -> str:
    """Name features of which most values are missing; where all are, that is what `_constant` says."""
    shares = np.isnan(split.dataset.features[split.train]).mean(axis=0)
    found = [
        f"{split.dataset.feature_names[column]} {100 * shares[column]:.0f} %"
        for column in np.flatnonzero((shares > MOSTLY_MISSING) & (shares < 1))
    ]
    if not found:
        return ""
    return (
        f"{count(len(found), 'feature')} with no value in most training rows ({_listed(found)}): what is filled in"
        f" outweighs what was measured. Find out why so much is missing, or leave {_them(found)} out."
    )


def _unknown_categories(split: Split) -> str:
    """Count rows of other parts with categories that no training row has."""
    dataset, found = split.dataset, []
    for place, column in enumerate(dataset.columns):
        if not column.categories:
            continue
        known = np.unique(dataset.features[split.train, place])
        for part in PARTS[1:]:
            codes = dataset.features[split.rows(part), place]
            unknown = int((~np.isin(codes, known) & ~np.isnan(codes)).sum())
            if unknown and unknown >= FLATTERING * len(codes):
                rows = count(len(codes), f"{PART_NAMES[part]} row")
                found.append(f"{dataset.feature_names[place]} in {unknown:,} of {rows}")
    if not found:
        return ""
    return (
        f"categories that no training row has ({_listed(found)}): models know nothing of them, and take such rows for"
        " rows of none. Merge rare categories, or train on rows that have them."
    )


def _duplicates(split: Split) -> str:
    first_alike = _alike_amounts(split) | _alike_categories(split)
    names = split.dataset.feature_names
    pairs = [
        f"{names[column]} {how} {names[first]}"
        for column, first in sorted(first_alike.items())
        if not _are_of_one_date(split, column, first) and (how := _repeats(split, column, first))
    ]
    if not pairs:
        return ""
    return (
        f"{count(len(pairs), 'feature')} that {'repeats' if len(pairs) == 1 else 'repeat'} another ({_listed(pairs)}):"
        " nothing is added, and what such features matter is shared out between them by chance. Keep one of each."
    )


def _alike_amounts(split: Split) -> dict[int, int]:
    """Return columns of numbers that go with an earlier one in a sample of training rows, and that one."""
    sample = split.dataset.features[_sampled(split.train)]
    columns = [column for column in _varying_columns(sample) if not _is_category(split, column)][:MOST_PAIRED]
    if len(columns) < 2:
        return {}
    alike = np.abs(np.corrcoef(_filled(_unitless(sample[:, columns])), rowvar=False)) >= SAME
    first_alike = {column: columns[int(alike[:, place].argmax())] for place, column in enumerate(columns)}
    return {column: first for column, first in first_alike.items() if first != column}


def _alike_categories(split: Split) -> dict[int, int]:
    """Return columns of categories that part a sample of training rows as an earlier one does, and that one."""
    sample = split.dataset.features[_sampled(split.train)]
    firsts: dict[bytes, int] = {}
    first_alike = {}
    for column in _varying_columns(sample):
        if _is_category(split, column):
            first = firsts.setdefault(_by_appearance(sample[:, column]).tobytes(), column)
            if first != column:
                first_alike[column] = first
    return first_alike


def _by_appearance(codes: Floats) -> Integers:
    """Number categories anew, and missing ones, by where they appear first: the same for codes that go one to one."""
    import pandas as pd

    return pd.factorize(codes, use_na_sentinel=False)[0].astype(np.int64)


def _repeats(split: Split, column: int, first: int) -> str:
    """Say how a column repeats another one in all training rows, when it does."""
    features, columns = split.dataset.features, split.dataset.columns
    repeated, repeating = features[split.train, first], features[split.train, column]
    are_equal = np.array_equal(repeating, repeated, equal_nan=True)
    if _is_category(split, column):
        if are_equal and columns[column].categories == columns[first].categories:
            return "equals"
        return "goes one to one with" if (_by_appearance(repeating) == _by_appearance(repeated)).all() else ""
    if are_equal:
        return "equals"
    if not np.array_equal(np.isnan(repeating), np.isnan(repeated)):
        return ""
    known = ~np.isnan(repeated)
    pair = np.column_stack([repeating[known], repeated[known]])
    return "is perfectly correlated with" if _correlation(pair) >= SAME else ""


def _are_of_one_date(split: Split, column: int, other: int) -> bool:
    """Whether two features were read from one column: the parts of a date go together, and that is known."""
    columns = split.dataset.columns
    return bool(columns) and columns[column].source == columns[other].source


def _is_category(split: Split, column: int) -> bool:
    return bool(split.dataset.columns and split.dataset.columns[column].categories)


def _twins(split: Split) -> str:
    """Count rows of other parts that are training rows too, by 64-bit hashes of features and target."""
    import pandas as pd

    values = split.dataset.features + 0.0  # pandas 2 hashes -0 and 0, which are equal, apart
    values[np.isnan(values)] = np.nan  # of which there are many, too
    table = pd.DataFrame(values, copy=False).assign(target=split.dataset.target)
    hashes = pd.util.hash_pandas_object(table, index=False).to_numpy()
    said = []
    for part in PARTS[1:]:
        rows = split.rows(part)
        twins = int(np.isin(hashes[rows], hashes[split.train]).sum())
        if twins and twins >= FLATTERING * len(rows):
            said.append(f"{twins:,} of {count(len(rows), f'{part} row')}")
    if not said:
        return ""
    return (
        f"exact twins of training rows, target and all, in other parts ({' and '.join(said)}): they flatter models"
        " that memorise. Where they are one thing recorded twice, drop the repetition before rows are parted."
    )


def _telling_features(split: Split) -> tuple[list[str], list[str]]:
    """Return the names of features that are the target in other words, and of others that tell it all but alone."""
    rows, names = _sampled(split.train), split.dataset.feature_names
    target = split.dataset.target[rows]
    categories = np.array([_is_category(split, column) for column in range(split.dataset.n_features)])
    if split.dataset.task == "regression":
        copies, telling = _telling_values(split.dataset.features[rows], target.astype(np.float64), categories)
    else:
        labels = target.astype(np.int64)
        common = np.bincount(labels)[labels] >= FEW_ROWS  # of fewer, chance alone would make some feature tell them
        copies, telling = _telling_classes(split.dataset.features[rows[common]], labels[common], categories)
    return [names[column] for column in copies], [names[column] for column in telling]


def _telling_values(features: Floats, target: Floats, categories: Flags) -> tuple[list[int], list[int]]:
    """Return columns of numbers perfectly correlated with a real target, and others that put the rows in its order."""
    copies, telling = [], []
    for column in _varying_columns(features):
        known = ~np.isnan(features[:, column])
        if categories[column] or known.sum() < FEW_ROWS:
            continue
        pair = np.column_stack([features[known, column], target[known]])
        if len(_varying_columns(pair)) < 2:
            continue
        if _correlation(pair) >= SAME:
            copies.append(column)
        elif _order_explained(pair) >= TELLING_R2:
            telling.append(column)
    return copies, telling


def _correlation(pair: Floats) -> float:
    """Absolute correlation of two columns."""
    from sklearn.feature_selection import r_regression

    unitless = _unitless(pair)
    return float(abs(r_regression(unitless[:, :1], unitless[:, 1])[0]))


def _order_explained(pair: Floats) -> float:
    """Share of the variance of the second column's ranks that the first one's explain."""
    from scipy.stats import rankdata

    return _correlation(rankdata(pair, axis=0)) ** 2


def _unitless(table: Floats) -> Floats:
    """Scale columns, each of which varies, to a range of 1 about their mean: no square vanishes or overflows there."""
    low, high = _ends(table)
    scaled = (table - low) / (high - low)
    centered: Floats = scaled - np.nanmean(scaled, axis=0)
    return centered


def _filled(centered: Floats) -> Floats:
    """Put the mean, 0, where a value is missing: columns that go together do so still if they miss the same rows."""
    return np.where(np.isnan(centered), 0.0, centered)


def _telling_classes(features: Floats, labels: Integers, categories: Flags) -> tuple[list[int], list[int]]:
    """Return columns with one value for each class, and others from which a tree tells nearly all rows' class."""
    if len(np.unique(labels)) < 2:
        return [], []
    copies, telling = [], []
    for column in _most_telling(features, labels, categories):
        if _is_code(features[:, column], labels):
            copies.append(column)
        elif _tells(features[:, column], labels, is_category=categories[column]):
            telling.append(column)
    return copies, telling


def _most_telling(features: Floats, labels: Integers, categories: Flags) -> list[int]:
    """Return the columns in which classes differ most, in their own order: trees for very many would take long."""
    from sklearn.feature_selection import f_classif

    columns = _informative_columns(features)
    if len(columns) <= MOST_GROWN:
        return columns
    values = np.column_stack(
        [
            _mean_labels(features[:, column], labels) if categories[column] else _with_mean(features[:, column])
            for column in columns
        ]
    )
    with np.errstate(all="ignore"):  # classes that don't vary at all are infinitely far apart
        ratios, _ = f_classif(values, labels)
    return sorted(columns[place] for place in np.argsort(-ratios, kind="stable")[:MOST_GROWN])


def _with_mean(values: Floats) -> Floats:
    """Put the mean where a value is missing."""
    return np.where(np.isnan(values), np.nanmean(values), values)


def _mean_labels(codes: Floats, labels: Integers) -> Floats:
    """Put in the place of each category the mean label of its rows: a number by which it can be told."""
    places = _by_appearance(codes)
    means: Floats = (np.bincount(places, labels) / np.bincount(places))[places]
    return means


def _is_code(column: Floats, labels: Integers) -> bool:
    """Whether a column has just one value for each class, and another for each; to be missing is one, too."""
    values = _by_appearance(column)
    pairs = np.unique(np.column_stack([values, labels]), axis=0)
    return len(pairs) == len(np.unique(values)) == len(np.unique(labels))


def _tells(column: Floats, labels: Integers, *, is_category: bool) -> bool:
    """Whether a tree on one column is all but right on the rows held back, in every fold.

    It is a small one, unless codes of categories follow one another by their names alone: then each may have a leaf.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    order = np.lexsort([column, labels])  # so that it doesn't matter how rows come, and each fold has all classes
    column, labels = column[order, None], labels[order]
    folds = np.arange(len(labels)) % FOLDS
    tree = DecisionTreeClassifier(
        max_leaf_nodes=None if is_category else LEAVES_PER_CLASS * len(np.unique(labels)),
        class_weight="balanced",
        random_state=0,
    )
    return all(
        balanced_accuracy_score(
            labels[folds == fold],
            tree.fit(column[folds != fold], labels[folds != fold]).predict(column[folds == fold]),
        )
        >= TELLING_ACCURACY
        for fold in range(FOLDS)
    )


def _target_among(copies: Sequence[str]) -> str:
    if not copies:
        return ""
    return (
        f"the target is among the features, in its own or other units or codes ({_listed(copies)}): every model can"
        f" read the answer off, and no verdict means anything. Leave {_them(copies)} out."
    )


def _told_by(telling: Sequence[str], split: Split) -> str:
    if not telling:
        return ""
    how = (
        f"its order alone explains at least {100 * TELLING_R2:g} % of the variance of the target's ranks"
        if split.dataset.task == "regression"
        else f"a tree that sees nothing else is right on at least {100 * TELLING_ACCURACY:g} % of training rows"
        " held back, all classes counting alike"
    )
    return (
        f"{count(len(telling), 'feature')} that {'tells' if len(telling) == 1 else 'tell'} the target alone"
        f" ({_listed(telling)}): {how}. If that is known only once the target is, leave {_them(telling)} out: a verdict"
        " on a leak says nothing of later use."
    )


def _few_rows(split: Split) -> str:
    few = [
        f"{count(int(counts[label]), f'{PART_NAMES[part]} row')} of class {split.dataset.class_names[label]}"
        for part in PARTS
        if (counts := _class_counts(split, part)).any()
        for label in np.flatnonzero(counts < FEW_ROWS)
    ]
    if not few:
        return ""
    return (
        f"fewer than {FEW_ROWS} rows of a class in a part ({_listed(few)}): what is said of these classes rests on"
        " little. Get more rows of them, enlarge these parts, or merge classes."
    )


def _imbalance(split: Split) -> str:
    counts = _class_counts(split, "train")
    share, commonest = counts.max() / counts.sum(), split.dataset.class_names[int(counts.argmax())]
    if share < IMBALANCED:
        return ""
    best = ", and threshold: youden, where balanced accuracy is highest" if split.dataset.task == "binary" else ""
    return (
        f"{100 * share:.1f} % of the training rows are of class {commonest}: always saying so would be as accurate, and"
        " accuracy hardly tells models apart. Use compare: {metric: balanced_accuracy}, {metric: average_precision} or"
        f" {{metric: mcc}}{best}. With training: {{class_weight: balanced}} rare classes count as much as common ones."
    )


def _class_counts(split: Split, part: Part) -> Integers:
    labels = split.dataset.target[split.rows(part)].astype(np.int64)
    return np.bincount(labels, minlength=len(split.dataset.class_names)).astype(np.int64)


def _sampled(rows: Integers) -> Integers:
    return rows if len(rows) <= MOST_ROWS else np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)


def _ends(features: Floats) -> tuple[Floats, Floats]:
    """Return the lowest and the highest value of each column; NaN where all are missing."""
    return np.fmin.reduce(features), np.fmax.reduce(features)


def _constant_columns(features: Floats) -> list[int]:
    """Columns with one value in all rows, or with none: one and gaps are two things that tell rows apart."""
    low, high = _ends(features)
    columns: list[int] = np.flatnonzero((low == high) & ~np.isnan(features).any(axis=0) | np.isnan(low)).tolist()
    return columns


def _varying_columns(features: Floats) -> list[int]:
    """Columns with at least two values, missing ones aside."""
    low, high = _ends(features)
    columns: list[int] = np.flatnonzero(low < high).tolist()
    return columns


def _informative_columns(features: Floats) -> list[int]:
    return sorted(set(range(features.shape[1])) - set(_constant_columns(features)))


def _them(found: Collection[object]) -> str:
    return "it" if len(found) == 1 else "them"


def _listed(names: Sequence[str]) -> str:
    """List names, of many only the first."""
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
