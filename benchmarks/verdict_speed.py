"""How long a verdict takes, from `predictions.parquet` to everything that is concluded.

python benchmarks/verdict_speed.py [--models 20] [--datasets 4] [--seeds 10] [--rows 1000] [--classes 2]
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from pipeline.comparison.outcome import conclude
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.verdict import Subject


def make_tables(models: int, datasets: int, seeds: int, rows: int, classes: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ledger and `metrics.csv` of made-up models, each a little better than the one before."""
    random = np.random.default_rng(0)
    parts, runs = [], []
    for dataset in range(datasets):
        labels = random.integers(0, classes, rows)
        shared = random.normal(size=(rows, classes))
        for model, seed in itertools.product(range(models), range(seeds)):
            logits = shared + 0.5 * random.normal(size=(rows, classes))
            logits[np.arange(rows), labels] += 1.5 + 0.02 * model
            keys = {"dataset": f"d{dataset}", "model": f"m{model}", "seed": seed, "run_id": f"{dataset}-{model}-{seed}"}
            columns = {"split": "test", "row_id": np.arange(rows), "label": labels}
            columns |= {f"p_{label}": share for label, share in enumerate(softmax(logits, axis=1).T)}
            parts.append(pd.DataFrame(keys | columns | {"threshold": 0.5, "resample": 0}))
            costs = {"parameters": 10 * (model + 1), "train_seconds": 0.1, "predict_seconds": 1e-5}
            runs.append(keys | costs | {"status": "FINISHED", "resample": 0})
    return pd.concat(parts, ignore_index=True), pd.DataFrame(runs)


def main() -> None:
    """Time the conclusion with the baseline alone, and with all pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("models", 20), ("datasets", 4), ("seeds", 10), ("rows", 1000), ("classes", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sizes = vars(parser.parse_args())
    ledger, runs = make_tables(**sizes)
    names = [f"m{model}" for model in range(sizes["models"])]
    subjects = [Subject(f"d{n}", "test", sizes["classes"], "accuracy") for n in range(sizes["datasets"])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.parquet"
        ledger.to_parquet(file, index=False)
        for pairs in ("baseline", "all"):
            started = time.perf_counter()
            found = conclude(pd.read_parquet(file), runs, subjects, names, CompareSpec(pairs=pairs), {})
            seconds = time.perf_counter() - started
            print(
                f"pairs: {pairs}: {len(found.verdicts):,} verdicts over {len(ledger):,} predictions in {seconds:.1f} s"
            )


if __name__ == "__main__":
    main()
