from __future__ import annotations

from pipeline.experiment import Experiment
from pipeline.experiment_file import check, from_yaml, to_yaml
from pipeline.stages.reporting.settings import settings_that_differ


def experiment(**keys: object) -> Experiment:
    tree = {
        "name": "e",
        "datasets": {"moons": {"make": "moons"}},
        "models": {
            "linear": {"hidden_units": [4], "activation": "identity"},
            "relu": {"hidden_units": [4], "activation": "relu"},
        },
        **keys,
    }
    return check(tree, "e.yaml")


def differing(first: Experiment, second: Experiment) -> list[tuple[str, str, str]]:
    return settings_that_differ(from_yaml(to_yaml(first)), from_yaml(to_yaml(second)))


def test_equal_experiments_differ_in_nothing() -> None:
    """An experiment doesn't differ from itself."""
    assert differing(experiment(), experiment()) == []


def test_what_datasets_and_models_take_over_is_said_once() -> None:
    """A setting of the whole experiment is one row, though every model has it; one of a single model is its own."""
    changed = experiment(training={"lr": 0.5}, split={"random_state": 1})
    assert differing(experiment(), changed) == [
        ("split.random_state", "42", "1"),
        ("training.lr", "0.1", "0.5"),
    ]
    weighted = experiment(training={"class_weight": {"1": 5}})
    assert differing(experiment(), weighted) == [("training.class_weight", "null", "{1: 5.0}")]
    models = {
        "linear": {"hidden_units": [4], "activation": "identity"},
        "relu": {"hidden_units": [4], "activation": "relu", "training": {"lr": 0.5}},
    }
    assert differing(experiment(), experiment(models=models)) == [("models.relu.training.lr", "0.1", "0.5")]


def test_a_setting_that_was_not_there_yet_is_one_that_is_not_set() -> None:
    """An experiment stored before there was a setting doesn't differ from one that leaves it unset."""
    stored = from_yaml(to_yaml(experiment()))
    for section in (stored, *stored["models"].values()):
        assert section["training"].pop("class_weight", "there") is None
    for section in (stored, *stored["datasets"].values()):
        assert section["split"].pop("group", "there") is section["split"].pop("time", "there") is None
    now, weighted = (from_yaml(to_yaml(experiment(training={"class_weight": given}))) for given in (None, "balanced"))
    assert settings_that_differ(stored, now) == settings_that_differ(now, stored) == []
    assert settings_that_differ(stored, weighted) == [("training.class_weight", "–", "balanced")]
    grouped = from_yaml(to_yaml(experiment(split={"group": "customer"})))
    assert settings_that_differ(stored, grouped) == [("split.group", "–", "customer")]


def test_what_one_alone_has_is_shown_whole() -> None:
    """A model or a search that only one experiment has is one row, written as a file has it, without what isn't set."""
    search = {"trials": 3, "space": {"lr": [0.01, 0.1, "log"]}}
    (tuning,) = differing(experiment(), experiment(tuning=search))
    assert tuning[:2] == ("tuning", "null")
    assert tuning[2].startswith("{trials: 3, space: {lr: [0.01, 0.1, log]}")
    assert "objective" not in tuning[2]
    (model,) = differing(experiment(models={"linear": {"hidden_units": [4], "activation": "identity"}}), experiment())
    assert model[:2] == ("models.relu", "–")
    assert "activation: relu" in model[2]
    assert "shuffle: true" in differing(experiment(datasets={"m": {"make": "moons"}}), experiment())[0][1]
