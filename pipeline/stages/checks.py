"""Checks of the data before training: what makes a verdict mean less than it seems to, and what to do about it.

They warn and change nothing. What models learn from is looked at on the training rows; classes are counted, and twins
looked for, in all parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.artifacts import Floats, Integers, Part, Split
from pipeline.comparison.wording import count

Kind = Literal[
    "constant feature",
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
    """Look for what makes a comparison on these data mean less than it seems to.

    Where features are held against one another or against the target, at most 2,000 training rows are looked at (a
    fixed sample of more), and of wide tables the first 1,000 features, or the 200 in which classes differ most by an
    F test. Generated data (`Dataset.recipe`) may be told by one feature by their very law, which is no finding.

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
    yield "constant feature", _constant(split)
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
    return (
        f"{count(len(constant), 'feature')} with one and the same value in all {len(split.train):,} training rows"
        f" ({_listed([names[column] for column in constant])}): nothing can be learned from {_them(constant)}"
        f"{elsewhere}. Leave {_them(constant)} out."
    )


def _duplicates(split: Split) -> str:
    sample = split.dataset.features[_sampled(split.train)]
    columns = _varying_columns(sample)[:MOST_PAIRED]
    if len(columns) < 2:
        return ""
    alike = np.abs(np.corrcoef(_unitless(sample[:, columns]), rowvar=False)) >= SAME
    pairs = []
    for place, column in enumerate(columns):
        first = columns[int(alike[:, place].argmax())]
        if first != column and (how := _repeats(split, column, first)):
            pairs.append(f"{split.dataset.feature_names[column]} {how} {split.dataset.feature_names[first]}")
    if not pairs:
        return ""
    return (
        f"{count(len(pairs), 'feature')} that {'repeats' if len(pairs) == 1 else 'repeat'} another ({_listed(pairs)}):"
        " nothing is added, and what such features matter is shared out between them by chance. Keep one of each."
    )


def _repeats(split: Split, column: int, first: int) -> str:
    """Say how a column repeats another one in all training rows, when it does."""
    from sklearn.feature_selection import r_regression

    features = split.dataset.features
    repeated, repeating = features[split.train, first], features[split.train, column]
    if np.array_equal(repeating, repeated):
        return "equals"
    pair = _unitless(np.column_stack([repeating, repeated]))
    return "is perfectly correlated with" if abs(r_regression(pair[:, :1], pair[:, 1])[0]) >= SAME else ""


def _twins(split: Split) -> str:
    """Count rows of other parts that are training rows too, by 64-bit hashes of features and target."""
    import pandas as pd

    table = pd.DataFrame(split.dataset.features + 0.0)  # pandas 2 hashes -0 and 0, which are equal, apart
    hashes = pd.util.hash_pandas_object(table.assign(target=split.dataset.target), index=False).to_numpy()
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
    if split.dataset.task == "regression":
        copies, telling = _telling_values(split.dataset.features[rows], target.astype(np.float64))
    else:
        labels = target.astype(np.int64)
        common = np.bincount(labels)[labels] >= FEW_ROWS  # of fewer, chance alone would make some feature tell them
        copies, telling = _telling_classes(split.dataset.features[rows[common]], labels[common])
    return [names[column] for column in copies], [names[column] for column in telling]


def _telling_values(features: Floats, target: Floats) -> tuple[list[int], list[int]]:
    """Return columns perfectly correlated with a real target, and others that put the rows in its order."""
    from scipy.stats import rankdata
    from sklearn.feature_selection import r_regression

    columns = np.array(_varying_columns(features), dtype=np.int64)
    if not len(columns) or len(target) < FEW_ROWS or target.min() == target.max():
        return [], []
    table = np.column_stack([features[:, columns], target])
    values, ranks = _unitless(table), _unitless(rankdata(table, axis=0))
    are_copies = np.abs(r_regression(values[:, :-1], values[:, -1])) >= SAME
    are_in_order = r_regression(ranks[:, :-1], ranks[:, -1]) ** 2 >= TELLING_R2
    return columns[are_copies].tolist(), columns[are_in_order & ~are_copies].tolist()


def _unitless(table: Floats) -> Floats:
    """Scale columns, each of which varies, to a range of 1 about their mean: no square vanishes or overflows there."""
    low, high = table.min(axis=0), table.max(axis=0)
    scaled = (table - low) / (high - low)
    centered: Floats = scaled - scaled.mean(axis=0)
    return centered


def _telling_classes(features: Floats, labels: Integers) -> tuple[list[int], list[int]]:
    """Return columns with one value for each class, and others from which a small tree tells nearly all rows' class."""
    if len(np.unique(labels)) < 2:
        return [], []
    copies, telling = [], []
    for column in _most_telling(features, labels):
        if _is_code(features[:, column], labels):
            copies.append(column)
        elif _tells(features[:, column], labels):
            telling.append(column)
    return copies, telling


def _most_telling(features: Floats, labels: Integers) -> list[int]:
    """Return the columns in which classes differ most, in their own order: trees for very many would take long."""
    from sklearn.feature_selection import f_classif

    columns = _varying_columns(features)
    if len(columns) <= MOST_GROWN:
        return columns
    with np.errstate(all="ignore"):  # classes that don't vary at all are infinitely far apart
        ratios, _ = f_classif(features[:, columns], labels)
    return sorted(columns[place] for place in np.argsort(-ratios, kind="stable")[:MOST_GROWN])


def _is_code(column: Floats, labels: Integers) -> bool:
    """Whether a column has just one value for each class, and another for each."""
    pairs = np.unique(np.column_stack([column, labels]), axis=0)
    return len(pairs) == len(np.unique(column)) == len(np.unique(labels))


def _tells(column: Floats, labels: Integers) -> bool:
    """Whether a small tree on one column is all but right on the rows held back, in every fold."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    order = np.lexsort([column, labels])  # so that it doesn't matter how rows come, and each fold has all classes
    column, labels = column[order, None], labels[order]
    folds = np.arange(len(labels)) % FOLDS
    tree = DecisionTreeClassifier(
        max_leaf_nodes=LEAVES_PER_CLASS * len(np.unique(labels)), class_weight="balanced", random_state=0
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
        else f"a small tree that sees nothing else is right on at least {100 * TELLING_ACCURACY:g} % of training rows"
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
        f" {{metric: mcc}}{best}."
    )


def _class_counts(split: Split, part: Part) -> Integers:
    labels = split.dataset.target[split.rows(part)].astype(np.int64)
    return np.bincount(labels, minlength=len(split.dataset.class_names)).astype(np.int64)


def _sampled(rows: Integers) -> Integers:
    return rows if len(rows) <= MOST_ROWS else np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)


def _constant_columns(features: Floats) -> list[int]:
    columns: list[int] = np.flatnonzero(features.min(axis=0) == features.max(axis=0)).tolist()
    return columns


def _varying_columns(features: Floats) -> list[int]:
    columns: list[int] = np.flatnonzero(features.min(axis=0) < features.max(axis=0)).tolist()
    return columns


def _them(found: Collection[object]) -> str:
    return "it" if len(found) == 1 else "them"


def _listed(names: Sequence[str]) -> str:
    """List names, of many only the first."""
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
