from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import Dataset, Floats, Integers, Split
from pipeline.cli import main
from pipeline.experiment_file import check, read_yaml
from pipeline.stages.checks import FEW_ROWS, MOST_GROWN, MOST_ROWS, Finding, check_data
from pipeline.stages.generate import CLASSIFICATION_TABLES, REGRESSION_TABLES, generate
from pipeline.stages.split import SplitSpec, split
from tests.conftest import REPOSITORY, RESAMPLED, Finished
from tests.making import dataset

EXPERIMENTS = sorted((REPOSITORY / "experiments").rglob("*.yaml"))
UNSHUFFLED = SplitSpec(shuffle=False, stratify=False)


def table(features: Floats, target: Floats | Integers, classes: tuple[str, ...] = ("no", "yes")) -> Dataset:
    """A loaded table with features a, b, c, …; without classes a regression."""
    names = tuple(chr(ord("a") + column) if column < 26 else f"f{column}" for column in range(features.shape[1]))
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    return Dataset("t", features, target, task, names, classes, "by hand", "")


def sound(rows: int = 300, columns: int = 3, classes: int = 2) -> tuple[Floats, Integers]:
    """Features and labels in which there is nothing to find: every feature tells a little."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    return random.normal(size=(rows, columns)) + 0.7 * labels[:, None], labels


def found(data: Dataset | Split, spec: SplitSpec = UNSHUFFLED) -> list[Finding]:
    return list(check_data({"t": split(data, spec) if isinstance(data, Dataset) else data}))


def only(data: Dataset | Split, spec: SplitSpec = UNSHUFFLED) -> Finding:
    (finding,) = found(data, spec)
    return finding


def with_column(features: Floats, values: Floats | Integers) -> Floats:
    return np.column_stack([features, values])


def test_sound_tables_give_no_finding() -> None:
    """Where nothing is wrong nothing is said: of two classes, of three, of a real target."""
    assert found(table(*sound())) == []
    assert found(table(*sound(classes=3), classes=("p", "q", "r"))) == []
    features, _ = sound()
    assert found(table(features, features @ [1.0, 2.0, 3.0], classes=())) == []


def test_constant_feature_is_named() -> None:
    """A feature that doesn't vary on the training rows is named, and whether it does elsewhere is told."""
    features, labels = sound()
    finding = only(table(with_column(features, np.full(300, 7.0)), labels))
    assert finding.kind == "constant feature"
    assert finding.dataset == "t"
    assert "t: 1 feature with one and the same value in all 180 training rows (d)" in finding.sentence
    assert "other rows" not in finding.sentence
    made = split(table(with_column(features, np.full(300, 7.0)), labels), UNSHUFFLED)
    made.dataset.features[made.test[0], 3] = 8.0
    assert "other rows have other values in d" in only(made).sentence


@pytest.mark.parametrize(
    ("again", "how"),
    [
        (lambda a: a, "d equals a"),
        (lambda a: 32 - 1.8e-6 * a, "d is perfectly correlated with a"),
        (lambda a: 1e-170 * a, "d is perfectly correlated with a"),
    ],
)
def test_duplicate_features_are_named(again: Callable[[Floats], Floats], how: str) -> None:
    """A feature that is another one, in whatever unit, is named with it; one that nearly is isn't."""
    features, labels = sound()
    finding = only(table(with_column(features, again(features[:, 0])), labels))
    assert finding.kind == "duplicate features"
    assert f"1 feature that repeats another ({how})" in finding.sentence
    nearly = features[:, 0] + 1e-3 * features[:, 1]
    assert found(table(with_column(features, nearly), labels)) == []


def test_duplicate_features_are_so_in_all_rows() -> None:
    """Features of a large table that are alike in the rows looked at, but not in all, aren't called duplicates."""
    features, labels = sound(rows=10_000)
    again = features[:, 0].copy()
    again[np.random.default_rng(1).choice(6000, 5, replace=False)] += 1
    data = table(with_column(features, again), labels)
    made = split(data, UNSHUFFLED)
    seen = np.random.default_rng(0).choice(made.train, MOST_ROWS, replace=False)
    unlike = np.flatnonzero(again != features[:, 0])
    data.features[np.intersect1d(unlike, seen), 3] = data.features[np.intersect1d(unlike, seen), 0]
    assert (data.features[seen, 3] == data.features[seen, 0]).all()
    assert found(made) == []


