"""How the median seeds' networks learned: what they said over the plane, for the page to step through."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.artifacts import Floats, Snapshots, Split
from pipeline.figures.boundaries import leads, points_frame, thinned
from pipeline.figures.palette import class_colours, probability_image
from pipeline.planes import code_table, decode
from pipeline.stages.reporting.source import ReportInput, Representative

SIDE = 1000  # of a panel, in the units that its points are written in
MOST_TRAIN, MOST_MONITORED = 1000, 400  # points drawn at most; more would only hide the background


@dataclass(frozen=True)
class Step:
    """One panel after some epochs: which frame to show, and what to say under it."""

    frame: int
    text: str
    alternative: str  # for those who can't see the frame


@dataclass(frozen=True)
class Panel:
    """One model's network: all its frames as one picture, from the top down, and a step for each stop of the slider."""

    model: str
    seed: int
    strip: bytes  # WebP
    lines: tuple[str, ...]  # of each frame: where the predicted class changes, as the path of an SVG
    rows: int  # of one frame
    columns: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Points:
    """Rows of one part and class, as the path of an SVG: a dot each."""

    colour: str
    outlined: bool
    path: str


@dataclass(frozen=True)
class Axis:
    """A feature, and the ends of the plane in its own units."""

    name: str
    low: str
    high: str


@dataclass(frozen=True)
class Learning:
    """Everything that the page shows of how the networks of one dataset learned."""

    stops: tuple[str, ...]  # of the slider: "after 100 epochs"
    panels: tuple[Panel, ...]
    points: tuple[Points, ...]
    x: Axis
    y: Axis
    classes: tuple[tuple[str, str], ...]  # colour, name
    monitored: str  # the part that losses are of

    @property
    def script(self) -> dict[str, object]:
        """What the page's script reads, in JSON's types."""
        panels = [
            {"lines": panel.lines, "steps": [(step.frame, step.text, step.alternative) for step in panel.steps]}
            for panel in self.panels
        ]
        return {"stops": self.stops, "panels": panels}


def learning(source: ReportInput, name: str) -> Learning | None:
    """Gather how one dataset's networks learned; None where nothing was recorded.

    That is off the plane, of a regression, and in comparisons that Photofinish 0.1 stored.
    """
    recorded = {
        model: (chosen, chosen.snapshots)
        for (of, model), chosen in source.representatives.items()
        if of == name and chosen.snapshots is not None
    }
    if not recorded:
        return None
    split = source.splits[name]
    stops = np.unique(np.concatenate([snapshots.epochs for _, snapshots in recorded.values()]))
    first = next(snapshots for _, snapshots in recorded.values())  # grids are the same for every model
    dataset = split.dataset
    x, y = (_axis(*of) for of in zip(dataset.feature_names, (first.x, first.y), strict=True))
    return Learning(
        tuple(_after(int(epoch)) for epoch in stops),
        tuple(_panel(source, name, model, *of, stops.tolist()) for model, of in recorded.items()),
        tuple(_points(split, first)),
        x,
        y,
        tuple(zip(class_colours(len(dataset.class_names)), dataset.class_names, strict=True)),
        split.monitored,
    )


def _panel(
    source: ReportInput, name: str, model: str, chosen: Representative, snapshots: Snapshots, stops: list[int]
) -> Panel:
    threshold = source.threshold(chosen)
    n_classes = len(source.splits[name].dataset.class_names)
    _, rows, columns = snapshots.codes.shape
    history = source.history[source.history["run_id"] == chosen.run_id].set_index("epoch")
    return Panel(
        model,
        chosen.seed,
        strip(snapshots, n_classes, threshold),
        tuple(boundary(decode(frame, n_classes), threshold) for frame in snapshots.codes),
        rows,
        columns,
        tuple(_step(snapshots, stop, history, f"{model} on {name}", source.splits[name].monitored) for stop in stops),
    )


