"""Decision boundaries: what the trained networks themselves say over the plane, in original units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.artifacts import Floats, Integers, Split
from pipeline.figures.canvas import (
    TITLE,
    balanced,
    dot,
    folded,
    legend_below,
    legend_height,
    line,
    panels,
    plain,
    plain_class,
    tidy_shared,
    title,
)
from pipeline.figures.palette import FAINT, INK, QUIET, class_colours, probability_image
from pipeline.labels import predicted_labels, threshold_text

BAYES = "Bayes rule"
MOST_TRAIN, MOST_FINAL = 2000, 800  # points drawn at most; more would only hide the background
_TALLEST, _WIDEST = 8.2, 12.0  # inches for all panels of the headline


@dataclass(frozen=True, eq=False)
class Boundary:
    """One trained network's own probabilities on a grid, in original units."""

    x: Floats  # (columns,) first feature, ascending and evenly spaced
    y: Floats  # (rows,) second feature, likewise
    probabilities: Floats  # (rows, columns, classes)
    seed: int
    accuracy: float  # on the final rows, 0…1
    threshold: float = 0.5  # on the probability of class 1; without effect on more classes

    @property
    def labels(self) -> Integers:
        """Predicted class over the grid, (rows, columns)."""
        table = self.probabilities.reshape(-1, self.probabilities.shape[-1])
        return predicted_labels(table, self.threshold).reshape(self.probabilities.shape[:2])


@dataclass(frozen=True, eq=False)
class BayesRule:
    """What the law of generated data says over a grid, in original units; no model can do better than follow it."""

    x: Floats  # (columns,) first feature, ascending and evenly spaced
    y: Floats  # (rows,) second feature, likewise
    posterior: Floats  # (rows, columns, classes)


def points_frame(split: Split) -> pd.DataFrame:
    """Rows of a two-feature dataset as points: x, y (original units), label, part.

    Raises
    ------
    ValueError
        When the dataset doesn't have exactly two features.
    """
    data = split.dataset
    if data.n_features != 2:
        raise ValueError(f"{data.name} has {data.n_features} features; a plane takes exactly 2")
    rows = np.concatenate([split.train, split.validation, split.test])
    names = np.repeat(["train", "validation", "test"], [len(split.train), len(split.validation), len(split.test)])
    x, y = data.features[rows].T
    return pd.DataFrame({"x": x, "y": y, "label": data.target[rows].astype(np.int64), "part": names})


def plane_frame(boundaries: Mapping[str, Boundary | None], truth: BayesRule | None = None) -> pd.DataFrame:
    """Probabilities over the plane, at every other grid point of each axis; none of a model that failed.

    Returns
    -------
    pandas.DataFrame
        model (the Bayes rule, where it is known, comes last as `BAYES`), seed, x, y (original units), p_0 … p_k.
    """
    frames = []
    for model, boundary in boundaries.items():
        if boundary is not None:
            frame = _grid_frame(boundary.x, boundary.y, boundary.probabilities)
            frames.append(frame.assign(model=model, seed=boundary.seed))
    if truth is not None:
        frames.append(_grid_frame(truth.x, truth.y, truth.posterior).assign(model=BAYES))
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["model", "seed", "x", "y"])
    return found[["model", "seed", *found.columns.drop(["model", "seed"])]].astype({"seed": "Int64"})


def _grid_frame(x: Floats, y: Floats, probabilities: Floats) -> pd.DataFrame:
    """Long form of a plane, row by row from the lowest y."""
    columns, rows = (axis.ravel() for axis in np.meshgrid(x[::2], y[::2]))
    table = probabilities[::2, ::2].reshape(len(columns), -1)
    shares = {f"p_{label}": table[:, label] for label in range(table.shape[1])}
    return pd.DataFrame({"x": columns, "y": rows} | shares)


