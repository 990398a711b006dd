from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.artifacts import Split, TrainedModel
from pipeline.labels import predicted_labels
from pipeline.stages.inference import predict
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.training.serving import ServableModel, export
from pipeline.training.spec import ModelSpec, TrainingSpec
from tests.making import dataset


def trained_on(**keys: object) -> tuple[Split, TrainedModel]:
    made = split(dataset(**keys), SplitSpec())
    spec = ModelSpec(hidden_units=(6,), training=TrainingSpec(epochs=15, lr=0.5))
    (model,) = train(TrainTask(made, settle(made, "m", spec), (0,), "cpu"))
    return made, model


def served(made: Split, model: TrainedModel, threshold: float) -> np.ndarray:
    """What the model gives for the test rows in original units."""
    features = torch.from_numpy(made.dataset.features[made.test])
    with torch.inference_mode():
        return ServableModel(model.network, made, threshold)(features).numpy()


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_the_label_is_that_of_the_threshold(threshold: float) -> None:
    """Of two classes the last column is the label rule's at the model's own threshold, behind the probabilities."""
    made, model = trained_on(make="moons", n_samples=300, noise=0.3)
    table = predict(model.network, made, made.test)
    given = served(made, model, threshold)
    np.testing.assert_allclose(given[:, :2], table, rtol=0, atol=1e-12)
    assert np.array_equal(given[:, 2], predicted_labels(table, threshold))
    assert set(given[:, 2]) == {0, 1}


def test_a_probability_at_the_threshold_is_class_0() -> None:
    """Above the threshold means above, in double precision."""
    made, model = trained_on(make="moons", n_samples=300, noise=0.3)
    positive = float(served(made, model, 0.5)[0, 1])
    assert served(made, model, positive)[0, 2] == 0
    assert served(made, model, math.nextafter(positive, 0))[0, 2] == 1


def test_the_label_of_more_classes_is_the_likeliest() -> None:
    """Of three classes the last column is the likeliest one, whatever the threshold."""
    made, model = trained_on(make="blobs", n_samples=300, centers=3, cluster_std=4.0)
    table = predict(model.network, made, made.test)
    given = served(made, model, 0.9)
    np.testing.assert_allclose(given[:, :3], table, rtol=0, atol=1e-12)
    assert np.array_equal(given[:, 3], predicted_labels(table))


def test_a_regression_has_no_label() -> None:
    """A regression gives its prediction alone, in the target's units."""
    made, model = trained_on(make="friedman1", n_samples=100)
    given = served(made, model, 0.5)
    np.testing.assert_allclose(given, predict(model.network, made, made.test)[:, None], rtol=1e-12)


def test_the_graph_gives_what_the_model_gives(tmp_path: Path) -> None:
    """From its file the graph takes double precision and any number of rows, one and none too."""
    made, model = trained_on(make="friedman1", n_samples=100)
    export(model.network, made, 0.5, tmp_path / "graph.pt2")
    program = torch.export.load(tmp_path / "graph.pt2")
    (example,), _ = program.example_inputs
    assert example.dtype == torch.float64
    graph, features = program.module(), torch.from_numpy(made.dataset.features[made.test])
    for rows in (0, 1, len(features)):
        given = graph(features[:rows]).detach().numpy()
        np.testing.assert_allclose(given, served(made, model, 0.5)[:rows], rtol=1e-6)