def test_rows_in_two_parts_are_counted() -> None:
    """Final and validation rows that are training rows too, target and all, are counted by part."""
    features, labels = sound()
    made = split(table(features, labels), UNSHUFFLED)
    features[made.test[:6]], labels[made.test[:6]] = features[made.train[:6]], labels[made.train[:6]]
    features[made.validation[3]], labels[made.validation[3]] = -0.0, 1
    features[made.train[10]], labels[made.train[10]] = 0.0, 1
    finding = only(made)
    assert finding.kind == "rows in two parts"
    assert "(1 of 60 validation rows and 6 of 60 test rows)" in finding.sentence
    labels[made.test[:6]] = 1 - labels[made.test[:6]]
    assert "(1 of 60 validation rows)" in only(made).sentence


def test_few_twins_are_not_worth_a_word() -> None:
    """Twins that can't move a score by a point aren't told."""
    features, labels = sound(rows=1000)
    made = split(table(features, labels), UNSHUFFLED)
    features[made.test[0]], labels[made.test[0]] = features[made.train[0]], labels[made.train[0]]
    assert found(made) == []


@pytest.mark.parametrize("classes", [2, 3])
def test_target_among_features_is_named(classes: int) -> None:
    """A feature with one value for each class is the target, whatever the values are."""
    features, labels = sound(classes=classes)
    code = np.array([5.0, -1.0, 0.5])[labels]
    finding = only(table(with_column(features, code), labels, classes=("p", "q", "r")[:classes]))
    assert finding.kind == "target among the features"
    assert "(d)" in finding.sentence


def test_feature_that_tells_the_target_is_named() -> None:
    """A feature from which a class, or the order of a real target, can be read off nearly always is named."""
    features, labels = sound()
    told = labels + 0.2 * features[:, 0] / np.abs(features[:, 0]).max()
    finding = only(table(with_column(features, told), labels))
    assert finding.kind == "feature that tells the target"
    assert "1 feature that tells the target alone (d)" in finding.sentence
    told[:60:10] = told[1:61:10]
    assert found(table(with_column(features, told), labels)) == []

    target = features @ [1.0, 2.0, 3.0]
    finding = only(table(with_column(features, np.exp(target)), target, classes=()))
    assert finding.kind == "feature that tells the target"
    assert "variance of the target's ranks" in finding.sentence
    assert only(table(with_column(features, -7 * target), target, classes=())).kind == "target among the features"


def test_generated_data_may_be_told_by_a_feature() -> None:
    """What a generator's law makes separable is no leak; the same values from a table are."""
    made = split(dataset("t", make="blobs", n_samples=300, centers=2, cluster_std=0.5), SplitSpec())
    assert found(made) == []
    loaded = replace(made, dataset=replace(made.dataset, recipe={}))
    assert only(loaded).kind == "feature that tells the target"


def test_leak_is_found_in_a_wide_and_long_table() -> None:
    """Of more features than trees are grown on, the one that tells the target is among those looked at."""
    features, labels = sound(rows=4 * MOST_ROWS, columns=2 * MOST_GROWN)
    features[:, -2] = labels + 0.2 * np.tanh(features[:, 0])
    finding = only(table(features, labels))
    assert finding.kind == "feature that tells the target"
    assert f"(f{2 * MOST_GROWN - 2})" in finding.sentence


def test_chance_is_no_leak() -> None:
    """In a handful of rows some feature separates the classes by chance; that isn't called a leak."""
    features, labels = sound(rows=20, columns=500)
    kinds = {finding.kind for finding in found(table(features, labels))}
    assert kinds == {"few rows of a class"}


def test_table_without_anything_to_learn_from() -> None:
    """Where every feature is constant that is said, and no check stumbles over what isn't there."""
    nothing = np.ones((300, 2))
    for data in (table(nothing, np.arange(300) % 2), table(nothing, np.arange(300.0), classes=())):
        finding = found(data)[0]
        assert finding.kind == "constant feature"
        assert "(a, b)" in finding.sentence


def test_few_rows_of_a_class_are_named() -> None:
    """A class with fewer than ten rows in a part is named with that part; one with ten isn't."""
    features, labels = sound(classes=3)
    made = split(table(features, labels, classes=("p", "q", "r")), UNSHUFFLED)
    rows = made.test[labels[made.test] == 2]
    fewer = replace(made, test=np.setdiff1d(made.test, rows[FEW_ROWS - 1 :]))
    finding = only(fewer)
    assert finding.kind == "few rows of a class"
    assert "(9 test rows of class r)" in finding.sentence
    assert found(replace(made, test=np.setdiff1d(made.test, rows[FEW_ROWS:]))) == []


