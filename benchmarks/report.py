"""How long a report takes, made again from the store by one process or several, imports included.

python benchmarks/report.py [--repeats 3] [--jobs 2] [--seeds 250]
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DEFAULT = REPOSITORY / "experiments" / "linear_vs_relu.yaml"
MANY = """\
name: many
datasets: {moons: {make: moons, n_samples: 500, noise: 0.3}}
models:
  linear: {hidden_units: [10, 10], activation: identity}
  relu: {hidden_units: [10, 10], activation: relu}
training: {optimizer: Adam, lr: 0.01, epochs: 20}
"""


def photofinish(folder: Path, *arguments: str) -> float:
    """Run a command in a folder with its own store; returns its seconds."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PHOTOFINISH_"))}
    environment["PYTHONPATH"] = str(REPOSITORY)
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipeline", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Time the default experiment's report, and one of many model runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("repeats", 3), ("jobs", 2), ("seeds", 250)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "many.yaml").write_text(MANY, encoding="utf-8")
        photofinish(folder, "run", str(DEFAULT), "--until", "evaluate")
        photofinish(folder, "run", "many.yaml", "--until", "evaluate", "--seeds", str(options.seeds))
        for what, file in (("the default experiment", str(DEFAULT)), (f"{2 * options.seeds} model runs", "many.yaml")):
            jobs = ("1", str(options.jobs))
            # In turns, so that what else the machine does falls on both alike.
            timed = [[photofinish(folder, "report", file, "--jobs", n) for n in jobs] for _ in range(options.repeats)]
            one, several = (min(column) for column in zip(*timed, strict=True))
            print(f"{what}: {one:.1f} s by one process, {several:.1f} s by {options.jobs}: {one / several:.2f} times")


if __name__ == "__main__":
    main()
