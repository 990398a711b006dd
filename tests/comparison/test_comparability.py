from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import Split
from pipeline.comparison.comparability import Terms, check, look_notes, rows_digest, rows_looked_at
from pipeline.errors import BadInput
from pipeline.stages.split import SplitSpec, split
from tests.making import dataset

TERMS = Terms(data="a" * 64, rows="b" * 64, metrics="1", threshold="f1", part="test", resample=0)


def made(**keys: object) -> Split:
    return split(dataset("moons", make="moons", n_samples=60), SplitSpec.model_validate(keys))


@pytest.mark.parametrize(
    ("change", "expected", "remedy"),
    [
        (
            {"data": "c" * 64, "rows": "d" * 64},
            "other data content (SHA-256 aaaaaaaa against cccccccc);",
            "of the same table",
        ),
        ({"rows": "c" * 64}, "other test rows (SHA-256 bbbbbbbb against cccccccc);", "of the same split"),
        ({"metrics": "2"}, "metric definitions 1 against 2;", "run the older one again"),
        ({"threshold": "0.5"}, "threshold rule f1 against 0.5;", "with the other's threshold"),
        ({"part": "validation", "rows": "c" * 64}, "test rows against validation rows;", "both have test rows"),
        ({"resample": 3, "data": "c" * 64, "rows": "c" * 64}, "resample 0 against 3;", "of the same resample"),
        (
            {"metrics": "2", "threshold": "0.5"},
            "metric definitions 1 against 2, threshold rule f1 against 0.5;",
            "run the older one again",
        ),
    ],
)
def test_what_differs_is_named(change: dict[str, str], expected: str, remedy: str) -> None:
    """Runs whose numbers rest on different things are refused, naming both, all differences, and the first's remedy."""
    for between in ({}, {"alike": TERMS}):
        with pytest.raises(BadInput) as caught:
            check({"one": TERMS, **between, "other": replace(TERMS, **change)})
        line = str(caught.value)
        assert line.startswith(f"one and other can't be compared: {expected}")
        assert remedy in caught.value.remedy


def test_equal_terms_are_no_matter() -> None:
    """Runs that rest on the same things may be compared, and so may a single one and none."""
    check({"one": TERMS, "other": replace(TERMS)})
    check({"one": TERMS})
    check({})


def test_digest_of_rows_is_that_of_a_set() -> None:
    """The digest changes with the final rows, their part and the data, but with nothing else of a split."""
    given = made()
    digest = rows_digest(given)
    assert rows_digest(replace(given, test=given.test[::-1], train=given.train[:5])) == digest
    assert rows_digest(made(scaler="minmax", validation_size=0.3)) == digest
    others = [
        made(random_state=1),
        replace(given, test=given.test[1:]),
        replace(given, test=given.test[:0], validation=given.test),
        replace(given, dataset=replace(given.dataset, digest="0" * 64)),
    ]
    assert len({digest, *map(rows_digest, others)}) == 1 + len(others)


def test_looks_are_told_from_the_second_on() -> None:
    """A first look needs no words; later ones are counted once for all datasets looked at as often."""
    given = made()
    splits = dict.fromkeys(("a", "b", "c", "d"), given)
    assert look_notes(splits, {"a": 1}) == []
    assert look_notes(splits, {"a": 3, "b": 1, "c": 2, "d": 3}) == [
        "a, d: these test rows have been looked at 3 times in this store; what was chosen by them is no longer tested"
        " by them.",
        "c: these test rows have been looked at 2 times in this store; what was chosen by them is no longer tested by"
        " them.",
    ]
    (described,) = rows_looked_at(splits, {"b": 2}).values()
    assert (described.rows, described.part, described.looks) == (12, "test", 2)
    assert described.digest == rows_digest(given)
    assert np.array_equal(given.rows(described.part), given.test)
