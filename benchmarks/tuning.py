"""Tuning beside `study.optimize` around the tutorial's loop: how long 200 trials take, and what the search finds.

    python benchmarks/tuning.py                 # speed: 200 trials on circles
    python benchmarks/tuning.py --width 16      # the same over smaller networks
    python benchmarks/tuning.py --quality       # best value after 40 trials, ten paired repetitions

Both sides search by TPE over the same space, with the same data, split, objective and seeds.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
import torch
from scipy import stats
from torch import nn

from pipeline.artifacts import Search, Split, Trial
from pipeline.execution import workers
from pipeline.stages import tune
from pipeline.stages.generate import DatasetSpec, generate
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tuning.spec import TunableModelSpec

SPACE: dict[str, list[object]] = {
    "depth": [1, 3],
    "width": [4, 32],
    "lr": [0.001, 1.0, "log"],
    "epochs": [100, 1000, "log"],
}
DATASETS = {
    "circles": {"make": "circles", "n_samples": 1000, "noise": 0.03, "random_state": 42},
    "moons": {"make": "moons", "n_samples": 1000, "noise": 0.3, "random_state": 42},
}


class NoRecord:
    """Keeps no record: what is timed is the search, on both sides."""

    @contextmanager
    def trial_runs(self, _: tune.SearchPlan, trials: Sequence[Trial]) -> Iterator[list[None]]:
        """Give no run ids."""
        yield [None] * len(trials)

    def finish_search(self, _: Search) -> None:
        """Do nothing."""


def make_split(dataset: str) -> Split:
    """Rows as the experiment file would have them."""
    return split(generate(dataset, DatasetSpec.model_validate(DATASETS[dataset])), SplitSpec())


def batched(dataset: str, trials: int, storage: str, *, seed: int = 0, jobs: int = 1, **tuning: object) -> Search:
    """Our search."""
    spec = TunableModelSpec.model_validate(
        {
            "hidden_units": [10, 10],
            "training": {"optimizer": "SGD", "lr": 0.1},
            "tuning": {"trials": trials, "space": SPACE, "random_state": seed, **tuning},
        }
    )
    plan = tune.plan(f"benchmark-{seed}-{trials}", make_split(dataset), SplitSpec(), "relu", spec, [seed])
    reached = tune.connect(storage, [plan], fresh=True)
    with workers(jobs) as submit:
        (found,) = tune.tune([plan], reached, NoRecord(), submit=submit, fresh=True)
    return found


def one_at_a_time(
    dataset: str, trials: int, storage: str | None, *, seed: int = 0, prune: bool = False
) -> optuna.Study:
    """`study.optimize` around the loop that tutorials print, metrics by `.item()` every epoch."""
    made = make_split(dataset)
    x, x_validation = (torch.from_numpy(made.scaled_features(rows)) for rows in (made.train, made.validation))
    y, y_validation = (torch.from_numpy(made.dataset.target[rows]).float() for rows in (made.train, made.validation))
    loss_function = nn.BCEWithLogitsLoss()

    def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
        return (torch.round(torch.sigmoid(logits)) == labels).sum().item() / len(labels)

    def objective(trial: optuna.Trial) -> float:
        depth, width = trial.suggest_int("depth", 1, 3), trial.suggest_int("width", *SPACE["width"])
        lr = trial.suggest_float("lr", 0.001, 1.0, log=True)
        epochs = trial.suggest_int("epochs", 100, 1000, log=True)
        torch.manual_seed(seed)
        sizes = [2, *[width] * depth]
        hidden = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        model = nn.Sequential(*hidden, nn.Linear(width, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        rungs = set(tune.rungs(1000)) if prune else set()
        for epoch in range(1, epochs + 1):
            model.train()
            logits = model(x).squeeze()
            loss = loss_function(logits, y)
            accuracy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.inference_mode():
                validation_logits = model(x_validation).squeeze()
                validation_loss = loss_function(validation_logits, y_validation).item()
                accuracy(validation_logits, y_validation)
            if epoch in rungs:
                trial.report(validation_loss, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return validation_loss

    # Our rule for stopping trials, or none.
    pruner = optuna.pruners.MedianPruner(10, n_warmup_steps=1000 // 9) if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(
        storage=storage,
        study_name=f"peer-{seed}-{trials}",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner,
    )
    study.optimize(objective, n_trials=trials)
    return study


def speed(trials: int) -> None:
    """Time both for as many trials, and print the ratios."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        batched("circles", 10, f"sqlite:///{folder}/warm.db")  # imports
        for jobs in (1, 2):
            if jobs > 1:
                batched("circles", 10, f"sqlite:///{folder}/warm{jobs}.db", jobs=jobs)  # workers' imports
            started = time.perf_counter()
            found = batched("circles", trials, f"sqlite:///{folder}/ours{jobs}.db", jobs=jobs)
            rows.append(
                (
                    f"Photofinish, {jobs} process{'es' if jobs > 1 else ''}",
                    time.perf_counter() - started,
                    found.best.value,
                )
            )
            started = time.perf_counter()
            found = batched("circles", trials, f"sqlite:///{folder}/unpruned{jobs}.db", jobs=jobs, pruner="none")
            rows.append(("the same, pruner none", time.perf_counter() - started, found.best.value))
        for name, storage, prune in (
            ("study.optimize, SQLite", f"sqlite:///{folder}/peer.db", False),
            ("study.optimize, SQLite, pruned at our rungs", f"sqlite:///{folder}/pruned.db", True),
            ("study.optimize, in memory", None, False),
        ):
            started = time.perf_counter()
            study = one_at_a_time("circles", trials, storage, prune=prune)
            rows.append((name, time.perf_counter() - started, study.best_value))
    base = rows[0][1]
    print(f"\n| how | seconds, {trials} trials | over Photofinish's | best validation log loss |")
    print("| --- | --- | --- | --- |")
    for name, seconds, best in rows:
        print(f"| {name} | {seconds:.1f} | {seconds / base:.1f} | {best:.4f} |")


def quality(trials: int, repetitions: int) -> None:
    """Best value after as many trials, paired by the sampler's seed, which is the networks' seed too."""
    print(f"\n| {trials} trials | one at a time: mean, median, worst | Photofinish | better, worse | p |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for dataset in DATASETS:
            for pruner in ("none", "median"):
                url = f"sqlite:///{Path(folder) / f'{dataset}-{pruner}.db'}"
                peer = [
                    one_at_a_time(dataset, trials, None, seed=seed, prune=pruner == "median").best_value
                    for seed in range(repetitions)
                ]
                ours = [
                    batched(dataset, trials, url, seed=seed, pruner=pruner).best.value for seed in range(repetitions)
                ]
                difference = np.subtract(ours, peer)
                signs = f"{(difference < 0).sum()}, {(difference > 0).sum()}"
                p = stats.wilcoxon(difference, alternative="greater").pvalue
                print(
                    f"| {dataset}, pruner {pruner} | {_spread(peer)} | {_spread(ours)} | {signs} | {p:.3f} |",
                    flush=True,
                )


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f}, {np.median(values):.4f}, {max(values):.4f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quality", action="store_true", help="what is found, rather than how fast")
    parser.add_argument("--width", type=int, default=32, help="the widest layer in the space (default 32)")
    parser.add_argument("--trials", type=int, help="default 200, with --quality 40")
    parser.add_argument("--repetitions", type=int, default=10)
    options = parser.parse_args()
    SPACE["width"] = [4, options.width]
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if options.quality:
        quality(options.trials or 40, options.repetitions)
    else:
        speed(options.trials or 200)
