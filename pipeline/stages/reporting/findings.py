"""What there is to see in each picture, in a sentence: the alternative text for those who can't see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.artifacts import Search
from pipeline.comparison.agreement import Agreement
from pipeline.comparison.outcome import Outcome
from pipeline.figures import classes as class_figures
from pipeline.stages.reporting.source import ReportInput
from pipeline.units import factor, metric_name, unit, value_text

MOST_NAMED = 3  # features of a model


def differences(outcome: Outcome, metric: str) -> str:
    """Say the verdicts by one metric."""
    return " ".join(verdict.sentence for verdict in outcome.primary() if verdict.metric == metric)


def noise(frame: pd.DataFrame, metric: str) -> str:
    """Say what moves the scores most."""
    known = frame.dropna(subset="deviation")
    largest = known.iloc[int(known["deviation"].argmax())]
    values = known.groupby("source", sort=False)["deviation"].median() * factor(metric)
    medians = ", ".join(f"{source} {value:.2g}" for source, value in values.items())
    return (
        f"Median standard deviations of {metric_name(metric)}{unit(metric)}: {medians}."
        f" The largest is that of {largest['model']} on {largest['dataset']} by {largest['source']},"
        f" {factor(metric) * largest['deviation']:.2g}."
    )


def headline(source: ReportInput, planes: Sequence[str]) -> str:
    """Say how often the median runs are right."""
    return " ".join(boundaries(source, name) for name in planes)


def boundaries(source: ReportInput, name: str) -> str:
    """Say how often the median runs of one dataset are right."""
    scores = source.median_scores([name])
    rights = ", ".join(
        f"{model} on {100 * accuracy:.1f} %"
        for model, accuracy in zip(scores["model"], scores["accuracy"], strict=True)
    )
    return f"Of the {source.splits[name].final} rows of {name} the median runs are right: {rights}."


def importance(frame: pd.DataFrame) -> str:
    """Say which features matter most to each model."""
    said = []
    for model, rows in frame.groupby("model", sort=False):
        first = rows[rows["importance"] > 0].nlargest(MOST_NAMED, "importance")
        named = ", ".join(f"{row.feature} ({row.importance:.3g})" for row in first.itertuples())
        said.append(f"{model} depends most on {named}." if named else f"{model} depends on no feature.")
    return " ".join(said)


def slices(pairs: Sequence[tuple[str, str]], undrawn: Sequence[str] = ()) -> str:
    """Say over which features the slices are, and which ones matter but can't be drawn."""
    over = f"Slices over {'; '.join(f'{x} and {y}' for x, y in pairs)}."
    return f"{over} Also important, but no number to draw: {', '.join(undrawn)}." if undrawn else over


def disagreement(pairs: Sequence[Agreement]) -> str:
    """Say which of two models is right where they differ."""
    return " ".join(
        f"Only {one.model} is right on {100 * one.only_model:.1f} %, only {one.baseline} on"
        f" {100 * one.only_baseline:.1f} % of rows."
        for one in pairs
    )


def curves(source: ReportInput, name: str) -> str:
    """Say what loss training ends in."""
    history = source.of(name, source.history)
    monitored = source.splits[name].monitored
    last = history.groupby(["model", "seed"], sort=False)[["epoch", "validation_loss"]].last()
    ends = last.groupby(level="model", sort=False).median()
    ended = ", ".join(
        f"{model} at {loss:.3g} after {epoch + 1:.0f} epochs"
        for model, epoch, loss in zip(ends.index, ends["epoch"], ends["validation_loss"], strict=True)
    )
    return f"Median {monitored} loss ends: {ended}."


def confusion(frame: pd.DataFrame, seeds: Mapping[str, int]) -> str:
    """Say how many rows the median seeds get right, and their commonest mistake."""
    return " ".join(_confused(frame, model, seed) for model, seed in seeds.items())


def _confused(frame: pd.DataFrame, model: str, seed: int) -> str:
    counts = frame[(frame["model"] == model) & (frame["seed"] == seed)]
    right = counts["truth"] == counts["predicted"]
    said = f"{model} is right on {counts.loc[right, 'count'].sum()} of {counts['count'].sum()} rows"
    wrong = counts[~right & (counts["count"] > 0)]
    if wrong.empty:
        return f"{said}."
    worst = wrong.iloc[int(wrong["count"].argmax())]
    return f"{said}, and most often takes {worst['truth']} for {worst['predicted']} ({worst['count']} rows)."


def classes(frame: pd.DataFrame) -> str:
    """Say which class each model is worst at."""
    said = []
    for model, of_model in frame[frame["class"] != class_figures.MACRO].groupby("model", sort=False):
        scores = of_model.groupby("class", sort=False)["f1"].mean()
        said.append(f"{model} {scores.min():.3f} for {scores.idxmin()}")
    return f"Lowest mean F1 of a class: {', '.join(said)}."


def calibration(frame: pd.DataFrame) -> str:
    """Say how far probabilities are from the truth."""
    scores = frame.groupby(["model", "seed"], sort=False)["brier"].first().groupby(level="model", sort=False).mean()
    return f"Mean Brier score: {', '.join(f'{model} {value:.3f}' for model, value in scores.items())}."


def means(source: ReportInput, name: str, metric: str, words: str) -> str:
    """Say each model's mean of one metric over the seeds."""
    runs = source.of(name, source.runs)
    values = runs[runs["status"] == "FINISHED"].groupby("model", sort=False)[metric].mean()
    return f"{words.capitalize()}: {', '.join(f'{model} {value:.3f}' for model, value in values.items())}."


def tuning(searches: Sequence[Search]) -> str:
    """Say what the searches found."""
    objective = searches[0].objective.replace("/", " ").replace("_", " ")
    best = ", ".join(f"{search.model} {search.best.value:.3g}" for search in searches)
    return f"Best {objective} of {len(searches[0].trials)} trials: {best}."


def best_hyperparameters(searches: Sequence[Search]) -> str:
    """Say where the best trials lie."""
    return " ".join(
        f"The best trial of {search.model} has"
        f" {', '.join(f'{key} {value_text(value)}' for key, value in search.best.params.items())}."
        for search in searches
    )
