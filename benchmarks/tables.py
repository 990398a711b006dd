"""What a table costs on its way from CSV to report: seconds and memory, by the number of rows.

python benchmarks/tables.py [--rows 10000 100000 1000000]

Each size is one `photofinish run`, and one `photofinish predict` of the same file. Beside it stands what pandas and
scikit-learn take, on one thread, to read the same file, prepare it and fit gradient boosting to three fifths of it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).parents[1]
ROWS_AT_ONCE = 50_000
EXPERIMENT = """\
name: large
datasets: {table: {file: table.csv, target: bought}}
models:
  boosting: {sklearn: HistGradientBoostingClassifier, max_iter: 50}
  linear: {hidden_units: []}
  relu: {hidden_units: [32]}
training: {optimizer: Adam, lr: 0.003, batch_size: 1024, epochs: 3}
seeds: 2
"""
LEVELS = (3, 4, 5, 6, 8, 10, 15, 20)
NUMBERS, BOOLEANS = 36, 4
PEER = """\
import sys, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
table = pd.read_csv("table.csv").drop(columns="since")
target, table = table.pop("bought"), table
train, rest, target_train, _ = train_test_split(table, target, test_size=0.4, random_state=42, stratify=target)
numbers = train.select_dtypes("number").columns
texts = train.columns.difference(numbers)
prepare = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
    (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
)
model = make_pipeline(prepare, HistGradientBoostingClassifier(max_iter=50)).fit(train, target_train)
print(len(model.predict_proba(rest)))
"""


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    gibibytes: float  # resident at most, of its largest process


def write_table(file: Path, n_rows: int) -> None:
    """Write 50 columns of every kind, one value in fifty missing; the target depends on a few, not linearly."""
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, n_rows - start)
        numbers = rng.normal(size=(rows, NUMBERS)).round(4)
        columns = {f"number {place}": numbers[:, place] for place in range(NUMBERS)}
        columns |= {f"is {place}": rng.random(rows) < 0.5 for place in range(BOOLEANS)}
        codes = {levels: rng.integers(0, levels, rows) for levels in LEVELS}
        columns |= {f"kind {levels}": np.array([f"level {code}" for code in codes[levels]]) for levels in LEVELS}
        columns["since"] = (np.datetime64("2020-01-01") + rng.integers(0, 1500, rows)).astype(str)
        frame = pd.DataFrame(columns).mask(rng.random((rows, len(columns))) < 0.02)
        score = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + 0.2 * (codes[8] - 4) + rng.normal(size=rows)
        frame["bought"] = np.where(score > 0, "yes", "no")
        frame.to_csv(file, mode="a", header=not start, index=False)


def timed(folder: Path, *command: str) -> Cost:
    """Run a command in a folder, on one thread, and say what it took; a process between the two tells its memory."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PHOTOFINISH_"))}
    environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    watch = [sys.executable, __file__, "--watch", *command]
    started = time.perf_counter()
    done = subprocess.run(watch, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(time.perf_counter() - started, int(done.stdout.splitlines()[-1]) / 2**20)


def watch(command: list[str]) -> None:
    """Run a command, and print the KiB that the largest of its processes had resident."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--watch", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        watch(options.watch)
        return
    ours = [sys.executable, "-m", "pipeline"]
    print("| rows | CSV, MiB | run, s | run, ms a row | run, GiB | predict, s | predict, GiB | scikit-learn alone, s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for n_rows in options.rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_table(folder / "table.csv", n_rows)
            (folder / "large.yaml").write_text(EXPERIMENT, encoding="utf-8")
            run = timed(folder, *ours, "run", "large.yaml", "--jobs", "1")
            predict = timed(folder, *ours, "predict", best(folder), "table.csv", "--out", "predictions.csv")
            peer = timed(folder, sys.executable, "-c", PEER)
            size = (folder / "table.csv").stat().st_size / 2**20
            print(
                f"| {n_rows:,} | {size:.0f} | {run.seconds:.0f} | {1000 * run.seconds / n_rows:.2f} |"
                f" {run.gibibytes:.1f} | {predict.seconds:.0f} | {predict.gibibytes:.1f} | {peer.seconds:.0f} |",
                flush=True,
            )


def best(folder: Path) -> str:
    """Return the id of the relu model's run that has a servable model."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    (run,) = [r for r in runs if r.data.tags.get("photofinish.best") and r.data.params["model"] == "relu"]
    return str(run.info.run_id)


if __name__ == "__main__":
    main()
