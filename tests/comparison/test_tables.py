"""The verdict on two tables of predictions from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.tables import compare_tables
from pipeline.comparison.verdict import Subject, Verdict, judge, measure
from pipeline.errors import BadInput

MADE = np.random.default_rng(0)
TRUTH = MADE.integers(0, 2, 60)
SCORES = {name: MADE.random((3, 60)) * 0.6 + 0.4 * TRUTH for name in ("one", "other")}
VALUES = MADE.normal(size=60)


def scored(name: str, seeds: int = 3) -> pd.DataFrame:
    """What the ledger would hold of a model, and no more."""
    frames = [
        pd.DataFrame({"seed": seed, "row_id": range(60), "label": TRUTH, "p_0": 1 - scores, "p_1": scores})
        for seed, scores in enumerate(SCORES[name][:seeds])
    ]
    return pd.concat(frames, ignore_index=True)


def classed(name: str, **columns: Any) -> pd.DataFrame:
    """One run's labels, as words."""
    words = np.array(["no", "yes"])
    predicted = words[(SCORES[name][0] > 0.5).astype(int)]
    return pd.DataFrame({"row_id": range(60), "label": words[TRUTH], "prediction": predicted} | columns)


def valued(noise: float) -> pd.DataFrame:
    return pd.DataFrame({"row_id": range(60), "label": VALUES, "prediction": VALUES + noise * SCORES["one"][0]})


def judged(one: pd.DataFrame, other: pd.DataFrame, metric: str = "accuracy", **settings: Any) -> Verdict:
    return compare_tables({"one": one, "other": other}, CompareSpec(metric=metric, **settings))


def numbers(verdict: Verdict) -> dict[str, Any]:
    """A verdict without what its rows are called, and how labels are made; the order of rows is in the last digits."""
    shown = {key: value for key, value in asdict(verdict).items() if key not in ("dataset", "sentence", "labels")}
    return {key: round(value, 10) if isinstance(value, float) else value for key, value in shown.items()}


@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "log_loss", "average_precision", "mcc"])
def test_verdict_is_that_of_the_ledger(metric: str) -> None:
    """The verdict is just what a comparison says of the same predictions, in whatever order rows come."""
    both = pd.concat([scored(name).assign(model=name) for name in SCORES])
    ledger = both.assign(dataset="d", split="test", resample=0, threshold=0.5)
    spec = CompareSpec(metric=metric)
    draws, measured = measure(ledger, Subject("d", "test", 2, metric), ["one", "other"])
    (asked,) = [one for one in measured if one.metric == metric]
    (expected,) = judge(asked, spec, draws[0], [("one", "other")])
    shuffled = scored("one").sample(frac=1, random_state=0)
    assert numbers(judged(shuffled, scored("other"), metric)) == numbers(expected)


def test_classes_by_name_are_classes_by_number() -> None:
    """Words as labels, and probabilities named by them, give the numbers that 0 and 1 give; no column says `seed`."""
    words = {"p_0": "p_no", "p_1": "p_yes"}
    one, other = (
        scored(name, 1).rename(columns=words).assign(label=np.array(["no", "yes"])[TRUTH]).drop(columns="seed")
        for name in SCORES
    )
    for metric in ("precision", "roc_auc"):
        assert numbers(judged(one, other, metric)) == numbers(judged(scored("one", 1), scored("other", 1), metric))


def test_predicted_classes_do_without_probabilities() -> None:
    """Labels alone give the verdict of probabilities above one half, for single runs by McNemar's test.

    They are compared by accuracy unless told otherwise.
    """
    found = judged(classed("one"), classed("other"))
    assert numbers(found) == numbers(judged(scored("one", 1), scored("other", 1)))
    assert found.method == "exact McNemar (one seed)"
    assert found.sentence.startswith("one") or "of one " in found.sentence
    assert " on these rows: accuracy " in found.sentence
    assert compare_tables({"one": classed("one"), "other": classed("other")}, CompareSpec()) == found


