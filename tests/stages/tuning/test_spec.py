from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import BadInput
from pipeline.experiment_file import check
from pipeline.stages.tuning.spec import SpaceSpec, TunableModelSpec, configure, direction_of, largest, most
from pipeline.training.spec import ModelSpec, TrainingSpec

SPACE = {"depth": [1, 3], "width": [4, 32], "lr": [0.001, 0.1, "log"], "epochs": [10, 100, "log"]}


def tree(**tuning: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "datasets": {"d": {"make": "moons"}},
        "models": {"m": {"hidden_units": [4]}},
        "training": {"optimizer": "Adam"},
        "tuning": {"space": SPACE, **tuning},
    }


def complaint(given: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        check(given, "t.yaml")
    return str(caught.value)


def test_two_numbers_are_a_range_and_more_are_choices() -> None:
    """`[low, high]`, `[low, high, log]` and lists of choices mean what the documentation says."""
    space = SpaceSpec.model_validate({**SPACE, "batch_size": [16, 32, None], "optimizer": ["SGD", "Adam"]})
    found = space.dimensions()
    assert (found["depth"].low, found["depth"].high, found["depth"].log) == (1, 3, False)
    assert (found["lr"].low, found["lr"].high, found["lr"].log) == (0.001, 0.1, True)
    assert found["batch_size"].choices == (16, 32, None)
    assert found["optimizer"].choices == ("SGD", "Adam")
    assert "momentum" not in found


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        ({"lr": [0.1, 0.01]}, ["tuning.space.lr", "[0.1, 0.01] is inverted", "write [0.01, 0.1]"]),
        ({"lr": [0, 0.1, "log"]}, ["tuning.space.lr", "can't reach zero", "above 0"]),
        ({"lr": []}, ["tuning.space.lr", "is empty", "[low, high]"]),
        ({"lr": [0.0, 0.1]}, ["tuning.space.lr", "0.0", "above 0"]),
        ({"width": [0, 3]}, ["tuning.space.width", "0 can't be used", "at least 1"]),
        ({"width": [1, 2.5]}, ["tuning.space.width", "2.5", "whole numbers"]),
        ({"momentum": [0.1, 1.0]}, ["tuning.space.momentum", "1.0", "below 1"]),
        ({"optimizer": ["adam"]}, ["tuning.space.optimizer", "'adam'", "SGD, Adam, AdamW"]),
        ({"optimizer": ["SGD", "SGD"]}, ["tuning.space.optimizer", "twice"]),
        ({"wdth": [1, 3]}, ["tuning.space.wdth", "unknown key", "did you mean 'width'"]),
        ({}, ["tuning.space", "is empty", "depth, width"]),
        (3, ["tuning.space", "3 can't be used", "mapping"]),
        ({"momentum": [0.0, 0.9]}, ["models.m.tuning.space.momentum", "Adam has no momentum", "optimizer: SGD"]),
    ],
)
def test_space_that_makes_no_sense(space: Any, parts: list[str]) -> None:
    """Empty and inverted ranges, log ranges at zero, unknown and useless keys: one line with place and remedy."""
    line = complaint(tree(space=space))
    assert line.startswith("t.yaml: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("tuning", "parts"),
    [
        ({"sampler": "bayes"}, ["tuning.sampler", "'bayes'", "'tpe'"]),
        ({"pruner": "asha"}, ["tuning.pruner", "'asha'", "'hyperband'"]),
        ({"trials": 0}, ["tuning.trials", "0"]),
        ({"folds": 1}, ["tuning.folds", "1"]),
        ({"objective": "test/accuracy"}, ["tuning.objective", "only validation rows", "validation/accuracy"]),
        ({"objective": "accuracy"}, ["tuning.objective", "unknown", "validation/accuracy"]),
        ({"trails": 3}, ["tuning.trails", "did you mean 'trials'"]),
    ],
)
def test_search_that_makes_no_sense(tuning: dict[str, Any], parts: list[str]) -> None:
    """What is said of the search itself is checked as well; test rows are no objective."""
    line = complaint(tree(**tuning))
    for part in parts:
        assert part in line


def test_keys_without_a_hidden_layer() -> None:
    """Width without a layer to be wide, and depth without a width, are refused."""
    flat = {**tree(space={"width": [4, 8]}), "models": {"m": {"hidden_units": []}}}
    assert "no hidden layer" in complaint(flat)
    narrow = {**tree(space={"depth": [0, 2]}), "models": {"m": {"hidden_units": []}}}
    assert "without a width" in complaint(narrow)


def test_model_overrides_the_search_or_has_none() -> None:
    """A model's `tuning` is laid over the experiment's; null means that it is trained as given."""
    given = tree(trials=7)
    given["models"] = {
        "same": {"hidden_units": [4]},
        "more": {"hidden_units": [4], "tuning": {"trials": 9}},
        "none": {"hidden_units": [4], "tuning": None},
    }
    models = check(given, "t.yaml").models
    assert models["same"].tuning is not None
    assert models["same"].tuning.trials == 7
    assert models["more"].tuning is not None
    assert (models["more"].tuning.trials, models["more"].tuning.space) == (9, models["same"].tuning.space)
    assert models["none"].tuning is None


def test_trial_replaces_what_it_names() -> None:
    """A trial's hyperparameters replace the model's; depth × width become hidden_units; momentum is SGD's alone."""
    model = ModelSpec(
        hidden_units=(10, 5), activation="relu", training=TrainingSpec(optimizer="SGD", momentum=0.5, epochs=7)
    )
    assert configure(model, {}) == model
    assert configure(model, {"depth": 3, "width": 8}).hidden_units == (8, 8, 8)
    assert configure(model, {"depth": 1}).hidden_units == (10,)
    assert configure(model, {"depth": 0, "width": 8}).hidden_units == ()
    assert configure(model, {"width": 8}).hidden_units == (8, 8)
    adam = configure(model, {"optimizer": "Adam", "momentum": 0.9, "lr": 0.2, "activation": "tanh"})
    assert (adam.training.momentum, adam.training.lr, adam.training.epochs) == (0, 0.2, 7)
    assert (adam.activation, adam.training.optimizer) == ("tanh", "Adam")
    assert configure(model, {"optimizer": "AdamW"}).training.weight_decay == 0.01


def test_largest_of_the_space() -> None:
    """The bounds of memory and of epochs are those of the space where it has them, of the model elsewhere."""
    spec = TunableModelSpec.model_validate(
        {"hidden_units": [4], "tuning": {"space": {"depth": [1, 3], "width": [4, 8, 6]}}}
    )
    assert spec.tuning is not None
    dimensions = spec.tuning.space.dimensions()
    assert largest(spec.as_given(), dimensions).hidden_units == (8, 8, 8)
    assert most("epochs", 50, dimensions) == 50
    assert most("depth", 1, dimensions) == 3


def test_directions() -> None:
    """Losses and errors are minimised, scores maximised."""
    assert {name: direction_of(name) for name in ("log_loss", "rmse", "accuracy", "r2")} == {
        "log_loss": "minimize",
        "rmse": "minimize",
        "accuracy": "maximize",
        "r2": "maximize",
    }
