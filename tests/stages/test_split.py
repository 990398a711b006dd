from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from pipeline.artifacts import Dataset, Split
from pipeline.errors import BadInput
from pipeline.stages.split import SplitSpec, folds, split, undivided, without_test
from tests.making import dataset


@pytest.fixture(scope="module")
def moons() -> Dataset:
    return dataset("moons", make="moons", n_samples=200, noise=0.3)


def parts(made: Split) -> tuple[set[int], set[int], set[int]]:
    return set(made.train.tolist()), set(made.validation.tolist()), set(made.test.tolist())


@pytest.mark.parametrize("stratify", [True, False])
def test_rows_are_those_of_train_test_split(moons: Dataset, stratify: bool) -> None:
    """With the same random_state, the test rows are scikit-learn's, in its order; so is the validation part."""
    made = split(moons, SplitSpec(test_size=0.2, validation_size=0.2, random_state=5, stratify=stratify))
    rows = np.arange(200)
    rest, test = train_test_split(rows, test_size=0.2, random_state=5, stratify=moons.target if stratify else None)
    train, validation = train_test_split(
        rest, test_size=40, random_state=5, stratify=moons.target[rest] if stratify else None
    )
    assert made.test.tolist() == test.tolist()
    assert made.validation.tolist() == validation.tolist()
    assert made.train.tolist() == train.tolist()


def test_resamples_are_splits_of_further_random_states(moons: Dataset) -> None:
    """Resample r has the rows of `random_state + r` and scaling of its own; resample 0 is the split itself."""
    made = [split(moons, SplitSpec(random_state=5), resample) for resample in range(3)]
    assert [one.resample for one in made] == [0, 1, 2]
    for resample, one in enumerate(made):
        alone = split(moons, SplitSpec(random_state=5 + resample))
        assert [one.train.tolist(), one.validation.tolist(), one.test.tolist()] == [
            alone.train.tolist(),
            alone.validation.tolist(),
            alone.test.tolist(),
        ]
        np.testing.assert_allclose(one.center, moons.features[one.train].mean(axis=0))
    assert len({frozenset(one.test.tolist()) for one in made}) == 3


def test_parts_are_disjoint_and_complete(moons: Dataset) -> None:
    """Every row is in exactly one part, and sizes are shares of the whole table."""
    made = split(moons, SplitSpec(test_size=0.25, validation_size=0.1))
    train, validation, test = parts(made)
    assert train | validation | test == set(range(200))
    assert (len(train), len(validation), len(test)) == (130, 20, 50)


def test_sizes_may_be_rows(moons: Dataset) -> None:
    """Whole numbers are numbers of rows, as in scikit-learn."""
    made = split(moons, SplitSpec(test_size=30, validation_size=10))
    assert (len(made.train), len(made.validation), len(made.test)) == (160, 10, 30)


def test_order_is_kept_without_shuffle(moons: Dataset) -> None:
    """`shuffle: false` takes the last rows for testing, those before them for validation."""
    made = split(moons, SplitSpec(test_size=0.1, validation_size=0.1, shuffle=False, stratify=False))
    assert made.test.tolist() == list(range(180, 200))
    assert made.validation.tolist() == list(range(160, 180))
    assert made.train.tolist() == list(range(160))


def test_no_validation_rows_means_test_rows_are_watched(moons: Dataset) -> None:
    """`validation_size: 0` is allowed, and says which rows are watched instead; likewise `test_size: 0`."""
    made = split(moons, SplitSpec(validation_size=0))
    assert (made.monitored, made.final, len(made.validation)) == ("test", "test", 0)
    made = split(moons, SplitSpec(test_size=0))
    assert (made.monitored, made.final, len(made.test)) == ("validation", "validation", 0)


