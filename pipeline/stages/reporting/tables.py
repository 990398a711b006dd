"""The tables of a report, as page and terminal show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.artifacts import Search
from pipeline.figures import classes
from pipeline.stages.metrics import CLASSIFICATION_METRICS
from pipeline.stages.reporting.notes import edge_notes
from pipeline.stages.reporting.source import ReportInput
from pipeline.units import metric_name, value_text


def score_table(source: ReportInput) -> list[dict[str, Any]]:
    """Mean and standard deviation over runs, model by model: a row a model, `cells` in the order of the datasets."""
    return [
        {
            "model": model,
            "cells": [cell(runs_of(source.runs, name, model), source.metrics[name]) for name in source.splits],
        }
        for model in source.models
    ]


def runs_of(runs: pd.DataFrame, dataset: str, model: str) -> pd.DataFrame:
    """Rows of one dataset × model."""
    return runs[(runs["dataset"] == dataset) & (runs["model"] == model)]


def cell(runs: pd.DataFrame, metric: str) -> str:
    """Mean ± standard deviation of one metric over a dataset × model's runs, and how many of them failed."""
    finished = runs[runs["status"] == "FINISHED"]
    if finished.empty:
        return "all failed"
    values = finished[metric]
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    failed = len(runs) - len(finished)
    return f"{values.mean():.3f}{spread}" + (f" ({failed} of {len(runs)} failed)" if failed else "")


def tuned_table(searches: Sequence[Search], dataset: str) -> dict[str, Any]:
    """Best hyperparameters of each model on one dataset: `columns`, `rows` of a model and its values, and `notes`."""
    found = [search for search in searches if search.dataset == dataset]
    keys = list(dict.fromkeys(key for search in found for key in search.space))
    rows = [
        (
            search.model,
            f"{search.best.value:.4g}",
            f"{search.best.number}",
            *(value_text(search.best.params[key]) if key in search.best.params else "as given" for key in keys),
        )
        for search in found
    ]
    objective = found[0].objective.replace("/", " ").replace("_", " ") if found else ""
    return {"columns": [objective, "trial", *keys], "rows": rows, "notes": edge_notes(found)}


def metric_table(source: ReportInput, name: str) -> dict[str, Any]:
    """Every final metric, mean ± standard deviation over runs; a cell may be broken into two lines before the ±."""
    regression_target = source.splits[name].dataset.task == "regression"
    columns = ("mae", "rmse", "r2") if regression_target else CLASSIFICATION_METRICS
    rows = []
    for model in source.models:
        runs = runs_of(source.runs, name, model)
        rows.append((model, *(_breaking_before_parts(cell(runs, key)) for key in columns)))
    return {"columns": [metric_name(column) for column in columns], "rows": rows}


def _breaking_before_parts(text: str) -> str:
    """Let a line break come before the ± and the parenthesis of a score, and nowhere else."""
    return re.sub(r" (?![±(])", "\u00a0", text)


def class_table(source: ReportInput, name: str) -> list[tuple[str, ...]]:
    """Model, class, precision, recall, F1 (mean ± standard deviation over runs) and support."""
    dataset = source.splits[name].dataset
    if dataset.task == "regression" or not source.seeds(name):
        return []
    ledger, part = source.ledger[source.ledger["dataset"] == name], source.splits[name].final
    frame = pd.concat(
        classes.class_frame(resample, dataset.class_names, part) for _, resample in ledger.groupby("resample")
    )
    rows: list[tuple[str, ...]] = []
    for (model, class_name), group in frame.groupby(["model", "class"], sort=False):
        scores = (_mean_and_spread(group[score]) for score in classes.SCORES)
        rows.append((str(model), str(class_name), *scores, _range(group["support"])))
    return rows


def _mean_and_spread(values: pd.Series[float]) -> str:
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def _range(values: pd.Series[int]) -> str:
    return f"{values.min()}" if values.min() == values.max() else f"{values.min()} to {values.max()}"