def test_class_is_one_though_it_is_never_true_or_never_predicted() -> None:
    """A model may know but one class, and another may be wrong by one that no row is of."""
    odd = classed("other")["prediction"].where(np.arange(60) > 9, "maybe")
    found = judged(classed("one", prediction="yes"), classed("other", prediction=odd))
    assert found.model_score == pytest.approx(TRUTH.mean())
    assert found.baseline_score == pytest.approx(((SCORES["other"][0] > 0.5) == TRUTH)[10:].sum() / 60)


def test_rows_and_seeds_may_have_names() -> None:
    """Row ids and seeds are texts as well as numbers."""
    named = (scored(name).astype({"row_id": str, "seed": str}) for name in SCORES)
    one, other = (table.assign(seed="seed " + table["seed"]) for table in named)
    assert numbers(judged(one, other)) == numbers(judged(scored("one"), scored("other")))


def test_column_threshold_counts() -> None:
    """A threshold other than one half makes other labels, and the sentence says so."""
    found = judged(scored("one").assign(threshold=0.8), scored("other"))
    assert found.model_score == pytest.approx(np.mean((SCORES["one"] > 0.8) == TRUTH))
    assert found.baseline_score == pytest.approx(np.mean((SCORES["other"] > 0.5) == TRUTH))
    assert found.labels == "thresholds as given"
    assert judged(scored("one").assign(threshold=0.5), scored("other")).labels == ""


def test_regression_is_judged_by_its_metrics() -> None:
    """Values are compared by errors, of which a smaller one is better."""
    found = judged(valued(0.1), valued(0.9), "mae")
    assert found.decision == "better"
    assert found.model_score == pytest.approx(np.abs(0.1 * SCORES["one"][0]).mean())


def test_groups_are_the_cases() -> None:
    """A column `group` makes groups the cases of the interval, each by its own rows."""
    groups = np.repeat(np.arange(12), 5)
    order = np.random.default_rng(1).permutation(60)
    one, other = (classed(name, group=groups).iloc[order] for name in SCORES)
    found = judged(one, other)
    assert (found.groups, found.method) == (12, "groups alone (one seed)")
    again = judged(classed("one", group=groups), classed("other", group=groups))
    assert numbers(again) == numbers(found)
    with pytest.raises(BadInput, match="other: row 0 has the group 1 with seed 0, and 0 in one; compare predictions"):
        judged(classed("one", group=groups), classed("other", group=groups + 1))


def test_ledger_of_several_datasets_is_taken_as_it_is() -> None:
    """Columns that only other datasets have, and labels that they have made floats, are no matter; names are said."""
    extra = {"dataset": "moons", "p_2": np.nan, "prediction": np.nan, "split": "test"}
    one, other = (scored(name).assign(label=TRUTH.tolist() * 3, **extra) for name in SCORES)
    one["label"] = one["label"].astype(float)
    found = judged(one, other)
    assert numbers(found) == numbers(judged(scored("one"), scored("other")))
    assert found.dataset == "moons"
    assert judged(one.assign(split="validation"), other.assign(split="validation")).dataset == "moons (validation rows)"


