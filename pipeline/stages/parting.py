"""Parting: which rows are taken out of a table whose rows come in groups, or one after another in time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.comparison.wording import count
from pipeline.errors import BadInput

CANDIDATES = 100  # draws of groups, the best of which is taken

Parted = tuple[Integers, Integers]  # what stays, and what is taken: positions in ascending order, or in that of time


def take_groups(
    groups: Integers, labels: Integers | None, size: int, *, least: int, least_left: int, random_state: int
) -> Parted:
    """Take about so many rows, in whole groups.

    As large a share of the groups is drawn as is wanted of the rows, 100 times as scikit-learn's `GroupShuffleSplit`
    does, and the draw kept that comes nearest: the one whose share taken is, summed over all rows and each class, least
    far from the share wanted. Each class counts as much as all rows together, so that rare ones aren't forgotten.

    Parameters
    ----------
    groups:
        The group of each row, (rows,).
    labels:
        Class of each row, (rows,); None where classes don't matter.
    size:
        Rows to take.
    least, least_left:
        Fewest groups to take, and to leave.
    random_state:
        Of the draws.

    Raises
    ------
    BadInput
        When there are fewer groups than must be taken and left.
    """
    from sklearn.model_selection import ShuffleSplit

    present, codes = np.unique(groups, return_inverse=True)
    if len(present) < least + least_left:
        raise BadInput(
            f"{count(len(present), 'group')} can't be parted so that {least_left} stay and {least} are taken",
            field="group",
            remedy="name a column with more groups, or do without validation_size",
        )
    share = size / len(groups)
    number = int(np.clip(round(share * len(present)), least, len(present) - least_left))
    rows = np.bincount(codes)[:, None]  # (groups, 1), and by class where classes matter
    if labels is not None:
        classes, of_class = np.unique(labels, return_inverse=True)
        table = np.bincount(codes * len(classes) + of_class, minlength=len(present) * len(classes))
        rows = np.hstack([rows, table.reshape(len(present), -1)])
    whole = rows.sum(axis=0)
    draws = ShuffleSplit(CANDIDATES, test_size=number, random_state=random_state).split(present)
    best = min((drawn for _, drawn in draws), key=lambda drawn: np.abs(rows[drawn].sum(axis=0) / whole - share).sum())
    is_taken = np.isin(codes, best)
    return np.flatnonzero(~is_taken), np.flatnonzero(is_taken)


def take_latest(times: Floats, size: int) -> Parted:
    """Take about so many of the latest rows: more where the border would part rows of one time.

    Parameters
    ----------
    times:
        The time of each row, (rows,).
    size:
        Rows to take.

    Raises
    ------
    BadInput
        When no row is left before those that are taken.
    """
    order = np.argsort(times, kind="stable")
    border = _not_parting(times[order], max(len(times) - size, 0))
    if not border:
        raise BadInput(
            f"no row is left that is earlier than the last {size:,}"
            f" ({count(len(np.unique(times)), 'different time')} in {count(len(times), 'row')})",
            field="time",
            remedy="name a column that tells times more finely, or ask for smaller parts",
        )
    return order[:border], order[border:]


def windows(times: Floats, number: int) -> Iterator[Parted]:
    """Yield folds in time, (training, validation) rows: scikit-learn's `TimeSeriesSplit`, but for rows of one time.

    The table is cut into one more stretch than there are folds; each stretch but the first is predicted from all
    before it. Rows of one time are all in the later stretch.

    Raises
    ------
    BadInput
        When there are too few different times.
    """
    from sklearn.model_selection import TimeSeriesSplit

    order = np.argsort(times, kind="stable")
    ordered, different = times[order], len(np.unique(times))
    if len(times) > number:
        cuts = [int(validation[0]) for _, validation in TimeSeriesSplit(number).split(order)]
        borders = [*(_not_parting(ordered, cut) for cut in cuts), len(times)]
    if len(times) <= number or len({0, *borders}) < number + 2:
        raise BadInput(
            f"{number} folds in time, but {count(different, 'different time')} in {count(len(times), 'row')}",
            remedy="use fewer folds, or a column that tells times more finely",
        )
    for start, end in pairwise(borders):
        yield order[:start], order[start:end]


def _not_parting(ordered: Floats, border: int) -> int:
    """Return the border itself, or where the rows of its time begin."""
    return int(np.searchsorted(ordered, ordered[border], side="left"))
