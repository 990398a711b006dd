"""Verdict: what the predictions say of the models, with all that the splits know of their rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.artifacts import Split
from pipeline.comparison.ceilings import law_of
from pipeline.comparison.outcome import KnownTruth, Outcome, conclude
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.comparison.verdict import Pair, Subject

if TYPE_CHECKING:
    import pandas as pd


def verdict(
    splits: Mapping[str, Split],
    runs: pd.DataFrame,
    ledger: pd.DataFrame,
    models: Sequence[str],
    spec: CompareSpec,
    *,
    metrics: Mapping[str, str],
    shared_tables: Collection[str] = (),
    pairs: Sequence[Pair] | None = None,
    goal: Goal = HALF,
) -> Outcome:
    """Compare all models on all datasets; nothing is trained.

    Parameters
    ----------
    splits:
        Every dataset with its parts, as resample 0 has them.
    runs, ledger:
        `metrics.csv` and `predictions.parquet`, all resamples.
    models:
        In the order of the file.
    spec:
        What is compared, and how sure one wants to be.
    metrics:
        Dataset → the metric shown first.
    shared_tables:
        Datasets whose resamples are splits of one table.
    pairs:
        Model and baseline of each pair, instead of those that the spec asks for.
    goal:
        What thresholds were chosen for.
    """
    subjects = [subject(split, metrics[name], goal, shared=name in shared_tables) for name, split in splits.items()]
    known = {name: truth for name, split in splits.items() if (truth := known_truth(split)) is not None}
    return conclude(ledger, runs, subjects, models, spec, known, pairs)


def known_truth(split: Split) -> KnownTruth | None:
    """Return the law behind a dataset's rows; None where it isn't known."""
    dataset = split.dataset
    law = law_of(dataset.recipe)
    if law is None:
        return None
    return KnownTruth(str(dataset.recipe["make"]), law, law.posterior(dataset.features))


def subject(split: Split, metric: str, goal: Goal, *, shared: bool) -> Subject:
    """Return what the comparison has to know of a dataset; `shared` where resamples split one table."""
    n_final, n_train = len(split.rows(split.final)), len(split.train)
    n_classes = len(split.dataset.class_names)
    return Subject(
        split.dataset.name,
        split.final,
        n_classes,
        metric,
        test_share=n_final / n_train if shared else 0.0,
        labels=goal.words if n_classes == 2 else "",
        groups=split.dataset.groups,
    )


def forest_frame(outcome: Outcome, metric: str) -> pd.DataFrame:
    """Every verdict by a metric that is shown first somewhere, where it is: what a forest plot draws."""
    import pandas as pd

    columns = ["dataset", "model", "baseline", "difference", "low", "high", "margin", "decision"]
    shown = [verdict for verdict in outcome.primary() if verdict.metric == metric]
    return pd.DataFrame([[getattr(verdict, column) for column in columns] for verdict in shown], columns=columns)


def noise_frame(outcome: Outcome, metrics: Mapping[str, str], metric: str) -> pd.DataFrame:
    """Deviations of the metric shown first, by source, on the datasets where it is this one."""
    import pandas as pd

    rows = [
        (one.dataset, one.model, source, deviation)
        for one in outcome.noise
        if one.metric == metric == metrics[one.dataset]
        for source, deviation in (("seed", one.seed), ("test rows", one.test_rows), ("split", one.split))
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "source", "deviation"])
    return frame.astype({"deviation": float})