def draw_boundaries(
    dataset: str,
    boundaries: Mapping[str, Boundary | None],
    points: pd.DataFrame,
    *,
    feature_names: Sequence[str],
    class_names: Sequence[str],
    part: str,
    truth: BayesRule | None = None,
) -> Figure:
    """Draw one panel a model: probabilities as tints, the decision boundary as a line, rows as points.

    Parameters
    ----------
    dataset:
        Its name, for the heading.
    boundaries:
        Each model's representative network, in the order to draw. None stands for a model that failed.
    points:
        From `points_frame`.
    feature_names, class_names:
        Names of the two features and of all classes.
    part:
        What the accuracies were measured on, ``"test"`` or ``"validation"``.
    truth:
        Where the law of the data is known: drawn as a dashed line where the best class changes.
    """
    names = [plain_class(name, 1.8) for name in class_names]
    symbols, wording = points_legend(points, part, bayes=truth is not None)
    labels = [*names, *wording]
    across, width = balanced(len(boundaries), 4), 3.3 if len(boundaries) > 1 else 4.4
    margin = (0.3, 0.35 + legend_height(across * width, labels))
    height = 4.05 if any(map(_is_moved, boundaries.values())) else 3.85  # room for a second line under the name
    figure, axes = panels(len(boundaries), size=(width, height), across=across, margin=margin, share=True)
    x, y = (plain(name) for name in feature_names)
    tidy_shared(axes, across, x=x, y=y, grid=False)
    for panel, (model, boundary) in zip(axes, boundaries.items(), strict=True):
        _model_panel(panel, plain(model, width - 0.5, size=TITLE, bold=True), boundary, points, part)
        if truth is not None and boundary is not None:
            _bayes_lines(panel, truth, scale=1.0)
    figure.suptitle(plain(dataset, 3.5, size=TITLE + 2, bold=True), fontsize=TITLE + 2, fontweight="bold", color=INK)
    legend_below(figure, [*(dot(colour, 8) for colour in class_colours(len(names))), *symbols], labels)
    return figure


def _model_panel(axes: Axes, name: str, boundary: Boundary | None, points: pd.DataFrame, part: str) -> None:
    """Draw one model with its own heading."""
    if boundary is None:
        draw_blank(axes, "failed")
        title(axes, name, "no finished run")
        return
    draw_plane(axes, boundary, points, part, scale=1.0)
    moved = f"\nline at the threshold {threshold_text(boundary.threshold)}" if _is_moved(boundary) else ""
    title(axes, name, f"seed {boundary.seed}: {percent(boundary.accuracy)} of {part} rows right{moved}")


def _is_moved(boundary: Boundary | None) -> bool:
    """Whether the line doesn't stand where both classes are as likely."""
    return boundary is not None and boundary.probabilities.shape[-1] == 2 and boundary.threshold != 0.5


def draw_headline(
    panels_of: Mapping[str, tuple[Mapping[str, Boundary | None], pd.DataFrame]],
    *,
    part: str,
    truths: Mapping[str, BayesRule] | None = None,
) -> Figure:
    """Draw datasets down and models across, with the accuracy in each corner.

    Parameters
    ----------
    panels_of:
        For each dataset its boundaries by model and its points. None stands for a model that failed.
    part:
        What the accuracies were measured on.
    truths:
        For each dataset whose law is known: drawn as a dashed line where the best class changes.
    """
    truths = truths or {}
    models = list(dict.fromkeys(model for boundaries, _ in panels_of.values() for model in boundaries))
    height = float(np.clip(_TALLEST / len(panels_of), 1.6, 2.7))
    width = float(np.clip(_WIDEST / len(models), 1.6, height))
    figure = Figure(
        (len(models) * width + 0.4, len(panels_of) * height + 0.8),
        layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0, hspace=0),
        facecolor="white",
    )
    rows = figure.subplots(len(panels_of), len(models), squeeze=False)
    style = {"fontsize": TITLE + 2, "fontweight": "bold", "color": INK}
    for row, (dataset, (boundaries, points)) in zip(rows, panels_of.items(), strict=True):
        for panel, model in zip(row, models, strict=True):
            _headline_panel(panel, boundaries.get(model), points, part, known=model in boundaries)
            if dataset in truths and boundaries.get(model) is not None:
                _bayes_lines(panel, truths[dataset], scale=0.7)
        row[0].set_ylabel(plain(dataset, height - 0.3, size=TITLE + 2, bold=True), labelpad=6, **style)
    for panel, model in zip(rows[0], models, strict=True):
        panel.set_title(plain(model, width - 0.2, size=TITLE + 2, bold=True), pad=6, **style)
    symbols, labels = points_legend(next(iter(panels_of.values()))[1], part, counts=False, bayes=bool(truths))
    heading = folded(figure.get_figwidth(), f"in the corner: {part} accuracy, median seed")
    legend_below(figure, symbols, labels, heading)
    return figure


def _headline_panel(axes: Axes, boundary: Boundary | None, points: pd.DataFrame, part: str, *, known: bool) -> None:
    """Draw one cell of the headline, or say why it is empty."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(FAINT)
    if boundary is None:
        draw_blank(axes, "failed" if known else "not run")
        return
    draw_plane(axes, boundary, points, part, scale=0.7)
    axes.text(
        0.97,
        0.04,
        percent(boundary.accuracy),
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=TITLE + 1,
        fontweight="bold",
        color=INK,
        zorder=10,
        bbox={"boxstyle": "round,pad=0.28", "facecolor": "white", "edgecolor": "none", "alpha": 0.88},
    )


def draw_blank(axes: Axes, reason: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_facecolor("#F6F7F8")
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=13, color=QUIET)


def draw_plane(axes: Axes, boundary: Boundary, points: pd.DataFrame, part: str, *, scale: float) -> None:
    """Draw background, boundary and points into a panel; `scale` is the markers' size."""
    draw_field(axes, boundary, scale)
    draw_points(axes, points, part, boundary.probabilities.shape[-1], scale)


