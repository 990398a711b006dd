"""Checks of tables from files: gaps, booleans, categories and dates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import Column, Dataset, Floats, Integers, Split, Task
from pipeline.stages.checks import MOST_ROWS, Finding, check_data
from pipeline.stages.split import SplitSpec, split
from tests.making import MIXED, mixed_dataset

NAN = np.nan
UNSHUFFLED = SplitSpec(shuffle=False, stratify=False)
ROWS = 400


def with_column(column: Column, values: Floats | Integers, name: str = "new", task: Task = "binary") -> Dataset:
    """The mixed table with one more column."""
    data = mixed_dataset(ROWS, task)
    return replace(
        data,
        features=np.column_stack([data.features, values]),
        feature_names=(*data.feature_names, name),
        columns=(*data.columns, column),
    )


def found(data: Dataset | Split) -> tuple[Finding, ...]:
    return check_data({"t": split(data, UNSHUFFLED) if isinstance(data, Dataset) else data})


def only(data: Dataset | Split) -> Finding:
    (finding,) = found(data)
    return finding


def gaps(values: Floats | Integers, share: float = 0.1) -> Floats:
    holes = np.random.default_rng(9).random(len(values)) < share
    return np.where(holes, NAN, values)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_sound_tables_give_no_finding(task: Task) -> None:
    """A table of numbers, booleans, categories and dates with gaps has no fault, and numpy warns of none."""
    assert found(mixed_dataset(ROWS, task)) == ()


def test_what_reading_left_out_is_told_first() -> None:
    """Each notice is said as it is, under the dataset's name, before what checks find."""
    data = replace(with_column(Column("new", "number"), np.ones(ROWS)), notices=("id is left out.", "b is <odd>."))
    findings = found(data)
    assert [finding.kind for finding in findings] == ["reading", "reading", "constant feature"]
    assert [finding.sentence for finding in findings[:2]] == ["t: id is left out.", "t: b is <odd>."]


def test_a_column_without_any_value_is_constant_and_one_with_gaps_is_not() -> None:
    """All missing is called constant; one value and gaps tell rows apart, and aren't."""
    empty = only(with_column(Column("new", "number"), np.full(ROWS, NAN)))
    assert empty.kind == "constant feature"
    assert "1 feature with one and the same value, or none, in all 240 training rows (new)" in empty.sentence
    assert found(with_column(Column("new", "number"), gaps(np.ones(ROWS)))) == ()
    assert "or none" not in only(with_column(Column("new", "category", ("a",)), np.zeros(ROWS))).sentence


def test_much_missing_is_named_with_its_share() -> None:
    """A feature with no value in most training rows is named with the share; half a column of gaps isn't much."""
    values = np.random.default_rng(1).normal(size=ROWS)
    values[: 240 * 3 // 4] = NAN
    finding = only(with_column(Column("new", "number"), values))
    assert finding.kind == "missing values"
    assert "1 feature with no value in most training rows (new 75 %)" in finding.sentence
    assert found(with_column(Column("new", "number"), np.where(np.arange(ROWS) % 2, values**0, NAN))) == ()


def test_categories_that_training_has_not_are_counted() -> None:
    """Rows of validation and test with a category that no training row has are counted, those with gaps aren't."""
    codes = np.arange(ROWS) % 2 * 1.0
    made = split(with_column(Column("new", "category", ("a", "b", "c")), codes), UNSHUFFLED)
    made.dataset.features[made.test[:7], -1] = 2
    made.dataset.features[made.test[7:9], -1] = NAN
    made.dataset.features[made.validation[:2], -1] = 2
    finding = only(made)
    assert finding.kind == "unknown categories"
    assert "(new in 2 of 80 validation rows, new in 7 of 80 test rows)" in finding.sentence
    made.dataset.features[made.train[0], -1] = 2
    assert found(made) == ()


def test_duplicates_are_seen_through_gaps() -> None:
    """A column that repeats another one, gaps and all, is named; one that has gaps elsewhere isn't."""
    age = mixed_dataset(ROWS).features[:, 0]
    assert "(new equals age)" in only(with_column(Column("new", "number"), age)).sentence
    assert "(new is perfectly correlated with age)" in only(with_column(Column("new", "number"), 3 - 2 * age)).sentence
    elsewhere = age.copy()
    elsewhere[np.flatnonzero(~np.isnan(age))[0]] = NAN
    assert found(with_column(Column("new", "number"), elsewhere)) == ()
    vip = mixed_dataset(ROWS).features[:, 1]
    assert "(new is perfectly correlated with vip)" in only(with_column(Column("new", "boolean"), 1 - vip)).sentence


@pytest.mark.parametrize("place", [0, 2])
def test_duplicates_are_so_in_all_rows(place: int) -> None:
    """Columns of a large table that differ in a row which isn't looked at first, by a gap alone, aren't duplicates."""
    data = mixed_dataset(10_000)
    again = data.features[:, place].copy()
    made = split(data, UNSHUFFLED)
    unseen = np.setdiff1d(made.train, np.random.default_rng(0).choice(made.train, MOST_ROWS, replace=False))
    again[unseen[~np.isnan(again[unseen])][0]] = NAN
    wide = replace(
        data,
        features=np.column_stack([data.features, again]),
        feature_names=(*data.feature_names, "new"),
        columns=(*data.columns, replace(data.columns[place], source="new")),
    )
    assert found(wide) == ()
    equal = replace(wide, features=np.column_stack([data.features, data.features[:, place]]))
    assert only(equal).kind == "duplicate features"


def test_categories_repeat_one_another_when_they_go_one_to_one() -> None:
    """Not the codes of categories are held against one another, but which rows they put together."""
    city = mixed_dataset(ROWS).features[:, 2]
    renamed = Column("new", "category", ("1", "2", "3", "4"))
    turned = np.where(np.isnan(city), NAN, np.array([2.0, 0.0, 3.0, 1.0])[np.nan_to_num(city).astype(int)])
    assert "(new goes one to one with city)" in only(with_column(renamed, turned)).sentence
    assert "(new goes one to one with city)" in only(with_column(renamed, city)).sentence
    assert "(new equals city)" in only(with_column(Column("new", "category", MIXED[2].categories), city)).sentence
    merged = np.where(city == 3, 0.0, city)
    assert found(with_column(renamed, merged)) == ()
    as_numbers = with_column(Column("new", "number"), city)
    assert found(as_numbers) == ()


def test_parts_of_one_date_are_no_duplicates() -> None:
    """Hours that go with the days of the same column are no finding; those of another column are."""
    days = mixed_dataset(ROWS).features[:, 3]
    assert found(with_column(Column("since", "date", part="hour"), days / 2)) == ()
    assert only(with_column(Column("until", "date", part="hour"), days / 2)).kind == "duplicate features"


def test_gaps_equal_gaps_in_twins() -> None:
    """A row with gaps has a twin in a row with the same gaps, whatever bits stand for them."""
    made = split(mixed_dataset(ROWS), UNSHUFFLED)
    features, target = made.dataset.features, made.dataset.target
    features[made.train[:3], 0] = NAN
    features[made.test[:3]], target[made.test[:3]] = features[made.train[:3]], target[made.train[:3]]
    features[made.test[:3], 0] = -np.float64(NAN)
    assert "(3 of 80 test rows)" in only(made).sentence


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Column("new", "category", ("x", "y")), lambda labels: 1.0 - labels),
        (Column("new", "boolean"), lambda labels: labels),
        (Column("new", "number"), lambda labels: np.where(labels == 1, 7.0, NAN)),
    ],
)
def test_target_in_other_words_is_found(column: Column, values: object) -> None:
    """A category, a boolean, or a column with a value in rows of one class alone, is the target."""
    labels = mixed_dataset(ROWS).target
    finding = only(with_column(column, values(labels)))  # type: ignore[operator]
    assert (finding.kind, "(new)" in finding.sentence) == ("target among the features", True)