@pytest.mark.parametrize("rare", [0.09, 0.11])
def test_imbalance_is_told_with_its_remedy(rare: float) -> None:
    """Where at least nine training rows of ten are of one class, its accuracy is told, and what to compare by."""
    features, _ = sound(rows=1000)
    labels = (np.arange(1000) % 100 < 100 * rare).astype(np.int64)
    findings = found(table(features, labels))
    assert [finding.kind for finding in findings] == ["imbalance"] * (rare < 0.1)
    for finding in findings:
        assert "91.0 % of the training rows are of class no" in finding.sentence
        measures = "{metric: balanced_accuracy}, {metric: average_precision} or {metric: mcc}, and threshold: youden"
        assert f"compare: {measures}" in finding.sentence
        assert "training: {class_weight: balanced}" in finding.sentence


def faulty() -> Split:
    """A table with every fault at once."""
    features, labels = sound(rows=1000, columns=4)
    labels = (np.arange(1000) % 50 == 7).astype(np.int64)
    features[:, 3] = 1.0
    features = np.column_stack([features, 2 * features[:, 0], 3.0 - labels, labels + 0.1 * np.tanh(features[:, 1])])
    features[800:850], labels[800:850] = features[:50], labels[:50]
    return split(table(features, labels), UNSHUFFLED)


def test_findings_do_not_depend_on_order() -> None:
    """Other orders of rows within their parts give the same findings to the letter, those of columns the same names."""
    made, random = faulty(), np.random.default_rng(3)
    findings = check_data({"t": made})
    assert len({finding.kind for finding in findings}) == len(findings) == 7
    parts = {part: random.permutation(made.rows(part)) for part in ("train", "validation", "test")}
    assert check_data({"t": replace(made, **parts)}) == findings

    order = random.permutation(made.dataset.n_features)
    names = tuple(made.dataset.feature_names[column] for column in order)
    turned = replace(made.dataset, features=made.dataset.features[:, order], feature_names=names)
    assert [words(one) for one in check_data({"t": replace(made, dataset=turned)})] == [words(one) for one in findings]


def test_no_order_of_rows_makes_or_unmakes_a_leak() -> None:
    """A feature of which it is close whether it tells the target is judged alike in any order of the training rows."""
    random = np.random.default_rng(5)
    features, labels = sound()
    made = split(table(with_column(features, labels + random.random(300)), labels), UNSHUFFLED)
    orders = [replace(made, train=random.permutation(made.train)) for _ in range(20)]
    assert len({check_data({"t": one}) for one in orders}) == 1


def words(finding: Finding) -> list[str]:
    return sorted(re.findall(r"\w+", finding.sentence))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_raise_no_false_alarm(path: Path) -> None:
    """Nothing is said of the experiments at hand but what is so: few rows in moons-logistic, empty pixels in digits."""
    experiment = check(read_yaml(path), str(path))
    splits = {name: split(generate(name, spec), spec.split) for name, spec in experiment.datasets.items()}
    expected = {
        "moons-logistic": [("moons", "few rows of a class")],
        "digits": [("digits", "constant feature"), ("digits", "duplicate features")],
    }.get(path.stem, [])
    assert [(finding.dataset, finding.kind) for finding in check_data(splits)] == expected


@pytest.mark.parametrize("name", [*CLASSIFICATION_TABLES, *REGRESSION_TABLES])
def test_tables_of_scikit_learn_have_few_findings(name: str) -> None:
    """Pixels of digits are never on or go together, iris has a flower twice; the others have no fault."""
    known = {"digits": ["constant feature", "duplicate features"], "iris": ["rows in two parts"]}
    made = split(dataset(name, load=name), SplitSpec())
    findings = check_data({name: made})
    assert [finding.kind for finding in findings] == known.get(name, [])
    if name == "digits":
        assert "(pixel_0_0, pixel_3_0, pixel_4_0, pixel_4_7)" in findings[0].sentence


def test_console_tells_findings_before_training(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings are said when the rows are parted, once each, and stop nothing."""
    (workspace / "tiny.yaml").write_text(RESAMPLED, encoding="utf-8")
    assert main(["run", "tiny.yaml", "--until", "split"]) == 0
    assert capsys.readouterr().err == f"photofinish: {iris_twice().sentence}\n"


def test_page_and_store_tell_findings(resampled: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has findings among what to know first, made again from the store too; the parent run says how many."""
    page = (resampled.report / "index.html").read_text(encoding="utf-8")
    aside = page[page.index('aria-label="What to know before reading on"') :]
    assert html.escape(iris_twice().sentence) in aside[: aside.index("</aside>")]
    assert resampled.parent.data.tags["photofinish.findings"] == "1"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{resampled.folder / 'mlflow.db'}")
    assert main(["report", resampled.parent.info.run_id]) == 0
    assert (tmp_path / "reports/tiny/index.html").read_text(encoding="utf-8") == page


def iris_twice() -> Finding:
    (finding,) = check_data({"iris": split(dataset("iris", load="iris"), SplitSpec())})
    return finding
