from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline import schema
from pipeline.cli import main
from pipeline.errors import BadInput
from pipeline.experiment_file import catalogue, check, from_yaml, load, read_yaml, to_yaml
from tests.conftest import REPOSITORY

FILES = catalogue(REPOSITORY / "experiments")
SCHEMA = Draft202012Validator(schema.make())
MOONS = {"make": "moons", "noise": 0.3}
TABLE = {"file": "t.csv", "target": "y"}
MODEL = {"hidden_units": [4]}


def tree(**others: Any) -> dict[str, Any]:
    """A small experiment as YAML is read."""
    return copy.deepcopy({"name": "x", "datasets": {"d": MOONS}, "models": {"m": MODEL}} | others)


def data(**keys: Any) -> dict[str, Any]:
    return tree(datasets={"d": keys})


def model(**keys: Any) -> dict[str, Any]:
    return tree(models={"m": keys})


def space(**keys: Any) -> dict[str, Any]:
    return tree(tuning={"space": keys})


def test_the_schema_is_one() -> None:
    """What is printed is a JSON schema by the rules of its own draft."""
    Draft202012Validator.check_schema(schema.make())


def test_the_committed_schema_is_the_printed_one(capsys: pytest.CaptureFixture[str]) -> None:
    """experiments/schema.json is what `photofinish schema` prints."""
    assert main(["schema"]) == 0
    assert (REPOSITORY / "experiments/schema.json").read_text(encoding="utf-8") == capsys.readouterr().out


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiments_fit_the_schema(path: Path) -> None:
    """Every file in experiments/ is taken, as it is written and with every default filled in."""
    SCHEMA.validate(read_yaml(path))
    SCHEMA.validate(from_yaml(to_yaml(load(path))))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiments_name_the_schema(path: Path) -> None:
    """Editors find the schema from each file's first line."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == REPOSITORY / "experiments/schema.json"


@pytest.mark.parametrize(
    "given",
    [
        tree(),
        tree(question=None, split=None, training=None, tuning=None, seeds=None, resamples=None, threshold=None),
        tree(compare=None, tracking=None),
        tree(seeds=3),
        tree(seeds=[0, 7]),
        *(tree(threshold=one) for one in (0.3, "f1", "precision >= 0.95", {"cost": {"fp": 1, "fn": 5}})),
        *(tree(split={"test_size": one}) for one in (0, 0.5, 30)),
        *(tree(training={"class_weight": one}) for one in ("balanced", {"0": 1, "1": 2.5}, None)),
        tree(models={"größer": MODEL, "a.b_c+d e-f": {"hidden_units": [], "training": None}}),
        model(sklearn="LogisticRegression", C=0.5),
        model(hidden_units=[8], tuning={"space": {"lr": [0.1, 1]}}),
        tree(
            tuning={"space": {"lr": [0.1, 1]}},
            models={"m": {**MODEL, "tuning": {"trials": 3}}, "n": {**MODEL, "tuning": None}},
        ),
        space(depth=[0, 3], width=[1, 8, "log"], batch_size=[16, None], optimizer=["SGD"], momentum=[0, 0.9]),
        space(lr=[0.1, 0.2, 0.3], weight_decay=[0, 0.1], activation=["relu", "tanh"], epochs=None),
        data(load="wine", split=None),
        data(**TABLE, positive=1, na_values=["?", -1], features=["a"], group="who", delimiter=";"),
        data(file="T.PARQUET", target="y", split={"time": "day"}),
        data(load="openml", name="adult", version=2, target_column="class"),
        data(load="openml", data_id=1590, name=None, target="class"),
    ],
    ids=repr,
)
def test_what_the_reader_takes_fits(given: dict[str, Any]) -> None:
    """Every form that the reader takes, the schema takes too."""
    check(copy.deepcopy(given), "x.yaml")
    SCHEMA.validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "x", "datasets": {"d": MOONS}},
        tree(unknown=1),
        tree(name=None),
        *(tree(name=one) for one in ("a/b", "..", "a..b", " a", "a ", "", "-a", 3)),
        tree(datasets={}),
        tree(models={"a/b": MODEL}),
        *(tree(seeds=one) for one in (0, "three", [], [1, 1], [-1], True, 1.5)),
        *(tree(resamples=one) for one in (0, 1001)),
        *(
            tree(threshold=one)
            for one in (0, 1, "best", "f1>=0.9", True, {"cost": {"fp": 1}}, {"cost": {"fp": 0, "fn": 1}})
        ),
        *(tree(split={"test_size": one}) for one in (-0.1, 1.5, "0.2", None)),
        *(tree(split=one) for one in ({"scaler": "max"}, {"stratify": 1}, {"sizes": 1}, "even")),
        *(tree(training={"lr": one}) for one in (0, "0.1", True, None)),
        *(tree(training={"class_weight": one}) for one in ("even", {}, {"a": 0}, 1)),
        *(tree(training=one) for one in ({"lrr": 1}, {"optimizer": "Adagrad"}, {"epochs": 1.5}, {"batch_size": 0})),
        *(tree(compare=one) for one in ({"alpha": 0}, {"metric": "auc"}, {"pairs": "some"}, {"equivalence": -1})),
        *(tree(tracking={"curve_points": one}) for one in (1, 2501)),
        tree(tuning={"trials": 3}),
        *(tree(tuning={"space": {"lr": [0.1, 1]}, "objective": one}) for one in ("test/f1", "log_loss")),
        *(tree(tuning={"space": {"lr": [0.1, 1]}, key: 0}) for key in ("trials", "seeds", "folds", "trials_at_once")),
        space(),
        *(space(lr=one) for one in ([], 0.1, [0, 1], ["a", "b"], [0.1, 1, "lin"], ["log", 0.1, 1])),
        *(space(width=one) for one in ([0, 4], [1.5, 2], [4, None], [True, 4])),
        *(space(depth=one) for one in ([0, 3, "log"], [-1, 2])),
        *(space(momentum=one) for one in ([0, 1], [-0.1, 0.5])),
        *(space(optimizer=one) for one in (["sgd"], ["SGD", "Adam", "log"], ["SGD", "SGD"])),
        space(dropout=[0, 1]),
        model(),
        model(hidden_units=4),
        *(model(hidden_units=one) for one in ([0], ["4"], [4.5], None)),
        model(hidden_units=[4], activation="swish"),
        model(hidden_units=[4], max_iter=3),
        *(model(sklearn="SVC", **{key: 1}) for key in ("hidden_units", "activation", "training", "random_state")),
        model(sklearn=3),
        data(),
        data(make="moons", load="wine"),
        data(make="moon"),
        data(load="titanic"),
        data(make="moons", split={"test_sise": 0.2}),
        data(file="t.csv"),
        data(file="t.xlsx", target="y"),
        data(**TABLE, make="moons"),
        *(data(**TABLE, **{key: 1}) for key in ("targets", "features", "group", "delimiter", "task")),
        data(**TABLE, delimiter=";;"),
        data(**TABLE, decimal=";"),
        data(**TABLE, features=[]),
        data(load="openml"),
        data(load="openml", name="adult", data_id=1590),
        data(load="openml", data_id=1590, version=2),
        data(load="openml", name="adult", version=0),
        data(load="openml", name="adult income"),
        data(load="openml", name="adult", target="class", target_column="class"),
        data(load="openml", name="adult", file="t.csv"),
    ],
    ids=repr,
)
def test_what_the_reader_refuses_for_its_shape_does_not_fit(given: dict[str, Any]) -> None:
    """Unknown keys, wrong types and values out of bounds are refused by both."""
    with pytest.raises(BadInput):
        check(copy.deepcopy(given), "x.yaml")
    assert not SCHEMA.is_valid(given)


def test_every_field_has_its_meaning() -> None:
    """No field that a file can give goes without a sentence, which is what editors and docs/reference.md show."""
    told = schema.make()
    sections = {"Experiment": told, **told["$defs"]}
    fields = {f"{name}.{key}": of for name, one in sections.items() for key, of in one["properties"].items() if of}
    assert [name for name, field in fields.items() if not field.get("description", "").endswith(".")] == []


def test_defaults_fit_where_they_stand() -> None:
    """Each default that the schema tells is one that its field takes."""
    told = schema.make()
    sections = {"Experiment": told, **told["$defs"]}
    for section in sections.values():
        for field in section["properties"].values():
            if field and "default" in field:
                Draft202012Validator({**field, "$defs": told["$defs"]}).validate(field["default"])


def test_the_schema_is_plain_json() -> None:
    """It reads back as it was made."""
    assert json.loads(schema.to_json()) == schema.make()
