"""Ledgers whose truth is known, and a way for them through a real Parquet file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.comparison.contributions import Predictions
from pipeline.comparison.reading import Draw, read_draws
from pipeline.comparison.verdict import Measured, Subject, measure

Table = npt.NDArray[np.float64]


def run_rows(
    model: str,
    seed: int,
    labels: npt.ArrayLike,
    predicted: Table,
    *,
    dataset: str = "d",
    part: str = "test",
    threshold: float = 0.5,
    resample: int = 0,
) -> pd.DataFrame:
    """One run's rows of a ledger: class probabilities (rows, classes), or predictions (rows,) of a regression."""
    keys = {"dataset": dataset, "model": model, "seed": seed, "run_id": f"{dataset}-{model}-{resample}-{seed}"}
    given = {"prediction": predicted} if predicted.ndim == 1 else {f"p_{k}": p for k, p in enumerate(predicted.T)}
    cut = threshold if predicted.ndim == 2 and predicted.shape[1] == 2 else np.nan
    rows = {"split": part, "row_id": 7 + 3 * np.arange(len(predicted)), "label": labels}
    return pd.DataFrame(keys | rows | given | {"threshold": cut, "resample": resample})


def make_ledger(
    skills: Mapping[str, float],
    *,
    dataset: str = "d",
    n_classes: int = 2,
    seeds: int = 3,
    rows: int = 60,
    draws: int = 1,
    part: str = "test",
    random_state: int = 0,
) -> pd.DataFrame:
    """Predictions of models with these skills; easy and hard rows are shared, and seeds are luckier or unluckier.

    Every run of a model for two classes has a threshold of its own, none of them 0.5.
    """
    random = np.random.default_rng(random_state)
    frames = []
    for draw in range(draws):
        labels = np.arange(rows) % max(n_classes, 2)
        shared = random.normal(size=rows)
        for (model, skill), seed in itertools.product(skills.items(), range(seeds)):
            margin = skill + shared + 0.3 * random.normal() + 0.7 * random.normal(size=rows)
            if n_classes:
                logits = random.normal(size=(rows, n_classes))
                logits[np.arange(rows), labels] += margin
                predicted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
                target: npt.NDArray[np.generic] = labels
            else:
                target = 10 * np.sin(np.arange(rows))
                predicted = target + 3 * shared / skill + random.normal(size=rows) / skill
            frames.append(
                run_rows(
                    model, seed, target, predicted,
                    dataset=dataset, part=part, threshold=0.35 + 0.1 * seed, resample=draw,
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def hits_ledger(right: Mapping[str, npt.ArrayLike], *, dataset: str = "d", part: str = "test") -> pd.DataFrame:
    """Ledger of runs that are right on given rows: booleans (runs, rows) for each model. Labels alternate."""
    frames = []
    for model, hits in right.items():
        for seed, hit in enumerate(np.atleast_2d(np.asarray(hits, dtype=bool))):
            labels = np.arange(len(hit)) % 2
            positive = np.where(hit == (labels == 1), 0.8, 0.2)
            frames.append(
                run_rows(model, seed, labels, np.stack([1 - positive, positive], axis=1), dataset=dataset, part=part)
            )
    return pd.concat(frames, ignore_index=True)


def through_parquet(ledger: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write a ledger as `predictions.parquet`, and read it back."""
    ledger.to_parquet(folder / "predictions.parquet", index=False)
    return pd.read_parquet(folder / "predictions.parquet")


def the_draw(ledger: pd.DataFrame, n_classes: int = 2) -> Draw:
    """The only draw of dataset "d"."""
    (draw,) = read_draws(ledger, "d", "test", n_classes)
    return draw


def measured_as(
    metric: str, ledger: pd.DataFrame, models: Sequence[str] | None = None, *, n_classes: int = 2, dataset: str = "d",
    part: str = "test", test_share: float = 0.0,
) -> Measured:  # fmt: skip
    """One metric of all models of a ledger on one dataset."""
    subject = Subject(dataset, part, n_classes, metric, test_share)
    _, measured = measure(ledger, subject, models or list(dict.fromkeys(ledger["model"])))
    (one,) = (one for one in measured if one.metric == metric)
    return one


def row_freedom(values: npt.ArrayLike) -> float:
    """Degrees of freedom of the variance of a metric without bounds, from its rows' central moments, by hand."""
    table = np.asarray(values, dtype=np.float64)
    n, apart = len(table), table - table.mean()
    plain = n * (apart**4).sum() / (apart**2).sum() ** 2 - 3
    unbiased = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * plain + 6)  # Joanes & Gill (1998), G2
    return float(2 / (2 / (n - 1) + max(unbiased, 0.0) / n))


def random_predictions(
    n_classes: int, *, runs: int = 3, rows: int = 40, random_state: int = 0, decimals: int | None = None
) -> Predictions:
    """Better than chance, each run with its own threshold; few decimals make ties. No classes: a regression."""
    random = np.random.default_rng(random_state)
    if not n_classes:
        truth = random.normal(50, 10, rows)
        return Predictions(truth, truth + random.normal(2, 5, (runs, rows)), np.full(runs, np.nan))
    labels = random.permutation(np.arange(rows) % n_classes)
    logits = random.normal(size=(runs, rows, n_classes))
    logits[:, np.arange(rows), labels] += 1.0
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    if decimals is not None:
        positive = np.clip(shares[..., 1:].round(decimals), 0.1, 0.9 / (n_classes - 1))
        shares = np.concatenate([1 - positive.sum(axis=2, keepdims=True), positive], axis=2)
    cuts = np.linspace(0.3, 0.8, runs) if n_classes == 2 else np.full(runs, np.nan)
    return Predictions(labels, shares, cuts)
