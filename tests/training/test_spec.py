from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import BadInput
from pipeline.training.spec import ModelSpec, TrainingSpec


def test_the_loss_is_the_targets() -> None:
    """Unless one is given a target has its own loss; one that doesn't fit is told with those that do."""
    tasks = ("binary", "multiclass", "regression")
    assert [TrainingSpec().loss_for(task) for task in tasks] == ["bce_with_logits", "cross_entropy", "mse"]
    absolute = TrainingSpec(loss="l1")
    assert absolute.loss_for("regression") == "l1"
    with pytest.raises(BadInput, match="loss: 'l1' doesn't fit a binary target; use bce_with_logits, or leave it out"):
        absolute.loss_for("binary")
    with pytest.raises(BadInput, match="use mse or l1, or leave it out"):
        TrainingSpec(loss="cross_entropy").loss_for("regression")


def test_weight_decay_is_torchs() -> None:
    """Unless it is given AdamW has torch's 0.01, and the others have none."""
    assert [TrainingSpec(optimizer=name).weight_decay for name in ("SGD", "Adam", "AdamW")] == [0, 0, 0.01]
    assert TrainingSpec(optimizer="AdamW", weight_decay=0.0).weight_decay == 0


def test_names_of_classes_may_be_numbers() -> None:
    """YAML tells numbers from texts; of the names of classes either is a text."""
    given: Any = {1: 5.0, 2.5: 1.0, "a": 2.0}
    assert TrainingSpec(class_weight=given).class_weight == {"1": 5.0, "2.5": 1.0, "a": 2.0}
    assert TrainingSpec(class_weight="balanced").class_weight == "balanced"
    for wrong in ({True: 1.0}, {"a": 0.0}, {}):
        with pytest.raises(ValidationError):
            TrainingSpec(class_weight=wrong)
    with pytest.raises(ValidationError, match="'balance' can't be used; give balanced, or classes"):
        TrainingSpec(class_weight="balance")


def test_identity_is_what_a_model_says() -> None:
    """All of it, in JSON's types; of class weights only where there are any."""
    plain = ModelSpec(hidden_units=(3, 2)).identity()
    assert plain["hidden_units"] == [3, 2]
    assert plain["training"].keys() == TrainingSpec.model_fields.keys() - {"class_weight"}
    weighted = ModelSpec(hidden_units=(), training=TrainingSpec(class_weight={"a": 2.0})).identity()
    assert weighted["training"]["class_weight"] == {"a": 2.0}
    assert json.loads(json.dumps(weighted)) == weighted