def draw_field(axes: Axes, boundary: Boundary, scale: float) -> None:
    """Draw what a network says over the plane: tints, and lines where the predicted class changes."""
    x, y = boundary.x, boundary.y
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2  # a pixel's centre is its grid point
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    image = probability_image(boundary.probabilities, boundary.threshold)
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="bilinear", zorder=0)
    _decision_lines(axes, boundary, scale)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def _decision_lines(axes: Axes, boundary: Boundary, scale: float) -> None:
    """Draw where the predicted class changes: what a class has more than it takes to be predicted is zero there."""
    for lead in leads(boundary.probabilities, boundary.threshold):
        if lead.min() < 0 < lead.max():  # a network that always says the same has no boundary
            axes.contour(boundary.x, boundary.y, lead, [0.0], colors=INK, linewidths=1.9 * scale, zorder=2)


def _bayes_lines(axes: Axes, truth: BayesRule, scale: float) -> None:
    """Draw where the Bayes rule changes class, each stretch once: dashes would fill one another's gaps."""
    for index in range(1, truth.posterior.shape[-1]):
        others = np.delete(truth.posterior, index, axis=-1)
        lead = np.ma.masked_where(others.argmax(axis=-1) >= index, truth.posterior[..., index] - others.max(axis=-1))
        if lead.count() and lead.min() < 0 < lead.max():
            style, width = (0, (2.5, 1.5)), 1.5 * scale
            axes.contour(truth.x, truth.y, lead, [0.0], colors=INK, linewidths=width, linestyles=[style], zorder=4)


def leads(probabilities: Floats, threshold: float) -> list[Floats]:
    """What each class has more than it takes to be predicted: zero where the prediction changes.

    Of two classes that is the lead of class 1 over the threshold alone; of more, each class's lead over the best other.

    Parameters
    ----------
    probabilities:
        Shape (..., classes).
    threshold:
        On the probability of class 1, of two classes.

    Returns
    -------
    list
        Of arrays, shape (...).
    """
    if probabilities.shape[-1] == 2:
        return [probabilities[..., 1] - threshold]
    return [
        probabilities[..., index] - np.delete(probabilities, index, axis=-1).max(axis=-1)
        for index in range(probabilities.shape[-1])
    ]


def draw_points(axes: Axes, points: pd.DataFrame, part: str, n_classes: int, scale: float) -> None:
    """Draw train rows small and pale, and the final rows outlined."""
    colours = np.array(class_colours(n_classes))
    train, final = thinned(points, "train", MOST_TRAIN), thinned(points, part, MOST_FINAL)
    axes.scatter(train["x"], train["y"], c=colours[train["label"]], s=11 * scale**2, alpha=0.5, linewidths=0, zorder=1)
    axes.scatter(
        final["x"],
        final["y"],
        c=colours[final["label"]],
        s=30 * scale**2,
        linewidths=0.9 * scale,
        edgecolors="white",
        zorder=3,
    )


def thinned(points: pd.DataFrame, part: str, most: int) -> pd.DataFrame:
    """Rows of a part, or a fixed random choice of them when there are too many to see."""
    rows = points[points["part"] == part]
    return rows if len(rows) <= most else rows.sample(most, random_state=0)


def points_legend(
    points: pd.DataFrame, part: str, *, counts: bool = True, bayes: bool = False
) -> tuple[list[Artist], list[str]]:
    """Symbols and wording for the points and the lines."""
    labels = []
    for name, most in (("train", MOST_TRAIN), (part, MOST_FINAL)):
        rows = int((points["part"] == name).sum())
        labels.append(f"{name} rows ({most:,} of {rows:,})" if counts and rows > most else f"{name} rows")
    symbols: list[Artist] = [dot("#A9B0BA", 4), dot("#6B7480", 8, edge="white"), line(INK, width=1.9)]
    labels.append("decision boundary")
    if bayes:
        return [*symbols, line(INK, "--", 1.5)], [*labels, BAYES]
    return symbols, labels


def percent(accuracy: float) -> str:
    """An accuracy as a percentage; 100 % is kept for no mistake at all."""
    shown = accuracy if accuracy >= 1 else min(accuracy, 0.999)
    return f"{100 * shown:.1f} %" if accuracy < 1 else "100 %"
