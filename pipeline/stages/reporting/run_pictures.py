"""Pictures of single model runs, logged with each: the tracking UI shows those of two runs side by side."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from pipeline.artifacts import EvaluatedModel, Split
from pipeline.figures.boundaries import percent, points_frame
from pipeline.figures.small import SmallBoundary, SmallConfusion
from pipeline.labels import predicted_labels
from pipeline.planes import is_plane
from pipeline.stages.inference import class_probabilities
from pipeline.stages.reporting.grids import boundary_of

DOTS_PER_INCH = 100
GRID = 64  # points along each axis of a plane


class RunPictures:
    """Draws the model runs of one split, one after the other."""

    def __init__(self, split: Split) -> None:
        self._split = split
        names = split.dataset.class_names
        self._confusion = SmallConfusion(names) if names else None
        self._boundary = SmallBoundary(points_frame(split), names, split.final) if is_plane(split) else None

    def draw(self, model: EvaluatedModel) -> dict[str, bytes]:
        """Draw a run as PNG files, by name: `boundary.png` of data in a plane, `confusion.png` of classes.

        There are none of a regression, nor of a run that failed.
        """
        if model.predictions is None:
            return {}
        pictures = {}
        if self._boundary is not None:
            pictures["boundary.png"] = png(self._draw_boundary(self._boundary, model))
        if self._confusion is not None:
            pictures["confusion.png"] = png(self._draw_confusion(self._confusion, model))
        return pictures

    def _draw_boundary(self, picture: SmallBoundary, model: EvaluatedModel) -> Figure:
        trained, threshold = model.trained, model.label_threshold
        accuracy = model.metrics["accuracy"]
        boundary = boundary_of(trained.network, self._split, trained.seed, accuracy, threshold, GRID)
        return picture.draw(boundary, *self._heading(model))

    def _draw_confusion(self, picture: SmallConfusion, model: EvaluatedModel) -> Figure:
        assert model.predictions is not None
        final = model.predictions[model.predictions["split"] == self._split.final]
        threshold = model.label_threshold
        predicted = predicted_labels(class_probabilities(final), threshold)
        classes = range(len(self._split.dataset.class_names))
        return picture.draw(confusion_matrix(final["label"], predicted, labels=classes), *self._heading(model))

    def _heading(self, model: EvaluatedModel) -> tuple[str, str]:
        """Name the run, and say how many of its final rows it labels right."""
        trained, part = model.trained, self._split.final
        resample = f"resample {trained.resample}, " if trained.resample else ""
        right = f"{percent(model.metrics['accuracy'])} of {len(self._split.rows(part)):,} {part} rows right"
        return f"{trained.dataset} · {trained.model}", f"{resample}seed {trained.seed}: {right}"


def png(figure: Figure) -> bytes:
    """Write a figure as PNG with a palette, which is packed faster and into less than full colours."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="rgba", dpi=DOTS_PER_INCH)
    width, height = (int(inches * DOTS_PER_INCH) for inches in figure.get_size_inches())
    image = Image.frombytes("RGBA", (width, height), drawn.getvalue()).convert("RGB")
    image.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(packed, "PNG")
    return packed.getvalue()
