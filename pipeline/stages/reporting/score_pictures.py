"""Pictures of scores on one dataset: confusion, classes, ROC, thresholds, the fit of a regression, curves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from pipeline.figures import calibration, classes, confusion, curves, regression, roc, thresholds
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture, labelled
from pipeline.stages.reporting.source import ReportInput


def curve_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield the learning curves, where there is a network to have them, and not diverged at once."""
    monitored, history = source.splits[name].monitored, source.of(name, source.history)
    if not np.isfinite(history["train_loss"]).any():
        return
    yield Picture(
        f"{name}_curves",
        "curves",
        name,
        "Learning curves",
        f"Median and middle 80 % over seeds. Train values are taken on the way, before each update;"
        f" {monitored} values after it.",
        lambda: findings.curves(source, name),
        lambda: curves.curve_frame(history),
        lambda: curves.draw_curves(history, source.coloured, monitored),
    )


def class_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield what is said of labels: the confusion matrices, and precision, recall and F1 by class."""
    split, models, words = source.splits[name], source.models, labelled(source, name)
    part, class_names, ledger = split.final, split.dataset.class_names, source.of(name, source.ledger)
    counted = cache(lambda: confusion.confusion_frame(ledger, class_names, part))
    yield Picture(
        f"{name}_confusion",
        "confusion",
        name,
        "Confusion matrices",
        f"The median seed's predictions on {part} rows: counts, and shares of each true class.{words}",
        lambda: findings.confusion(counted(), source.seeds(name)),
        counted,
        lambda: confusion.draw_confusion(counted(), models, class_names, seeds=source.seeds(name), part=part),
    )
    scored = cache(lambda: classes.class_frame(ledger, class_names, part))
    yield Picture(
        f"{name}_classes",
        "classes",
        name,
        "Precision, recall and F1 by class",
        f"Mean over seeds on {part} rows; whiskers reach from the lowest seed to the highest.{words}",
        lambda: findings.classes(scored()),
        scored,
        lambda: classes.draw_classes(scored(), models, part=part),
    )


def threshold_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield what is said of probabilities: ROC, and scores against the threshold."""
    split, models, words = source.splits[name], source.models, labelled(source, name)
    part, class_names, ledger = split.final, split.dataset.class_names, source.of(name, source.ledger)
    of_class = f"for class {class_names[1]}" if split.dataset.task == "binary" else "of each class against the rest"
    traced = cache(lambda: roc.roc_frame(ledger, class_names, part))
    yield Picture(
        f"{name}_roc",
        "roc",
        name,
        "ROC",
        f"ROC {of_class} on {part} rows; dots mark thresholds along the median seed's curve"
        f"{', the ring that of its labels' if words else ''}.{words}",
        lambda: findings.means(source, name, "roc_auc", "mean area under the curve"),
        traced,
        lambda: roc.draw_roc(traced(), models, class_names, seeds=source.seeds(name), part=part),
    )
    bought = cache(lambda: thresholds.threshold_frame(ledger, class_names, part))
    yield Picture(
        f"{name}_thresholds",
        "thresholds",
        name,
        "Scores against the threshold",
        f"What a threshold on the probability {of_class} buys on {part} rows"
        f"{', the dashed line that of the labels' if words else ''}.{words}",
        lambda: findings.means(source, name, "f1", "mean F1 as labelled"),
        bought,
        lambda: thresholds.draw_thresholds(
            bought(),
            models,
            class_names,
            seeds=source.seeds(name),
            intervals=source.intervals(name),
            part=part,
        ),
    )


def calibration_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield whether probabilities come true."""
    split = source.splits[name]
    part, class_names, ledger = split.final, split.dataset.class_names, source.of(name, source.ledger)
    two = split.dataset.task == "binary"
    claim = f"The probability for class {class_names[1]}" if two else "The probability of the predicted class"
    binned = cache(lambda: calibration.calibration_frame(ledger, class_names, part))
    yield Picture(
        f"{name}_calibration",
        "calibration",
        name,
        "Calibration",
        f"{claim} against how often it came true on {part} rows; on the diagonal, what is called 70 % likely happens in"
        " 70 % of the cases.",
        lambda: findings.calibration(binned()),
        binned,
        lambda: calibration.draw_calibration(binned(), source.models, class_names, seeds=source.seeds(name), part=part),
    )


def regression_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield what the median seeds predict of a real target."""
    split, ledger = source.splits[name], source.of(name, source.ledger)
    yield Picture(
        f"{name}_fit",
        "fit",
        name,
        "Predictions",
        f"The median seed's predictions; its errors are those of the {split.final} rows.",
        lambda: findings.means(source, name, "mae", "mean absolute error"),
        lambda: regression.prediction_frame(regression.fit_frame(split), ledger, source.models, source.seeds(name)),
        lambda: regression.draw_fit(
            regression.fit_frame(split),
            ledger,
            source.models,
            seeds=source.seeds(name),
            part=split.final,
            feature_name=split.dataset.feature_names[0],
        ),
    )
