"""One small comparison with a search, and what of it must be the same wherever its numbers are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.cli import main

SMALL = """\
name: small
datasets:
  circles: {make: circles, n_samples: 120, noise: 0.03}
models:
  linear: {hidden_units: [4], activation: identity, tuning: null}
  relu: {hidden_units: [4, 3], activation: relu}
training: {optimizer: Adam, lr: 0.05, epochs: 12}
seeds: 2
tuning:
  trials: 6
  trials_at_once: 2
  space: {width: [2, 6], lr: [0.01, 0.1, log], epochs: [4, 12, log]}
"""
STUDY = "small/circles/relu"
CHANCE = ["run_id", "train_seconds", "predict_seconds"]  # columns that differ from run to run


def here(folder: Path, *arguments: str, **settings: str) -> int:
    """`photofinish …` in this process, in a folder that holds `small.yaml`; returns the exit code."""
    if not (folder / "small.yaml").exists():
        (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MLFLOW_", "PHOTOFINISH_", "AWS_"))]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        return main([*arguments])


def runs_of(client: MlflowClient, experiment: str | None = None) -> list[Run]:
    """Every run of a store, or of one MLflow experiment."""
    ids = [one.experiment_id for one in client.search_experiments() if experiment in (None, one.name)]
    return list(client.search_runs(ids, max_results=1000))


def role(runs: list[Run], name: str) -> list[Run]:
    return [run for run in runs if run.data.tags.get("photofinish.role") == name]


def numbers(client: MlflowClient, folder: Path, experiment: str | None = None) -> pd.DataFrame:
    """The table of all model runs of the newest comparison, less what differs from run to run."""
    parent = role(runs_of(client, experiment), "comparison")[0]
    assert parent.info.status == "FINISHED"
    table = pd.read_csv(client.download_artifacts(parent.info.run_id, "metrics.csv", str(folder)))
    return table.drop(columns=CHANCE)


def found(url: str, study: str = STUDY) -> list[tuple[Any, ...]]:
    """What a study has found, by place: hyperparameters, state, value, values after rungs; not what was given up."""
    trials = [trial for trial in optuna.load_study(study_name=study, storage=url).trials if trial.state.name != "FAIL"]
    return sorted(
        (
            trial.system_attrs["photofinish:place"],
            trial.state.name,
            trial.value,
            sorted(trial.params.items()),
            sorted(trial.intermediate_values.items()),
        )
        for trial in trials
    )
