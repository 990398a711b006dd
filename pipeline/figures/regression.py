"""Regressions: what each model predicts, beside what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artifacts import Split
from pipeline.figures.canvas import (
    TITLE,
    absent_note,
    balanced,
    caption,
    dot,
    legend_below,
    legend_height,
    line,
    panels,
    plain,
    present,
    tidy,
    tidy_shared,
    title,
)
from pipeline.figures.palette import INK, QUIET, model_colours

MOST_DOTS = 1500  # of one kind in a panel


def fit_frame(split: Split) -> pd.DataFrame:
    """Every row of a regression: row_id, part, label (the target), and x when the only feature is a plain number."""
    rows = np.concatenate([split.train, split.validation, split.test])
    part = np.repeat(["train", "validation", "test"], [len(split.train), len(split.validation), len(split.test)])
    dataset = split.dataset
    frame = pd.DataFrame({"row_id": rows, "part": part, "label": dataset.target[rows]})
    is_drawn_over_it = dataset.n_features == 1 and dataset.has_only_numbers
    return frame.assign(x=dataset.features[rows, 0]) if is_drawn_over_it else frame


def prediction_frame(
    points: pd.DataFrame, ledger: pd.DataFrame, models: Sequence[str], seeds: Mapping[str, int]
) -> pd.DataFrame:
    """Predictions of each model's representative seed, those over one feature in its order.

    Parameters
    ----------
    points:
        From `fit_frame`.
    ledger:
        One dataset's predictions: model, seed, split, row_id, label, prediction, in target units.
    models:
        Models in their fixed order; those without rows are left out.
    seeds:
        Each model's representative seed.

    Returns
    -------
    pandas.DataFrame
        model, seed, part, row_id, x (when there is just one feature), label, prediction.

    Raises
    ------
    ValueError
        When no model has rows.
    """
    x = [name for name in points if name == "x"]
    chosen = [
        ledger[(ledger["model"] == model) & (ledger["seed"] == seeds[model])] for model in present(ledger, models)
    ]
    ordered = [rows.merge(points[["row_id", *x]], on="row_id").sort_values(x, kind="stable") for rows in chosen]
    frame = pd.concat(ordered, ignore_index=True).rename(columns={"split": "part"})
    return frame[["model", "seed", "part", "row_id", *x, "label", "prediction"]]


def draw_fit(
    points: pd.DataFrame,
    ledger: pd.DataFrame,
    models: Sequence[str],
    *,
    seeds: Mapping[str, int],
    part: str,
    feature_name: str = "x",
) -> Figure:
    """Draw predictions over the feature when there is just one, and otherwise against the true target.

    Parameters
    ----------
    points:
        From `fit_frame`.
    ledger:
        One dataset's predictions: model, seed, split, row_id, label, prediction, in target units.
    models:
        Models in their fixed order; those without rows are left out.
    seeds:
        Each model's representative seed.
    part:
        Rows that the final numbers come from.
    feature_name:
        Name of the only feature.

    Raises
    ------
    ValueError
        When no model has rows.
    """
    frame = prediction_frame(points, ledger, models, seeds)
    if "x" in frame:
        figure = _draw_over_feature(points, _by_model(frame), models, seeds, part, feature_name)
    else:
        figure = _draw_against_truth(_by_model(frame[frame["part"] == part]), models, seeds, part)
    caption(figure, absent_note(models, list(frame["model"].unique())))
    return figure


def _by_model(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(model): rows for model, rows in frame.groupby("model", sort=False)}


def _draw_over_feature(
    points: pd.DataFrame,
    chosen: Mapping[str, pd.DataFrame],
    models: Sequence[str],
    seeds: Mapping[str, int],
    part: str,
    feature_name: str,
) -> Figure:
    labels = [*(f"{plain(model, 2.4)} (seed {seeds[model]})" for model in chosen), "train rows", f"{part} rows"]
    figure, (ax,) = panels(1, size=(7.0, 4.0), across=1, margin=(0, legend_height(7.0, labels)))
    train, final = (_some(points[points["part"] == name]) for name in ("train", part))
    ax.scatter(train["x"], train["label"], s=14, color=QUIET, alpha=0.5, linewidths=0)
    ax.scatter(final["x"], final["label"], s=26, color="white", edgecolors=INK, linewidths=1, zorder=4)
    colours = model_colours(models)
    for model, rows in chosen.items():
        # Only validation and test rows were predicted; between them the line is straight.
        ax.plot(rows["x"], rows["prediction"], color=colours[model], linewidth=2, zorder=5)
    tidy(ax, x=plain(feature_name), y="target")
    handles = [*(line(colours[model]) for model in chosen), dot(QUIET, 4), dot("white", 5, edge=INK)]
    legend_below(figure, handles, labels)
    return figure


def _draw_against_truth(
    chosen: Mapping[str, pd.DataFrame], models: Sequence[str], seeds: Mapping[str, int], part: str
) -> Figure:
    across = balanced(len(chosen), 3)
    figure, axes = panels(len(chosen), size=(3.4, 3.6), across=across, margin=(0.2, 0.3), share=True)
    tidy_shared(axes, across, x=f"true target of {part} rows", y="predicted")
    for ax, (model, rows) in zip(axes, chosen.items(), strict=True):
        _draw_agreement(ax, _some(rows), model_colours(models)[model])
        error = (rows["prediction"] - rows["label"]).abs().mean()
        title(ax, plain(model, 2.9, size=TITLE, bold=True), f"seed {seeds[model]}: mean absolute error {error:.3g}")
    return figure


def _draw_agreement(ax: Axes, rows: pd.DataFrame, colour: str) -> None:
    ends = [rows["label"].min(), rows["label"].max()]
    ax.plot(ends, ends, color=QUIET, linewidth=1, linestyle="--")
    ax.scatter(rows["label"], rows["prediction"], s=16, color=colour, alpha=0.6, linewidths=0, zorder=3)


def _some(rows: pd.DataFrame) -> pd.DataFrame:
    """Enough rows to see the shape."""
    return rows if len(rows) <= MOST_DOTS else rows.sample(MOST_DOTS, random_state=0)
