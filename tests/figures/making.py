"""Inputs for pictures, and a check that no two texts of a picture lie on one another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from pipeline.artifacts import Dataset, Floats, Split, Task
from pipeline.figures.boundaries import Boundary
from pipeline.figures.disagreement import Disagreement
from pipeline.planes import grid

UGLY_MODELS = (
    "multilayer_perceptron_with_dropout_0.1",
    "multilayer_perceptron_with_dropout_0.2",
    "_hidden",
    r"$x^2$ \frac",
    "<script>alert(1)</script>",
)
UGLY_CLASSES = ("Iris versicolor of the northern marshes", "$setosa", "_virginica")


def make_ledger(
    models: Sequence[str] = ("linear", "relu"),
    *,
    n_classes: int = 2,
    n_seeds: int = 3,
    n_rows: int = 90,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """Predictions for test rows and a few validation rows, better from model to model."""
    random = np.random.default_rng(0)
    labels = random.integers(0, n_classes, n_rows)
    frames = []
    for (place, model), seed in itertools.product(enumerate(models), range(n_seeds)):
        logits = random.normal(size=(n_rows, n_classes))
        logits[np.arange(n_rows), labels] += 2.5 * (place + 1) / len(models)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        columns = {"model": model, "seed": seed, "row_id": np.arange(n_rows), "label": labels}
        columns |= {"split": np.where(np.arange(n_rows) % 9 == 0, "validation", "test")}
        frames.append(pd.DataFrame(columns | {f"p_{label}": shares[:, label] for label in range(n_classes)}))
        frames[-1]["threshold"] = threshold if n_classes == 2 else np.nan
    return pd.concat(frames, ignore_index=True)


def make_history(models: Sequence[str] = ("linear", "relu"), *, n_seeds: int = 5, epochs: int = 30) -> pd.DataFrame:
    """Learning curves that fall and rise as they should."""
    random = np.random.default_rng(0)
    frames = []
    for model, seed in itertools.product(models, range(n_seeds)):
        loss = np.exp(-np.arange(epochs) / 10) * random.uniform(0.8, 1.2) + 0.2
        columns = {"train_loss": loss, "validation_loss": loss * 1.1}
        columns |= {"train_accuracy": 1 - loss / 2, "validation_accuracy": 0.95 - loss / 2}
        frames.append(pd.DataFrame({"model": model, "seed": seed, "epoch": np.arange(epochs)} | columns))
    return pd.concat(frames, ignore_index=True)


def make_split(*, n_features: int = 2, task: Task = "binary", n_classes: int = 2, n_rows: int = 60) -> Split:
    """Normal features; half of the rows train, a quarter validation, a quarter test."""
    random = np.random.default_rng(0)
    features = random.normal(size=(n_rows, n_features))
    target = features[:, 0] * 10 if task == "regression" else np.arange(n_rows) % n_classes
    names = tuple(f"x_{column}" for column in range(n_features))
    data = Dataset("blobs", features, target, task, names, (), "made", "")
    rows = random.permutation(n_rows)
    train, validation, test = np.split(rows, [n_rows // 2, 3 * n_rows // 4])
    return Split(data, train, validation, test, features.mean(axis=0), features.std(axis=0), 0.0, 1.0)


def make_boundary(
    split: Split, *, n_classes: int = 2, tie: float = 0.0, accuracy: float = 0.9, threshold: float = 0.5
) -> Boundary:
    """Upright stripes of classes; of two, class 1 lies at the right of x = `tie`."""
    x, y = grid(split.dataset.features, points=40)
    logits = np.stack([label * (x - tie) * 4 - label * (label - 1) / 2 for label in range(n_classes)], axis=-1)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    plane: Floats = np.broadcast_to(shares, (len(y), len(x), n_classes))
    return Boundary(x, y, plane, 7, accuracy, threshold)


def make_disagreement(
    model_a: str = "linear", model_b: str = "relu", *, known: bool = True, n_rows: int = 60
) -> Disagreement:
    """In a square a says 0 at the left and 1 at the right, b 0 below and 2 above; true are 0, 1, 2 from the left."""
    x = y = np.linspace(-1, 1, 41)
    right, above = np.meshgrid(x, y)
    labels_a, labels_b = (right > 0).astype(np.int64), 2 * (above > 0).astype(np.int64)
    truth = np.digitize(right, [-0.5, 0.5]).astype(np.int64) if known else None
    points = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (n_rows, 2)), columns=["x", "y"])
    points = points.assign(right_a=np.arange(n_rows) % 3 > 0, right_b=np.arange(n_rows) % 4 > 1)
    agreement = {"only a": 0.3, "only b": 0.2, "both right": 0.5, "both wrong": 0.0}
    return Disagreement(model_a, model_b, x, y, labels_a, labels_b, truth, points, agreement)


def words(figure: Figure) -> list[str]:
    """Everything that a picture says, as drawn: without what only keeps a formula from being read."""
    return [text.get_text().replace(r"\$", "$") for text, _ in _texts(figure)]


def assert_legible(figure: Figure) -> None:
    """Every text lies within the picture, on no other text, and on no panel that isn't its own."""
    FigureCanvasAgg(figure).draw()
    shapes = [(text, owner, _shape(text)) for text, owner in _texts(figure)]
    whole = figure.bbox.padded(1)
    for text, owner, shape in shapes:
        box = shape.get_extents()
        assert whole.containsx(box.x0), f"{text.get_text()!r} is clipped at the left"
        assert whole.containsx(box.x1), f"{text.get_text()!r} is clipped at the right"
        assert whole.containsy(box.y0), f"{text.get_text()!r} is clipped at the bottom"
        assert whole.containsy(box.y1), f"{text.get_text()!r} is clipped at the top"
        for axes in figure.axes:
            if axes is not owner:
                assert not shape.intersects_bbox(axes.bbox.padded(-1)), f"{text.get_text()!r} lies on a panel"
    boxes = np.array([shape.get_extents().extents for _, _, shape in shapes])
    near = (boxes[:, None, :2] < boxes[None, :, 2:]).all(axis=-1)
    for one, other in np.argwhere(np.triu(near & near.T, k=1)):
        overlap = shapes[one][2].intersects_path(shapes[other][2], filled=True)
        assert not overlap, f"{shapes[one][0].get_text()!r} lies on {shapes[other][0].get_text()!r}"


