"""Notes of a report: what one might otherwise misread, in so many words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import Search, Split
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.labels import threshold_text
from pipeline.units import value_text

if TYPE_CHECKING:
    import pandas as pd


def edge_notes(searches: Sequence[Search]) -> list[str]:
    """Name each bound at which best values lie, with the searches it concerns."""
    concerned: dict[str, list[Search]] = {}
    for search in searches:
        for edge in search.edges:
            concerned.setdefault(edge, []).append(search)
    lines = []
    for edge, found in concerned.items():
        key, end = edge.split()
        bounds = ", ".join(value_text(bound) for bound in found[0].space[key][:2])
        where = ", ".join(f"{search.dataset} {search.model}" for search in found)
        way = "upwards" if end == "upper" else "downwards"
        lines.append(f"Tuning: the best {key} lies at the {end} end of [{bounds}] ({where}); widen the range {way}.")
    return lines


def notes(splits: Mapping[str, Split], runs: pd.DataFrame | None = None, goal: Goal = HALF) -> list[str]:
    """Say, in so many words, what one might otherwise misread."""
    lines = []
    for name, split in splits.items():
        if split.final == "validation":
            lines.append(
                f"{name}: there are no test rows (test_size: 0), so the final numbers come from the validation rows,"
                " and what is called test/… in MLflow is measured on them too."
            )
        if split.monitored == "test":
            lines.append(
                f"{name}: there are no validation rows (validation_size: 0), so the rows watched during training are"
                " the test rows, and what is called validation/… in MLflow is measured on them."
            )
        lines.extend(parting_notes(name, split))
        if split.dataset.weights is not None:
            lines.append(
                f"{name}: rows have weights, which count in the loss that is minimised, and so in train/loss; all other"
                " numbers count every row once."
            )
    if runs is not None:
        if not goal.is_default:
            lines.extend(line for split in splits.values() for line in threshold_notes(split, runs, goal))
        several = bool(runs["resample"].any())
        lines.extend(
            f"{run.dataset}: {run.model} with seed {run.seed}{f' in resample {run.resample}' if several else ''}"
            f" failed and is left out: {run.failure}."
            for run in runs[runs["status"] == "FAILED"].itertuples()
        )
        lines.extend(model_notes(runs))
    return lines


def parting_notes(name: str, split: Split) -> Iterator[str]:
    """Say what it means that rows were parted by group, or by time."""
    groups = split.dataset.groups
    if groups is not None:
        final = split.rows(split.final)
        yield (
            f"{name}: no group of rows is in two parts, and the {len(final):,} {split.final} rows are those of"
            f" {len(np.unique(groups[final])):,} groups; intervals take groups, not rows, for independent cases."
        )
    if split.dataset.times is not None:
        yield (
            f"{name}: parts follow one another in time, the {split.final} rows being the latest; no interval says how"
            " much another stretch of time would differ."
        )


def model_notes(runs: pd.DataFrame) -> list[str]:
    """Say what to know of models: class weights, how scikit-learn's probabilities are made, what it warned of."""
    finished = runs[runs["status"] == "FINISHED"]
    if "note" not in finished:  # made before there were any
        return []
    lines = []
    for (dataset, model), group in finished.groupby(["dataset", "model"], sort=False):
        for note, count in group["note"].replace("", None).value_counts(sort=False).items():
            some = f" ({count} of {len(group)} runs)" if count < len(group) else ""
            lines.append(f"{dataset}: {model}{some}: {note}.")
    return lines


def resample_notes(searches: Sequence[Search], shared_tables: Collection[str], resamples: int) -> list[str]:
    """Name the datasets of whose later resamples a search may have seen test rows."""
    if resamples == 1:
        return []
    return [
        f"{name}: hyperparameters were searched on resample 0 alone, and all resamples are splits of one table: rows"
        " that test a later one may be among those that the search has seen."
        for name in dict.fromkeys(search.dataset for search in searches)
        if name in shared_tables
    ]


def threshold_notes(split: Split, runs: pd.DataFrame, goal: Goal) -> list[str]:
    """Say at which thresholds a dataset's labels are made, and where none serves the goal; nothing of other targets."""
    name = split.dataset.name
    if split.dataset.task != "binary":
        return []
    if goal.is_fixed:
        return [f"{name}: labels are made at the fixed threshold {goal.rule}; accuracy in learning curves at 0.5."]
    finished = runs[(runs["dataset"] == name) & (runs["status"] == "FINISHED")]
    if finished.empty:
        return []
    of_models = {str(model): group for model, group in finished.groupby("model", sort=False)}
    seeds = max(len(group) for group in of_models.values())
    values = ", ".join(f"{model} {_threshold_range(group)}" for model, group in of_models.items())
    over = f" (median of {seeds} seeds, lowest to highest)" if seeds > 1 else ""
    lines = [
        f"{name}: labels are made at thresholds chosen on the validation rows for {goal.rule}: {values}{over};"
        " accuracy in learning curves at 0.5."
    ]
    if split.final == "validation":
        lines.append(
            f"{name}: the final numbers come from the rows that the thresholds were chosen on, which flatters them."
        )
    missed = {model: len(group) - int(group["threshold_reached"].sum()) for model, group in of_models.items()}
    if any(missed.values()):
        where = ", ".join(f"{model} ({count} of {len(of_models[model])})" for model, count in missed.items() if count)
        lines.append(
            f"{name}: no threshold reaches {goal.rule} on the validation rows in some runs, which label at the one"
            f" that comes nearest: {where}."
        )
    return lines


def _threshold_range(runs: pd.DataFrame) -> str:
    values = runs["threshold"]
    low, middle, high = (threshold_text(value) for value in (values.min(), values.median(), values.max()))
    return middle if low == high else f"{middle} ({low} to {high})"