def _step(snapshots: Snapshots, stop: int, history: pd.DataFrame, who: str, part: str) -> Step:
    """Say what there is after so many epochs, or after the last epoch of a network that was done by then."""
    frame = int(np.searchsorted(snapshots.epochs, stop, side="right")) - 1
    epochs = int(snapshots.epochs[frame])
    loss, accuracy = history.loc[epochs - 1, ["validation_loss", "validation_accuracy"]].to_numpy(dtype=np.float64)
    when = f"done {_after(epochs)}" if epochs == snapshots.epochs[-1] else _after(epochs)
    right = f"{100 * accuracy:.1f}\N{NO-BREAK SPACE}%"
    written = f"{loss:.3f}" if loss >= 0.0005 else "<0.001"
    return Step(
        frame,
        f"{when}: {part} loss {written}, accuracy {right}",
        f"{who} {when}: {right} of {part} rows right",
    )


def _after(epochs: int) -> str:
    return f"after {epochs:,} epoch{'s' if epochs != 1 else ''}"


def strip(snapshots: Snapshots, n_classes: int, threshold: float) -> bytes:
    """Draw all frames below one another, a pixel a grid point, as WebP; colours change at the threshold."""
    from PIL import Image

    palette = np.rint(255 * colours(n_classes, threshold)).astype(np.uint8)
    upright = snapshots.codes[:, ::-1]  # pictures begin at the top, where the second feature is highest
    file = io.BytesIO()
    Image.fromarray(palette[upright].reshape(-1, upright.shape[2], 3)).save(file, "WEBP", lossless=True, method=6)
    return file.getvalue()


def colours(n_classes: int, threshold: float) -> Floats:
    """Return the tint of every code, red, green and blue in 0…1, shape (codes, 3)."""
    table = code_table(n_classes)
    probabilities = decode(table, n_classes)
    if n_classes > 2:  # a class that barely leads would be as grey as any other: half the tint is its own
        certain = np.repeat(np.eye(n_classes), len(table) // n_classes, axis=0)
        probabilities = (probabilities + certain) / 2
    return probability_image(probabilities, threshold)


def boundary(probabilities: Floats, threshold: float) -> str:
    """Draw where the predicted class changes, given class probabilities on a grid, as the path of an SVG."""
    from contourpy import contour_generator

    height, width = probabilities.shape[0] - 1, probabilities.shape[1] - 1
    path = ""
    for lead in leads(probabilities, threshold):
        for line in map(np.asarray, contour_generator(z=lead).lines(0.0)):
            points = np.rint(SIDE * np.stack([line[:, 0] / width, 1 - line[:, 1] / height], axis=1)).astype(int)
            moves = np.diff(points, axis=0)
            if moves.any():  # else it is smaller than what can be drawn
                path += "M{} {}l".format(*points[0]) + " ".join(f"{x} {y}" for x, y in moves[moves.any(axis=1)])
    return path


def _points(split: Split, plane: Snapshots) -> Iterator[Points]:
    """Yield the rows that training saw, train rows first: class by class, since each class has its colour."""
    of_class = class_colours(len(split.dataset.class_names))
    points = points_frame(split)
    for part, most in (("train", MOST_TRAIN), (split.monitored, MOST_MONITORED)):
        for label, rows in thinned(points, part, most).groupby("label"):
            across = (rows["x"].to_numpy() - plane.x[0]) / (plane.x[-1] - plane.x[0])
            down = (plane.y[-1] - rows["y"].to_numpy()) / (plane.y[-1] - plane.y[0])
            placed = np.rint(SIDE * np.stack([across, down], axis=1)).astype(int)
            yield Points(of_class[int(str(label))], part != "train", "".join(f"M{x} {y}h0" for x, y in placed))


def _axis(name: str, values: Floats) -> Axis:
    low, high = (f"{value:.3g}".replace("-", "−") for value in (values[0], values[-1]))
    return Axis(name, low, high)
