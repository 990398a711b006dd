"""What the cluster costs: a task in this process and on one worker of a Dask cluster, by turns; the best of each.

A task trains two networks for about as many seconds as the table says, on 90,000 rows, whose features (1.4 MB) travel
once.
The cluster's time counts pickling, the scheduler, the arrays' way to the worker and the results' way back; joining it
and the worker's imports, which come once, are stated by themselves.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import time

from pipeline.cluster import Cluster, joined
from pipeline.execution import map_tasks
from pipeline.stages.generate import DatasetSpec, generate
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle
from pipeline.training.spec import ModelSpec, TrainingSpec

ROWS = 90_000
EPOCHS_TO_CALIBRATE = 40


def task(epochs: int) -> TrainTask:
    """Return a population of two networks."""
    spec = DatasetSpec.model_validate({"make": "circles", "n_samples": ROWS, "noise": 0.1})
    made = split(generate("circles", spec), SplitSpec())
    model = ModelSpec(hidden_units=(10, 10), training=TrainingSpec(epochs=epochs))
    return TrainTask(made, settle(made, "relu", model), (0, 1), "cpu")


def seconds(one: TrainTask, cluster: Cluster | None) -> float:
    """Return how long a task takes."""
    started = time.perf_counter()
    next(map_tasks(train, [one], 1, cluster))
    return time.perf_counter() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=float, nargs="+", default=[1, 5], help="seconds of a task")
    parser.add_argument("--repetitions", type=int, default=5, help="of each task")
    options = parser.parse_args()
    seconds(task(1), None)
    per_epoch = min(seconds(task(EPOCHS_TO_CALIBRATE), None) for _ in range(2)) / EPOCHS_TO_CALIBRATE
    started = time.perf_counter()
    with joined("local:1", print) as cluster:
        joining = time.perf_counter() - started
        first = seconds(task(1), cluster)
        print("| seconds a task, in this process | on one worker | overhead |")
        print("| --- | --- | --- |")
        for chunk in options.chunks:
            one = task(max(1, round(chunk / per_epoch)))
            here = there = float("inf")
            for _ in range(options.repetitions):
                here = min(here, seconds(one, None))
                there = min(there, seconds(one, cluster))
            print(f"| {here:.2f} | {there:.2f} | {there / here - 1:+.1%} |", flush=True)
    print(f"Joining took {joining:.1f} s, and the first task, with the worker's imports, {first:.1f} s.")


if __name__ == "__main__":
    main()
