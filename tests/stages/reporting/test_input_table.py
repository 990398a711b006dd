from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import Column
from pipeline.stages.encoding import treatments
from pipeline.stages.reporting.input_table import MOST_CATEGORIES, input_rows
from pipeline.stages.split import SplitSpec, split
from tests.making import dataset, mixed_dataset

NAN = np.nan


def test_the_table_says_what_is_done_to_each_feature() -> None:
    """Shares, fillings, scaling and categories are those of the train rows; plain tables have no such table."""
    made = split(mixed_dataset(), SplitSpec())
    train = made.dataset.features[made.train]
    rows = {row[0]: row for row in input_rows(made)}
    assert list(rows) == list(made.dataset.feature_names)
    age = train[:, 0]
    median, share = np.nanmedian(age), np.isnan(age).mean()
    filled = np.where(np.isnan(age), median, age)
    assert rows["age"][1:3] == ("number", f"{100 * share:.1f}\N{NO-BREAK SPACE}%")
    assert rows["age"][3:] == (
        f"the median, {median:.4g}",
        f"{filled.mean():.4g}",
        f"{filled.std():.4g}",
        "its value; missing or not",
    )
    commoner = "true" if np.nanmean(train[:, 1]) > 0.5 else "false"
    assert rows["vip"][3:] == (f"the commoner, {commoner}", "–", "–", "its value; missing or not")
    assert rows["city"][3:] == ("–", "–", "–", "Bruck, Graz, Linz, Wien; missing or not")
    median_day = np.datetime64(int(np.nanmedian(train[:, 3])), "D")
    assert rows["since"][1] == "date: days"
    assert rows["since"][3] == f"the median, {median_day}"
    assert rows["since"][5].endswith(" days")
    assert rows["since: weekday"][6] == "Monday, Tuesday; missing or not"
    assert input_rows(split(dataset(make="moons"), SplitSpec())) == []


def test_only_what_train_rows_show_is_listed() -> None:
    """A category, or a gap, that no train row has isn't among the inputs; of many categories the first are named."""
    data = mixed_dataset()
    made = split(data, SplitSpec())
    features = np.nan_to_num(data.features)
    features[features[:, 2] == 1, 2] = 0
    features[made.test, 0], features[made.test, 2] = NAN, 1
    changed = split(replace(data, features=features), SplitSpec())
    rows = {row[0]: row for row in input_rows(changed)}
    assert (rows["age"][2], rows["age"][6]) == ("none", "its value")
    assert rows["city"][6] == "Bruck, Linz, Wien"
    names = tuple(f"place {number} {'x' * 30}" for number in range(MOST_CATEGORIES + 3))
    many = np.column_stack([features, np.arange(len(features)) % len(names)])
    wide = replace(
        data,
        features=many,
        feature_names=(*data.feature_names, "place"),
        columns=(*data.columns, Column("place", "category", names)),
    )
    place = input_rows(split(wide, SplitSpec()))[-1]
    assert place[6].startswith(f"place 0 {'x' * 15}…, place 1 ")
    assert place[6].endswith("…; 3 more")


def test_few_gaps_do_not_read_as_none() -> None:
    """One gap in thousands of rows isn't written as 0.0 %."""
    data = mixed_dataset(4000)
    features = np.nan_to_num(data.features)
    made = split(replace(data, features=features), SplitSpec())
    features[made.train[0], 0] = NAN
    share = input_rows(split(replace(data, features=features), SplitSpec()))[0][2]
    assert share == "<0.1\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize("kept", [[0], [1], [2], [4, 2], [3, 0, 1]])
def test_treatments_go_with_their_columns(kept: list[int]) -> None:
    """Whatever kinds there are, and in whatever order, each column's treatment is its own."""
    data = mixed_dataset()
    columns = tuple(data.columns[place] for place in kept)
    names = tuple(data.feature_names[place] for place in kept)
    made = split(replace(data, features=data.features[:, kept], columns=columns, feature_names=names), SplitSpec())
    assert made.encoding is not None
    for place, treatment in enumerate(treatments(made.encoding, columns)):
        if treatment.number is not None:
            assert made.input_names[treatment.number] == names[place]
        if treatment.filling is not None:
            filled = made.encoding.inputs(np.full((1, len(kept)), NAN))[0, made.input_names.index(names[place])]
            assert filled == treatment.filling
        assert {f"{names[place]} = {name}" for name in treatment.known} <= set(made.input_names)
        assert (f"{names[place]} is missing" in made.input_names) == treatment.tells_missing
