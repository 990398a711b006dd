from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import GroupShuffleSplit, TimeSeriesSplit

from pipeline.artifacts import Floats, Integers
from pipeline.errors import BadInput
from pipeline.stages.parting import CANDIDATES, take_groups, take_latest, windows

LABELLED_GROUPS = st.lists(st.tuples(st.integers(-3, 12), st.integers(0, 2)), min_size=8, max_size=80)
SOME_TIMES = st.lists(st.integers(0, 30).map(float), min_size=2, max_size=60)
MORE_TIMES = st.lists(st.integers(0, 60).map(float), min_size=20, max_size=60)


def columns(rows: list[tuple[int, int]]) -> tuple[Integers, Integers]:
    groups, labels = np.array(rows, dtype=np.int64).T
    return groups, labels


@settings(deadline=None, max_examples=60)
@given(LABELLED_GROUPS, st.integers(1, 20), st.booleans())
def test_groups_stay_whole(rows: list[tuple[int, int]], size: int, with_labels: bool) -> None:
    """Every row stays or is taken, none of a group that does the other, and at least so many groups do either."""
    groups, labels = columns(rows)
    if len(np.unique(groups)) < 4:
        return
    stays, taken = take_groups(groups, labels if with_labels else None, size, least=2, least_left=2, random_state=0)
    assert_array_equal(np.sort(np.concatenate([stays, taken])), np.arange(len(groups)))
    assert not set(groups[stays].tolist()) & set(groups[taken].tolist())
    assert min(len(set(groups[side].tolist())) for side in (stays, taken)) >= 2


def test_the_draw_is_the_best_of_scikit_learns() -> None:
    """What is taken is one of `GroupShuffleSplit`'s draws, and none of the others comes nearer to all shares wanted."""
    random = np.random.default_rng(1)
    groups = np.sort(random.integers(0, 30, 200))
    labels = (random.random(200) < random.random(30)[groups]).astype(np.int64)  # classes differ from group to group
    n_groups = len(np.unique(groups))
    draws = GroupShuffleSplit(CANDIDATES, test_size=round(0.2 * n_groups), random_state=7).split(groups, groups=groups)

    def misses(taken: Integers) -> float:
        members = [np.arange(200), np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)]
        shares = [np.isin(rows, taken).mean() for rows in members]
        return sum(abs(share - 0.2) for share in shares)

    candidates = [taken for _, taken in draws]
    _, taken = take_groups(groups, labels, 40, least=2, least_left=2, random_state=7)
    assert any(np.array_equal(taken, candidate) for candidate in candidates)
    assert misses(taken) == pytest.approx(min(map(misses, candidates)))
    assert misses(taken) < 0.3 * np.median([misses(candidate) for candidate in candidates])


def test_a_rare_class_in_few_groups_is_in_both_parts() -> None:
    """Of a class that three of forty groups have, some is taken and some stays, for any random state."""
    groups = np.repeat(np.arange(40), 5)
    labels = np.isin(groups, [3, 17, 30]).astype(np.int64)
    for random_state in range(20):
        stays, taken = take_groups(groups, labels, 40, least=2, least_left=2, random_state=random_state)
        assert set(labels[taken].tolist()) == set(labels[stays].tolist()) == {0, 1}


def test_sizes_are_those_of_rows_where_groups_are_of_any_size() -> None:
    """One group that has half of the rows doesn't get into a fifth."""
    groups = np.concatenate([np.zeros(100, dtype=np.int64), np.repeat(np.arange(1, 26), 4)])
    for random_state in range(10):
        _, taken = take_groups(groups, None, 40, least=2, least_left=2, random_state=random_state)
        assert 0 not in groups[taken]
        assert 20 <= len(taken) <= 60


def test_other_random_states_take_other_groups() -> None:
    """The same random state takes the same groups, another one others."""
    groups = np.repeat(np.arange(50), 3)
    drawn = [tuple(take_groups(groups, None, 30, least=2, least_left=1, random_state=at)[1]) for at in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_too_few_groups_are_a_complaint() -> None:
    """The line says how many groups there are, and what to do."""
    with pytest.raises(
        BadInput, match=r"^group: 3 groups can't be parted so that 2 stay and 2 are taken; name a column"
    ):
        take_groups(np.array([4, 4, 8, 9]), None, 1, least=2, least_left=2, random_state=0)


@settings(deadline=None, max_examples=100)
@given(SOME_TIMES, st.integers(1, 40))
def test_the_latest_rows_are_taken(values: list[float], size: int) -> None:
    """All that is taken is later than all that stays; it is as much as asked for, or more by rows of one time alone."""
    times: Floats = np.array(values)
    if np.sort(times)[max(len(times) - size, 0)] == times.min():
        with pytest.raises(BadInput, match=r"^time: no row is left that is earlier than the last"):
            take_latest(times, size)
        return
    stays, taken = take_latest(times, size)
    assert_array_equal(np.sort(np.concatenate([stays, taken])), np.arange(len(times)))
    assert times[stays].max() < times[taken].min()
    assert len(taken) >= size > (times[taken] > times[taken].min()).sum()
    assert (np.diff(times[np.concatenate([stays, taken])]) >= 0).all()


def test_one_time_alone_is_a_complaint() -> None:
    """The line says that all rows are of one time."""
    with pytest.raises(BadInput, match=r"earlier than the last 2 \(1 different time in 10 rows\); name a column"):
        take_latest(np.full(10, 3.0), 2)


def test_rows_of_one_time_are_in_the_later_window() -> None:
    """A border that would part rows of one time moves to where they begin."""
    (first, second), (third, fourth) = windows(np.array([0.0, 1, 1, 2, 2, 2, 3, 3, 3]), 2)
    assert (first.tolist(), second.tolist()) == ([0, 1, 2], [3, 4, 5])
    assert (third.tolist(), fourth.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    (first, second), _ = windows(np.array([0.0, 1, 2, 2, 2, 2, 3, 3, 3]), 2)
    assert (first.tolist(), second.tolist()) == ([0, 1], [2, 3, 4, 5])


def test_windows_are_scikit_learns_where_no_times_are_equal() -> None:
    """Rows in any order of time have the folds that `TimeSeriesSplit` makes of them in order."""
    times = np.random.default_rng(0).permutation(23).astype(float)
    order = np.argsort(times)
    found = list(windows(times, 4))
    assert len(found) == 4
    for (train, validation), expected in zip(found, TimeSeriesSplit(4).split(order), strict=True):
        assert_array_equal(train, order[expected[0]])
        assert_array_equal(validation, order[expected[1]])


@settings(deadline=None, max_examples=100)
@given(MORE_TIMES, st.integers(2, 5))
def test_windows_predict_the_future(values: list[float], number: int) -> None:
    """Every fold's validation rows are later than its training rows, and are all that the next fold learns besides."""
    times: Floats = np.array(values)
    try:
        found = list(windows(times, number))
    except BadInput:
        reject()
    assert len(found) == number
    for train, validation in found:
        assert times[train].max() < times[validation].min()
    for (train, validation), (after, _) in pairwise(found):
        assert_array_equal(after, np.concatenate([train, validation]))
    assert len(found[-1][0]) + len(found[-1][1]) == len(times)


@pytest.mark.parametrize("times", [np.zeros(30), np.arange(3.0), np.repeat([0.0, 1.0], 20)])
def test_too_few_times_for_folds_are_a_complaint(times: Floats) -> None:
    """The line says how many different times there are."""
    with pytest.raises(BadInput, match=r"^3 folds in time, but \d different times? in \d+ rows; use fewer"):
        list(windows(times, 3))