def _texts(figure: Figure) -> Iterator[tuple[Text, Axes | None]]:
    """Every text that is seen, with the panel it may lie on."""
    outside = [*figure.texts, *(text for made in figure.legends for text in [*made.get_texts(), made.get_title()])]
    found = [(text, None) for text in outside]
    if figure._suptitle:
        found.append((figure._suptitle, None))
    for axes in figure.axes:
        found += [(text, axes) for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]]
        found += [(text, None) for text in (axes.title, axes._left_title, axes._right_title)]
        if axes.get_legend():
            found += [(text, None) for text in axes.get_legend().get_texts()]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [(tick.label1, axes) for tick in ticks]
    seen = {id(text): (text, owner) for text, owner in found if text.get_visible() and text.get_text().strip()}
    yield from seen.values()


def _shape(text: Text) -> Path:
    """Outline of a text, turned as the text is, and half a pixel smaller so that neighbours may touch."""
    turned, angle = text.get_window_extent(), text.get_rotation()
    text.set_rotation(0)
    straight = text.get_window_extent()
    text.set_rotation(angle)
    right, up = straight.width / 2 - 0.5, straight.height / 2 - 0.5
    centre = (turned.x0 + turned.width / 2, turned.y0 + turned.height / 2)
    corners = Path([(-right, -up), (right, -up), (right, up), (-right, up), (-right, -up)], closed=True)
    return corners.transformed(Affine2D().rotate_deg(angle).translate(*centre))