def test_feature_that_tells_the_target_is_found_among_gaps_and_categories() -> None:
    """Many categories that each have one class tell it, as does a number missing for one class; chance doesn't."""
    rng = np.random.default_rng(2)
    labels = mixed_dataset(ROWS).target
    names = tuple("abcdefghijklmnopqrst")
    codes = 2.0 * rng.integers(0, 10, ROWS) + labels
    finding = only(with_column(Column("new", "category", names), codes))
    assert (finding.kind, "(new)" in finding.sentence) == ("feature that tells the target", True)
    cancelled = np.where(labels == 1, rng.normal(size=ROWS), NAN)
    assert only(with_column(Column("new", "number"), cancelled)).kind == "feature that tells the target"
    nearly_unique = tuple(str(number) for number in range(ROWS))
    assert found(with_column(Column("new", "category", nearly_unique), np.arange(ROWS) % 240)) == ()


def test_a_real_target_is_found_where_a_feature_has_values() -> None:
    """A copy of a real target with gaps is named, and so is one that keeps its order alone."""
    target = mixed_dataset(ROWS, "regression").target
    number = Column("new", "number")
    copy = only(with_column(number, gaps(5 - 2 * target), task="regression"))
    assert copy.kind == "target among the features"
    told = only(with_column(number, gaps(np.exp(target)), task="regression"))
    assert told.kind == "feature that tells the target"


def test_leak_is_found_among_many_columns() -> None:
    """Of more columns than trees are grown on, the category and the number that tell the target are looked at."""
    rng = np.random.default_rng(4)
    data = mixed_dataset(ROWS)
    noise, labels = gaps(rng.normal(size=(ROWS, 300)).ravel()).reshape(ROWS, 300), data.target
    codes = np.empty(ROWS)
    codes[labels == 1] = np.resize([0, 3, 4, 7], (labels == 1).sum())  # the mean is that of the other class
    codes[labels == 0] = np.resize([1, 2, 5, 6], (labels == 0).sum())
    leaks = np.column_stack([codes, gaps(labels + 0.1 * rng.normal(size=ROWS), 0.001)])
    columns = tuple(Column(f"f{place}", "number") for place in range(300))
    wide = replace(
        data,
        features=np.column_stack([noise, leaks]),
        feature_names=(*(column.source for column in columns), "category", "number"),
        columns=(*columns, Column("category", "category", tuple("abcdefgh")), Column("number", "number")),
    )
    finding = only(wide)
    assert finding.kind == "feature that tells the target"
    assert "(category, number)" in finding.sentence
