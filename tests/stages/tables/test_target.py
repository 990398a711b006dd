from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import BadInput
from tests.stages.tables.making import read, rows_of


def of(*values: str) -> str:
    """A table whose target takes these values in turn."""
    return rows_of(a=lambda row: row * row / 8, y=lambda row: values[row % len(values)])


CLASSES: dict[str, tuple[tuple[str, ...], dict[str, object], tuple[str, ...], str]] = {
    "a plain pair": (("yes", "no"), {}, ("no", "yes"), ""),
    "a plain pair, capital": (("No", "Yes"), {}, ("No", "Yes"), ""),
    "0 and 1": (("1", "0"), {}, ("0", "1"), ""),
    "-1 and 1": (("1", "-1.0"), {}, ("-1", "1"), ""),
    "booleans": (("True", "False"), {}, ("false", "true"), ""),
    "any pair": (
        ("stay", "leave"),
        {},
        ("leave", "stay"),
        "Class 1 of 'y' is 'stay'; to make it 'leave', set positive",
    ),
    "a pair of numbers": (("2", "1"), {}, ("1", "2"), "Class 1 of 'y' is '2'"),
    "positive": (("stay", "leave"), {"positive": "leave"}, ("stay", "leave"), ""),
    "positive, already": (("stay", "leave"), {"positive": "stay"}, ("leave", "stay"), ""),
    "positive number": (("2", "1"), {"positive": 1}, ("2", "1"), ""),
    "positive boolean": (("True", "False"), {"positive": False}, ("true", "false"), ""),
    "words": (("b", "c", "a"), {}, ("a", "b", "c"), ""),
    "numbers in their order": (
        ("10", "9", "1"),
        {},
        ("1", "9", "10"),
        "3 different whole numbers of 'y' are taken for cl",
    ),
    "numbers, by will": (("10", "9", "1"), {"task": "classification"}, ("1", "9", "10"), ""),
    "fractions, by will": (("1.5", "0.5"), {"task": "classification", "positive": 1.5}, ("0.5", "1.5"), ""),
    "numbers and words, by will": (("1", "2", "more"), {"task": "classification"}, ("1", "2", "more"), ""),
    "codes as written": (("01", "1", "2"), {"categorical": ["y"]}, ("01", "1", "2"), ""),
}


@pytest.mark.parametrize("case", CLASSES)
def test_classes_have_their_names_in_order(case: str, tmp_path: Path) -> None:
    """Classes are called as written and sorted, the positive one last; what was a judgement is said, nothing else."""
    values, keys, expected, notice = CLASSES[case]
    made = read(tmp_path, of(*values), **keys)
    assert made.class_names == expected
    assert made.task == ("binary" if len(expected) == 2 else "multiclass")
    named = {"True": "true", "False": "false", "-1.0": "-1"}
    assert [expected[code] for code in made.target[: len(values)].astype(int)] == [
        named.get(value, value) for value in values
    ]
    assert len(made.notices) == (1 if notice else 0)
    assert made.notices == () or notice in made.notices[0]


def test_up_to_twenty_whole_numbers_are_classes_and_others_are_real_values(tmp_path: Path) -> None:
    """20 different whole numbers are classes, 21 are real values: both say so; fractions are, and `task` decides."""
    twenty, more = of(*map(str, range(20))), rows_of(a=lambda row: row / 8, y=lambda row: row % 21)
    assert read(tmp_path, twenty).task == "multiclass"
    made = read(tmp_path, more, task="regression")
    assert (made.task, made.class_names, made.notices) == ("regression", (), ())
    judged = read(tmp_path, rows_of(a=lambda row: row / 8, y=lambda row: row % 21))
    assert judged.task == "regression"
    assert "21 different whole numbers of 'y' are taken for real values; if wrong, set task" in judged.notices[0]
    assert read(tmp_path, twenty, task="regression").target.tolist() == [row % 20 for row in range(40)]
    fractions = read(tmp_path, of("0.5", "1.5"))
    assert (fractions.task, fractions.notices) == ("regression", ())


def test_a_real_target_may_be_missing(tmp_path: Path) -> None:
    """A missing real value is NaN, and its row is counted out."""
    made = read(tmp_path, of("0.5", "NA", "1.5", "2.25"))
    assert np.isnan(made.target).tolist() == [False, True, False, False] * 10
    assert made.notices == ("10 rows have no 'y' and belong to no part of the split.",)


def test_two_hundred_classes_are_the_most(tmp_path: Path) -> None:
    """A target of 200 classes is taken, one of 201 refused."""

    def table(count: int) -> str:
        return "a,y\n" + "".join(f"{row / 8},c{row // 2}\n" for row in range(2 * count))

    assert len(read(tmp_path, table(200)).class_names) == 200
    with pytest.raises(BadInput, match="201 classes"):
        read(tmp_path, table(201))
