"""The whole tracked job beside peers: 40 runs × 1000 epochs into SQLite, in one process run.

Photofinish runs an experiment file to stage evaluate: curves, final metrics, weights, predictions, and a servable
model for each dataset × model. The peers log loss and accuracy of both parts every epoch, and the tutorial's loop one
model at the end. One of their runs takes long, so they do fewer epochs, and the time of these is scaled to 1000.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import contextlib
import io
import tempfile
import time
from pathlib import Path

import peers
import torch

EXPERIMENT = """\
name: tracked
datasets: {circles: {make: circles, n_samples: 1000, noise: 0.03, random_state: 42, split: {validation_size: 0}}}
models:
  linear: {hidden_units: [10, 10], activation: identity}
  relu: {hidden_units: [10, 10], activation: relu}
training: {optimizer: SGD, lr: 0.1, epochs: 1000}
seeds: 20
tracking: {curve_points: POINTS}
"""
PEER_EPOCHS = 100


def photofinish(points: int) -> float:
    """Seconds a run, everything included but the imports."""
    from pipeline.cli import main

    Path("tracked.yaml").write_text(EXPERIMENT.replace("POINTS", str(points)), encoding="utf-8")
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(["run", "tracked.yaml", "--until", "evaluate", "--fresh"])  # what is finished would be reused
    if code:
        raise RuntimeError(f"photofinish ended with exit code {code}")
    return (time.perf_counter() - started) / 40


def tutorial(*, with_model: bool) -> float:
    """The tutorial's loop with `mlflow.log_metrics` every epoch, and one `log_model` as it is usually typed."""
    import mlflow

    with mlflow.start_run():
        seconds = peers.tutorial(PEER_EPOCHS, log=lambda epoch, values: mlflow.log_metrics(values, step=epoch))
        if not with_model:
            return seconds
        started = time.perf_counter()
        mlflow.pytorch.log_model(peers.network().eval(), name="model", input_example=torch.zeros(2, 2).numpy())
        return seconds + time.perf_counter() - started


def lightning() -> float:
    """Lightning with `MLFlowLogger`."""
    from lightning.pytorch.loggers import MLFlowLogger

    return peers.lightning_trainer(PEER_EPOCHS, logger=MLFlowLogger("lightning", tracking_uri="sqlite:///mlflow.db"))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        import mlflow

        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        mlflow.set_experiment("peers")
        with contextlib.redirect_stdout(io.StringIO()):
            photofinish(2)  # imports, and the store's tables
        measured = {f"Photofinish, {points} points a curve": photofinish(points) for points in (100, 1000)}
        measured["the tutorial's loop, log_metrics every epoch"] = tutorial(with_model=False)
        measured["the same and log_model"] = tutorial(with_model=True)
        measured["Lightning with MLFlowLogger"] = lightning()
        ours = measured["Photofinish, 100 points a curve"]
        print("| how | seconds a run | over Photofinish's |\n| --- | --- | --- |")
        for name, seconds in measured.items():
            print(f"| {name} | {seconds:.3f} | {seconds / ours:.0f} |")
        os.chdir("/")


if __name__ == "__main__":
    main()
