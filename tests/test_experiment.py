from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.experiment_file import check, load, to_yaml
from tests.conftest import TINY


def test_minimal_form_has_the_documented_defaults() -> None:
    """`name`, `datasets` and `models` are enough; the rest is as documented."""
    experiment = check(
        {"name": "x", "datasets": {"d": {"make": "moons"}}, "models": {"m": {"hidden_units": [3]}}}, "x.yaml"
    )
    assert experiment.seeds == tuple(range(10))
    assert experiment.resamples == 1
    split = experiment.datasets["d"].split
    assert (split.test_size, split.validation_size, split.stratify, split.scaler) == (0.2, 0.2, True, "standard")
    training = experiment.models["m"].training
    assert (training.optimizer, training.lr, training.epochs, training.batch_size) == ("SGD", 0.1, 1000, None)
    assert experiment.models["m"].activation == "relu"
    assert (experiment.compare.alpha, experiment.compare.equivalence) == (0.05, 0.01)


def test_datasets_and_models_override_the_defaults() -> None:
    """A dataset's `split` and a model's `training` change only the keys they name."""
    experiment = check(
        {
            "name": "x",
            "split": {"random_state": 7, "scaler": "minmax"},
            "training": {"lr": 0.5, "epochs": 9},
            "datasets": {"a": {"make": "moons", "split": {"scaler": "none"}}, "b": {"make": "moons"}},
            "models": {"m": {"hidden_units": [], "training": {"lr": 0.25}}, "n": {"hidden_units": []}},
        },
        "x.yaml",
    )
    assert [(spec.split.random_state, spec.split.scaler) for spec in experiment.datasets.values()] == [
        (7, "none"),
        (7, "minmax"),
    ]
    assert [(spec.training.lr, spec.training.epochs) for spec in experiment.models.values()] == [(0.25, 9), (0.5, 9)]


def test_shared_tables_are_those_whose_resamples_are_splits_of_one_table() -> None:
    """An experiment tells the datasets whose resamples overlap from those that have new data each time."""
    datasets = {"wine": {"load": "wine"}, "noisy": {"make": "moons", "noise": 0.1}, "clean": {"make": "moons"}}
    experiment = check({"name": "x", "datasets": datasets, "models": {"m": {"hidden_units": []}}}, "x.yaml")
    assert experiment.shared_tables == {"wine", "clean"}


def test_rows_in_order_can_be_resampled_where_each_resample_has_new_data() -> None:
    """`shuffle: false` stands in the way of resamples only where they share a table."""
    tree = {"name": "x", "datasets": {"d": {"make": "moons", "noise": 0.1}}, "models": {"m": {"hidden_units": []}}}
    in_order = {"shuffle": False, "stratify": False}
    assert check({**tree, "resamples": 2, "split": in_order}, "x.yaml").resamples == 2


def test_a_table_parted_by_time_cannot_be_resampled() -> None:
    """Its split would be the same each time, which is said in one line."""
    tree = {"name": "x", "datasets": {"d": {"load": "wine", "split": {"time": "day"}}}, "resamples": 2}
    with pytest.raises(BadInput, match=r"^x.yaml: resamples: 2 resamples of d would be the same split, its rows being"):
        check({**tree, "models": {"m": {"hidden_units": []}}}, "x.yaml")


@pytest.mark.parametrize(
    ("text", "given"),
    [("balanced", "balanced"), ("{yes: 5, 1: 2, 0.5: 3}", {"yes": 5, "1": 2, "0.5": 3}), ("null", None)],
)
def test_class_weights_read_back_equal(text: str, given: object, tmp_path: Path) -> None:
    """Names of classes may be numbers in the file; a model has its own weights, or none, whatever the others have."""
    path, resolved = tmp_path / "tiny.yaml", tmp_path / "resolved.yaml"
    path.write_text(TINY, encoding="utf-8")
    experiment = load(path, ["training.class_weight=balanced", f"models.relu.training.class_weight={text}"])
    weights = {name: model.training.class_weight for name, model in experiment.models.items()}
    assert weights == {"linear": "balanced", "relu": given}
    resolved.write_text(to_yaml(experiment), encoding="utf-8")
    assert load(resolved) == experiment


def test_adamw_has_torchs_weight_decay() -> None:
    """AdamW decays weights by torch's 0.01 unless told otherwise."""
    tree = {"name": "x", "datasets": {"d": {"make": "moons"}}, "models": {"m": {"hidden_units": []}}}
    assert check({**tree, "training": {"optimizer": "AdamW"}}, "x").models["m"].training.weight_decay == 0.01
    given = {**tree, "training": {"optimizer": "AdamW", "weight_decay": 0.0}}
    assert check(given, "x").models["m"].training.weight_decay == 0.0


@pytest.mark.parametrize(
    ("text", "rule"),
    [("0.3", "0.3"), ("precision >= 0.95", "precision>=0.95"), ("{cost: {fp: 1, fn: 5}}", "cost fp=1 fn=5")],
)
def test_a_threshold_reads_back_equal(text: str, rule: str, tmp_path: Path) -> None:
    """Each form of a threshold comes through the resolved file unchanged, and `--set` takes it too."""
    path, resolved = tmp_path / "tiny.yaml", tmp_path / "resolved.yaml"
    path.write_text(f"{TINY}threshold: {text}\n", encoding="utf-8")
    experiment = load(path)
    assert experiment.threshold.rule == rule
    resolved.write_text(to_yaml(experiment), encoding="utf-8")
    assert load(resolved) == experiment
    path.write_text(TINY, encoding="utf-8")
    assert load(path).threshold.rule == "0.5"
    assert load(path, [f"threshold={text}"]) == experiment
