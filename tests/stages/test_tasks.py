from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.artifacts import Dataset
from pipeline.comparison.thresholds import Goal
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import fingerprint
from pipeline.stages.tune import Candidate, settle
from pipeline.training.spec import ModelSpec
from tests.making import dataset
from tests.stages.test_train import model, moons, weighted

__all__ = ["moons"]  # a fixture


def test_fingerprint_changes_with_everything_that_determines_a_value(moons: Dataset) -> None:
    """Data, weights, split, scaler, network, training, seed and a threshold's goal each change it; nothing else."""
    made = split(moons, SplitSpec())
    candidate = settle(made, "m", model())
    base = fingerprint(made, candidate, 0)
    other_data = dataset("moons", make="moons", n_samples=90, noise=0.31)
    changed = {
        fingerprint(split(other_data, SplitSpec()), candidate, 0),
        fingerprint(split(moons, SplitSpec(random_state=1)), candidate, 0),
        fingerprint(split(moons, SplitSpec(), 1), candidate, 0),
        fingerprint(split(moons, SplitSpec(scaler="minmax")), candidate, 0),
        fingerprint(made, replace(candidate, spec=model(lr=0.06)), 0),
        fingerprint(made, replace(candidate, spec=model(epochs=9)), 0),
        fingerprint(made, replace(candidate, spec=ModelSpec(hidden_units=(6,))), 0),
        fingerprint(made, candidate, 1),
        fingerprint(made, replace(candidate, spec=model(class_weight="balanced")), 0),
        fingerprint(made, replace(candidate, spec=model(class_weight={"1": 2})), 0),
        fingerprint(weighted(made, np.ones(90)), candidate, 0),
        fingerprint(weighted(made, np.linspace(1, 2, 90)), candidate, 0),
    }
    assert len(changed) == 12
    assert base not in changed
    assert fingerprint(made, candidate, 0, Goal("f1")) not in {base, *changed}
    three = split(dataset(make="blobs", n_samples=90, centers=3), SplitSpec())
    assert fingerprint(three, candidate, 0, Goal("f1")) == fingerprint(three, candidate, 0)
    renamed = Candidate("other", "name", candidate.spec, candidate.loss)
    assert fingerprint(made, renamed, 0) == base


def test_fingerprints_from_before_class_weights_hold(moons: Dataset) -> None:
    """Where no class weights are given they have no part in the fingerprint, so runs stored before them are reused."""
    made = split(moons, SplitSpec())
    assert "class_weight" not in str(model().identity())
    given = [fingerprint(made, settle(made, "m", model(**none)), 0) for none in ({}, {"class_weight": None})]
    assert given[0] == given[1]