BAD: dict[str, tuple[Callable[[], pd.DataFrame], str, str]] = {
    "empty": (lambda: classed("one")[:0], "accuracy", "one: has no rows; give one for each row_id, and seed"),
    "no label": (
        lambda: classed("one").drop(columns="label"),
        "accuracy",
        "one: has no column 'label'; name it so: its columns are row_id, prediction",
    ),
    "a gap": (
        lambda: classed("one").assign(prediction=["yes", None, *["no"] * 58]),
        "accuracy",
        "one: has no value in column 'prediction', row 2; fill it in",
    ),
    "other rows": (
        lambda: classed("one").assign(row_id=range(1, 61)),
        "accuracy",
        "one: with seed 0 lacks row 0, which other runs have; compare the same rows",
    ),
    "fewer rows": (
        lambda: classed("one")[:59],
        "accuracy",
        "one: with seed 0 lacks row 59, which other runs have; compare the same rows",
    ),
    "other truth": (
        lambda: classed("one").assign(label=["maybe", *classed("one")["label"][1:]]),
        "accuracy",
        "other: row 0 has the label {truth} with seed 0, and maybe in one; compare predictions of the same data",
    ),
    "rows twice": (
        lambda: pd.concat([classed("one")] * 2),
        "accuracy",
        "one: has row 0 more than once with seed 0; give each row once, and a column seed where there are several runs",
    ),
    "classes by another name": (
        lambda: classed("one", prediction=TRUTH == 1),
        "accuracy",
        "one: predicts False, which like all it predicts is never the label, as no is;"
        " write classes alike in both columns, or compare numbers by mae, mse, rmse, r2",
    ),
    "rows by another kind of name": (
        lambda: classed("one").assign(row_id=[str(row) for row in range(60)]),
        "accuracy",
        "one: with seed 0 lacks row 0, which other runs have; compare the same rows",
    ),
    "two models": (
        lambda: classed("one", model=["a"] * 30 + ["b"] * 20 + ["c"] * 10),
        "accuracy",
        "one: has rows of model a and of model b; keep those of one",
    ),
    "nothing predicted": (
        lambda: classed("one").drop(columns="prediction"),
        "accuracy",
        "one: has no column 'prediction', nor p_no, p_yes; add it",
    ),
    "no probabilities": (
        lambda: classed("one"),
        "roc_auc",
        "one: has no column p_no, p_yes; add them, or use a metric of classes:"
        " accuracy, precision, recall, f1, balanced_accuracy, mcc",
    ),
    "logits": (
        lambda: classed("one", p_no=-3.0, p_yes=3.0),
        "roc_auc",
        "one: -3 in column 'p_no', row 1, is no probability; give probabilities between 0 and 1, not logits",
    ),
    "more than sure": (
        lambda: classed("one", p_no=[0.0, 1.0] * 30, p_yes=[1.0] * 59 + [1.5]),
        "roc_auc",
        "one: 1.5 in column 'p_yes', row 60, is no probability; give probabilities between 0 and 1, not logits",
    ),
    "groups in one alone": (
        lambda: classed("one", group=range(60)),
        "accuracy",
        "other: with seed 0 lacks row 0 in column 'group', which other runs have; compare the same rows",
    ),
    "no numbers": (
        lambda: classed("one"),
        "mae",
        "one: has something else than numbers in column 'label'; give numbers",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cant_be_compared_is_told_in_one_line(case: str) -> None:
    """Each fault of a table is one line that names the table, what is wrong, and the remedy."""
    make, metric, expected = BAD[case]
    with pytest.raises(BadInput) as told:
        judged(make(), classed("other"), metric)
    assert str(told.value) == expected.format(truth=classed("other")["label"][0])


def test_rows_of_different_data_are_refused() -> None:
    """Tables that say they are of other datasets aren't compared, though their row ids agree."""
    with pytest.raises(BadInput, match="one has dataset moons and other has dataset circles; give predictions of"):
        judged(classed("one", dataset="moons"), classed("other", dataset="circles"))


def test_metric_that_isnt_defined_is_told() -> None:
    """ROC AUC of rows of one class is no number, and one row has no spread: each is told, with a remedy."""
    of_one_class = TRUTH.tolist() * 3 == np.ones(180)
    with pytest.raises(BadInput) as told:
        judged(scored("one")[of_one_class], scored("other")[of_one_class], "roc_auc")
    assert str(told.value) == (
        "metric: roc_auc isn't defined on these rows, whose labels are all alike;"
        " give another metric, or rows of every class"
    )
    with pytest.raises(BadInput) as told:
        judged(*(classed(name, dataset="d", split="test")[:1] for name in SCORES))
    assert str(told.value) == "row_id: one row (or group) has no spread; give predictions of two or more"