@pytest.mark.parametrize(
    ("name", "scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler()), ("robust", RobustScaler())]
)
def test_scaler_is_fitted_on_train_rows_alone(moons: Dataset, name: str, scaler: StandardScaler) -> None:
    """Scaled values are those of scikit-learn's scaler, fitted on the training rows."""
    made = split(moons, SplitSpec(scaler=name))
    expected = scaler.fit(moons.features[made.train]).transform(moons.features[made.test])
    np.testing.assert_allclose(made.scaled_features(made.test), expected, rtol=1e-6, atol=1e-6)


def test_constant_feature_survives_scaling() -> None:
    """A feature without spread is centered and not blown up to NaN."""
    made = dataset("d", make="moons")
    features = made.features.copy()
    features[:, 0] = 3.0
    for name in ("standard", "minmax", "robust"):
        scaled = split(replace(made, features=features), SplitSpec(scaler=name))
        assert np.isfinite(scaled.scaled_features(scaled.train)).all()


def test_no_scaler_leaves_values_alone(moons: Dataset) -> None:
    """`scaler: none` hands the data on as they are, in single precision."""
    made = split(moons, SplitSpec(scaler="none"))
    assert (made.scaled_features(made.train) == moons.features[made.train].astype(np.float32)).all()


def test_regression_target_is_scaled_with_train_statistics() -> None:
    """A real target is standardised by the training rows, so that a step size fits whatever its units are."""
    made = split(dataset("d", load="diabetes"), SplitSpec())
    train = made.scaled_target(made.train)
    assert abs(float(train.mean())) < 1e-6
    assert float(train.std()) == pytest.approx(1, abs=1e-6)
    unscaled = split(dataset("d", load="diabetes"), SplitSpec(scaler="none"))
    assert (unscaled.target_center, unscaled.target_scale) == (0, 1)


@pytest.mark.parametrize("name", ["moons", "line"])
def test_undivided_rows_are_all_trained_on(name: str) -> None:
    """Undivided, a dataset's rows are training rows in their order, and scaling is fitted on all of them."""
    table = dataset(name, make=name, n_samples=50)
    made = undivided(table, "standard")
    assert made.train.tolist() == list(range(50))
    assert len(made.validation) == len(made.test) == 0
    assert made.center.tolist() == table.features.mean(axis=0).tolist()
    assert (made.target_scale == 1.0) == (name == "moons")


def grouped(table: Dataset, n_groups: int = 40) -> Dataset:
    """The same rows, each of some group; classes differ from group to group."""
    random = np.random.default_rng(3)
    return replace(table, groups=random.integers(0, n_groups // 2, len(table.target)) + n_groups // 2 * table.target)


def timed(table: Dataset) -> Dataset:
    """The same rows at whole days, in no order."""
    return replace(table, times=np.random.default_rng(4).integers(0, 60, len(table.target)).astype(float))


def groups_of(made: Split) -> list[set[int]]:
    assert made.dataset.groups is not None
    return [set(made.dataset.groups[made.rows(part)].tolist()) for part in ("train", "validation", "test")]


def test_all_rows_of_a_group_are_in_one_part(moons: Dataset) -> None:
    """Parts share no group, all rows are in one, sizes and classes come near to what was asked for."""
    made = split(grouped(moons), SplitSpec(test_size=0.25, validation_size=0.2, group="customer"))
    train, validation, test = groups_of(made)
    assert len(train) + len(validation) + len(test) == len(train | validation | test)
    assert sorted(np.concatenate([made.train, made.validation, made.test]).tolist()) == list(range(200))
    for rows, share in ((made.test, 0.25), (made.validation, 0.2), (made.train, 0.55)):
        assert len(rows) / 200 == pytest.approx(share, abs=0.04)
        assert moons.target[rows].mean() == pytest.approx(0.5, abs=0.1)
    assert made.center.tolist() == moons.features[made.train].mean(axis=0).tolist()


def test_resamples_and_random_states_part_other_groups(moons: Dataset) -> None:
    """Resample r has the groups of `random_state + r`."""
    table = grouped(moons)
    made = [split(table, SplitSpec(random_state=5), resample) for resample in range(2)]
    assert groups_of(made[0]) != groups_of(made[1]) == groups_of(split(table, SplitSpec(random_state=6)))


@pytest.mark.parametrize(("sizes", "part"), [((0.1, 0.4), "test"), ((0, 0.1), "validation"), ((0.1, 0), "test")])
def test_the_final_part_has_two_groups_at_least(moons: Dataset, sizes: tuple[float, float], part: str) -> None:
    """A tenth of five groups would be none; there would be nothing to estimate a spread over groups from."""
    table = replace(moons, groups=np.arange(200) % 5)
    made = split(table, SplitSpec(test_size=sizes[0], validation_size=sizes[1]))
    assert made.final == part
    assert len(set(table.groups[made.rows(made.final)].tolist())) == 2


def test_parts_are_one_after_another_in_time(moons: Dataset) -> None:
    """Test rows are the latest and training rows the earliest; no day is in two parts, whatever the random state."""
    table = timed(moons)
    made = split(table, SplitSpec(test_size=0.2, validation_size=0.1, time="signup"))
    assert table.times is not None
    for before, after in pairwise((made.train, made.validation, made.test)):
        assert table.times[before].max() < table.times[after].min()
    assert (len(made.train) + len(made.validation) + len(made.test), len(made.test) >= 40) == (200, True)
    other = split(table, SplitSpec(test_size=0.2, validation_size=0.1, random_state=1, stratify=False, shuffle=False))
    assert parts(other) == parts(made)


def test_rows_without_a_target_are_in_no_part(moons: Dataset) -> None:
    """They are neither drawn nor counted, with groups or times or neither."""
    unknown = [3, 50, 51, 199]
    target = moons.target.copy()
    target[unknown] = -1
    for table in (moons, grouped(moons), timed(moons)):
        made = split(replace(table, target=target), SplitSpec())
        assert set().union(*parts(made)) == set(range(200)) - set(unknown)


def test_folds_keep_groups_whole(moons: Dataset) -> None:
    """Each fold's validation groups are none of its training groups, and every row is held out once."""
    table = grouped(moons)
    made = split(table, SplitSpec())
    for spec in (SplitSpec(), SplitSpec(stratify=False)):
        found = folds(made, spec, 4)
        for fold in found:
            train, validation, _ = groups_of(fold)
            assert not train & validation
        held_out = np.concatenate([fold.validation for fold in found])
        assert sorted(held_out.tolist()) == list(range(len(made.train) + len(made.validation)))
        assert not set().union(*groups_of(found[0])) & groups_of(made)[2]


def test_folds_in_time_predict_the_future(moons: Dataset) -> None:
    """Later rows are predicted from earlier ones, and none of them is a test row."""
    made = split(timed(moons), SplitSpec())
    found = folds(made, SplitSpec(), 3)
    assert len(found) == 3
    for fold in found:
        times = fold.dataset.times
        assert times is not None
        assert times[fold.train].max() < times[fold.validation].min()
        assert times.max() < made.dataset.times[made.test].min()  # type: ignore[index]


def test_a_table_without_test_rows_keeps_its_groups_and_times(moons: Dataset) -> None:
    """A search's table has the groups, and the times, of the rows that it has."""
    for table, field in ((grouped(moons), "groups"), (timed(moons), "times")):
        made = split(table, SplitSpec())
        alone = without_test(made, SplitSpec())
        rows = np.concatenate([made.train, made.validation])
        assert getattr(alone.dataset, field).tolist() == getattr(table, field)[rows].tolist()


@pytest.mark.parametrize(
    ("changes", "spec", "complaint"),
    [
        (
            {},
            {"group": "customer"},
            "group: 'customer': moons has no such column, not being a table from a file; remove",
        ),
        ({}, {"time": "day"}, "time: 'day': moons has no such column, not being a table from a file; remove"),
        ({"groups": np.arange(200) % 3}, {}, "group: 3 groups can't be parted so that 2 stay and 2 are taken; name"),
        ({"groups": np.arange(200)}, {"shuffle": False}, "shuffle: groups are drawn, not kept in order; remove"),
        (
            {"times": np.zeros(200)},
            {},
            "time: no row is left that is earlier than the last 40 (1 different time in 200",
        ),
    ],
)
def test_what_cannot_be_parted_is_one_line(
    moons: Dataset, changes: dict[str, object], spec: dict[str, object], complaint: str
) -> None:
    """Columns that aren't there, too few groups or times: field, problem and remedy."""
    with pytest.raises(BadInput) as caught:
        split(replace(moons, **changes), SplitSpec.model_validate(spec))  # type: ignore[arg-type]
    assert str(caught.value).startswith(complaint)


def test_a_part_without_a_class_is_a_complaint(moons: Dataset) -> None:
    """Where a class is of one time, or in one group, the line names part and class, and what can be done."""
    timely = replace(moons, times=np.where(moons.target == 1, 100.0, np.arange(200.0) / 2))
    with pytest.raises(BadInput, match="rows have none of class 1; set other sizes, or don't part by time"):
        split(timely, SplitSpec())
    one_group = replace(moons, groups=np.where(moons.target == 1, 1000, np.arange(200)))
    with pytest.raises(
        BadInput, match="rows have none of class 1; set stratify: true, enlarge that part, or use another"
    ):
        split(one_group, SplitSpec())


def test_group_and_time_exclude_one_another() -> None:
    """Both at once is bad input, in one line."""
    with pytest.raises(ValueError, match="group and time are both given"):
        SplitSpec(group="customer", time="day")


def test_too_few_groups_for_folds_are_a_complaint(moons: Dataset) -> None:
    """The line says how many groups there are."""
    made = split(replace(moons, groups=np.arange(200) % 6), SplitSpec())
    with pytest.raises(BadInput, match=r"^5 folds, but \d groups; use fewer folds, or more groups"):
        folds(made, SplitSpec(), 5)
