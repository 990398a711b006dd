"""Which pictures a report has, with the words around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.artifacts import Split
from pipeline.comparison.agreement import Agreement
from pipeline.comparison.ceilings import law_of
from pipeline.figures import (
    boundaries,
    classes,
    confusion,
    curves,
    disagreement,
    forest,
    noise,
    ranks,
    regression,
    roc,
    thresholds,
    tuning,
)
from pipeline.figures.boundaries import BayesRule, Boundary
from pipeline.figures.disagreement import Disagreement
from pipeline.figures.ledger import members
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.verdict import forest_frame, noise_frame
from pipeline.training.networks import predict_logits, probabilities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
MOST_MAPS = 4  # of disagreement; a table has the other pairs
# Blue and orange tints meet in broad, smooth areas; PNG packs them better with the slower filter search.
PNG_OPTIONS = {"optimize": True}


@dataclass(frozen=True)
class Picture:
    """One figure to draw, with the words around it."""

    file: str
    title: str
    caption: str
    draw: Callable[[], Figure]


def save(figure: Figure, file: Path) -> None:
    """Write a figure as PNG, as all of a report are written."""
    figure.savefig(file, dpi=DOTS_PER_INCH, pil_kwargs=PNG_OPTIONS)


def all_pictures(source: ReportInput) -> list[Picture]:
    """Every picture of a report: verdicts first, then the headline, then dataset by dataset."""
    first = [*verdict_pictures(source), *headline(source)]
    return [*first, *(picture for name in source.drawable for picture in dataset_pictures(source, name))]


def verdict_pictures(source: ReportInput) -> list[Picture]:
    """Return differences with their intervals and the noise, each for every metric shown first, and the mean ranks."""
    pictures: list[Picture] = []
    for metric in dict.fromkeys(source.metrics.values()):
        suffix = "" if metric == next(iter(source.metrics.values())) else f"_{metric}"
        pictures += [*_forest(source, metric, f"forest{suffix}.png"), *_noise(source, metric, f"noise{suffix}.png")]
    return [*pictures, *_ranks(source)]


def _forest(source: ReportInput, metric: str, file: str) -> Iterator[Picture]:
    frame, spec, baseline = forest_frame(source.outcome, metric), source.spec, source.outcome.baseline
    if not (frame["baseline"] == baseline).any():
        return
    yield Picture(
        file,
        "Differences",
        f"{100 * (1 - spec.alpha):g} % intervals that account for {_accounted(source)}. Decisions are corrected for the"
        " number of pairs (Holm); intervals are not.",
        lambda: draw_differences(frame, metric, baseline, spec.alpha),
    )


def draw_differences(frame: pd.DataFrame, metric: str, baseline: str, alpha: float) -> Figure:
    """Draw a `forest_frame`, each dataset with its own margin of what wouldn't matter."""
    margins = dict(zip(frame["dataset"], frame["margin"], strict=True))
    return forest.draw_forest(frame, metric=metric, baseline=baseline, equivalence=margins, confidence=1 - alpha)


def _accounted(source: ReportInput) -> str:
    if source.resamples > 1:
        return "the split, the seeds and the choice of test rows"
    one = min((min(verdict.seeds) for verdict in source.outcome.primary()), default=1) < 2
    return "the choice of test rows, not for the luck of the one seed" if one else "seeds and the choice of test rows"


def _noise(source: ReportInput, metric: str, file: str) -> Iterator[Picture]:
    frame = noise_frame(source.outcome, source.metrics, metric)
    if frame["deviation"].notna().any():
        yield Picture(
            file,
            "Noise",
            "How much a score would move (one standard deviation) if only the seed, only the test rows, or only the"
            " split were drawn anew.",
            lambda: noise.draw_noise(frame, metric=metric),
        )


def _ranks(source: ReportInput) -> Iterator[Picture]:
    ranking = source.outcome.ranking
    if ranking is not None and len(ranking.models) > 2:
        yield Picture(
            "ranks.png",
            "Mean ranks",
            ranking.sentence,
            lambda: ranks.draw_ranks(
                pd.Series(ranking.mean_ranks, index=list(ranking.models)),
                ranking.critical_difference,
                datasets=ranking.datasets,
                groups=[list(group) for group in ranking.groups],
            ),
        )


def headline(source: ReportInput) -> list[Picture]:
    """Return the matrix of boundaries, datasets down and models across; none when no dataset lies in the plane."""
    planes = [name for name in source.drawable if is_plane(source.splits[name])]
    if not planes:
        return []

    def draw() -> Figure:
        panels = {
            name: ({model: _boundary(source, name, model) for model in source.models}, _points(source, name))
            for name in planes
        }
        truths = {name: rule for name in planes if (rule := _bayes_rule(source, name)) is not None}
        return boundaries.draw_headline(panels, part=source.splits[planes[0]].final, truths=truths)

    caption = "Each panel is the network of the median seed, evaluated on a grid in the data's own units."
    caption += max(_labelled(source, name) for name in planes)  # the same of all datasets with two classes
    return _naming_resample(source, [Picture("headline.png", "Boundaries", caption, draw)])


def dataset_pictures(source: ReportInput, name: str) -> list[Picture]:
    """Every picture of one dataset."""
    make = _regression_pictures if source.splits[name].dataset.task == "regression" else _class_pictures
    return _naming_resample(source, [*make(source, name), _curves(source, name), *_tuning(source, name)])


def _naming_resample(source: ReportInput, pictures: list[Picture]) -> list[Picture]:
    """Say in each caption which resample the picture is of, where there are several."""
    if source.resamples == 1:
        return pictures
    of = f" Resample 0 of {source.resamples}."
    return [replace(picture, caption=picture.caption + of) for picture in pictures]


def _class_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    split, models, seeds = source.splits[name], source.models, source.seeds(name)
    part, class_names = split.final, split.dataset.class_names
    labelled = _labelled(source, name)
    ledger = source.of(name, source.ledger)
    if is_plane(split):
        yield Picture(
            f"{name}_boundaries.png",
            "Decision boundaries",
            f"The median seed's network on a grid, in original units; the line is where the predicted class changes."
            f" Small dots are train rows, outlined ones {part} rows.{labelled}",
            partial(_draw_boundaries, source, name),
        )
        yield from _disagreement(source, name)
    yield Picture(
        f"{name}_confusion.png",
        "Confusion matrices",
        f"The median seed's predictions on {part} rows: counts, and shares of each true class.{labelled}",
        lambda: confusion.draw_confusion(
            confusion.confusion_frame(ledger, class_names, part), models, class_names, seeds=seeds, part=part
        ),
    )
    yield Picture(
        f"{name}_classes.png",
        "Precision, recall and F1 by class",
        f"Mean over seeds on {part} rows; whiskers reach from the lowest seed to the highest.{labelled}",
        lambda: classes.draw_classes(classes.class_frame(ledger, class_names, part), models, part=part),
    )
    of_class = f"for class {class_names[1]}" if split.dataset.task == "binary" else "of each class against the rest"
    yield Picture(
        f"{name}_roc.png",
        "ROC",
        f"ROC {of_class} on {part} rows; dots mark thresholds along the median seed's curve"
        f"{', the ring that of its labels' if labelled else ''}.{labelled}",
        lambda: roc.draw_roc(roc.roc_frame(ledger, class_names, part), models, class_names, seeds=seeds, part=part),
    )
    yield Picture(
        f"{name}_thresholds.png",
        "Scores against the threshold",
        f"What a threshold on the probability {of_class} buys on {part} rows"
        f"{', the dashed line that of the labels' if labelled else ''}.{labelled}",
        lambda: thresholds.draw_thresholds(
            thresholds.threshold_frame(ledger, class_names, part),
            models,
            class_names,
            seeds=seeds,
            intervals=source.intervals(name),
            part=part,
        ),
    )


def _labelled(source: ReportInput, name: str) -> str:
    """Say under a picture how labels are made, where it isn't as everybody expects."""
    if source.splits[name].dataset.task != "binary" or source.goal.is_default:
        return ""
    if source.goal.is_fixed:
        return f" Labels are made at the threshold {source.goal.rule}."
    return f" Each run has its own threshold for labels, chosen on validation rows for {source.goal.rule}."


def _regression_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    split = source.splits[name]
    yield Picture(
        f"{name}_fit.png",
        "Predictions",
        f"The median seed's predictions; its errors are those of the {split.final} rows.",
        lambda: regression.draw_fit(
            regression.fit_frame(split),
            source.of(name, source.ledger),
            source.models,
            seeds=source.seeds(name),
            part=split.final,
            feature_name=split.dataset.feature_names[0],
        ),
    )


def _curves(source: ReportInput, name: str) -> Picture:
    monitored = source.splits[name].monitored
    return Picture(
        f"{name}_curves.png",
        "Learning curves",
        f"Median and middle 80 % over seeds. Train values are taken on the way, before each update;"
        f" {monitored} values after it.",
        lambda: curves.draw_curves(source.of(name, source.history), source.models, monitored),
    )


def _tuning(source: ReportInput, name: str) -> list[Picture]:
    searches = [search for search in source.searches if search.dataset == name]
    if not searches:
        return []
    return [
        Picture(
            f"{name}_tuning.png",
            "Tuning",
            "Expected best value on validation rows for a budget of trials, and of seconds; how much each"
            " hyperparameter matters for being among the best trials; and where the best trial lies in the space.",
            partial(tuning.draw_tuning, searches, source.models),
        )
    ]


def _draw_boundaries(source: ReportInput, name: str) -> Figure:
    dataset = source.splits[name].dataset
    return boundaries.draw_boundaries(
        name,
        {model: _boundary(source, name, model) for model in source.models},
        _points(source, name),
        feature_names=dataset.feature_names,
        class_names=dataset.class_names,
        part=source.splits[name].final,
        truth=_bayes_rule(source, name),
    )


def _bayes_rule(source: ReportInput, name: str) -> BayesRule | None:
    """Return what the law of the data says over the plane; None where it isn't known.

    Nor where thresholds are chosen for another goal than being right most often, which is all that the rule is for.
    """
    split = source.splits[name]
    law = law_of(split.dataset.recipe)
    if law is None or _labelled(source, name):
        return None
    x, y = boundaries.grid(split.dataset.features)
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    return BayesRule(x, y, law.posterior(plane.reshape(-1, 2)).reshape(len(y), len(x), -1))


def _disagreement(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield the maps of where pairs of models differ, where there is a plane; at most four of them can be read."""
    usable = source.seeds(name)
    pairs = [
        one
        for one in source.outcome.agreements
        if one.dataset == name and one.model in usable and one.baseline in usable
    ]
    if pairs and is_plane(source.splits[name]):
        yield Picture(
            f"{name}_disagreement.png",
            "Where they disagree",
            "The plane is tinted where the median seeds' networks predict different classes; rows that only one of them"
            " predicts right have its colour. The shares are over all seeds.",
            lambda: disagreement.draw_disagreement(
                name,
                [_map(source, name, pair) for pair in pairs[:MOST_MAPS]],
                source.models,
                feature_names=source.splits[name].dataset.feature_names,
                part=source.splits[name].final,
            ),
        )


def _map(source: ReportInput, name: str, pair: Agreement) -> Disagreement:
    split = source.splits[name]
    first, second = (_boundary(source, name, model) for model in (pair.model, pair.baseline))
    assert first is not None  # both have representatives
    assert second is not None
    rule = _bayes_rule(source, name)
    rows = source.of(name, source.ledger)
    right = {
        side: _right(rows, source.representatives[name, model].run_id, split)
        for side, model in (("right_a", pair.model), ("right_b", pair.baseline))
    }
    x, y = split.dataset.features[split.rows(split.final)].T
    shares = (pair.only_model, pair.only_baseline, pair.both_right, pair.both_wrong)
    return Disagreement(
        pair.model,
        pair.baseline,
        first.x,
        first.y,
        first.labels,
        second.labels,
        None if rule is None else rule.posterior.argmax(axis=-1),
        pd.DataFrame({"x": x, "y": y, **right}),
        dict(zip(disagreement.OUTCOMES, shares, strict=True)),
    )


def _right(rows: pd.DataFrame, run_id: str, split: Split) -> npt.NDArray[np.bool_]:
    """Whether a run labels each final row right, in the split's order."""
    own = rows[(rows["run_id"] == run_id) & (rows["split"] == split.final)]
    (member,) = members(own, len(split.dataset.class_names), split.final)
    by_row = pd.Series(member.predicted == member.labels, index=own["row_id"])
    right: npt.NDArray[np.bool_] = by_row.reindex(split.rows(split.final)).to_numpy()
    return right


def _points(source: ReportInput, name: str) -> pd.DataFrame:
    return boundaries.points_frame(source.splits[name])


def _boundary(source: ReportInput, name: str, model: str) -> Boundary | None:
    """Evaluate the representative network itself on a grid in original units; None when all seeds diverged."""
    chosen = source.representatives.get((name, model))
    if chosen is None:
        return None
    split = source.splits[name]
    x, y = boundaries.grid(split.dataset.features)
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    logits = predict_logits(chosen.network, split.scale_features(plane.reshape(-1, 2)))
    table = probabilities(logits, split.dataset.task)
    accuracy = float(source.runs.loc[source.runs["run_id"] == chosen.run_id, "accuracy"].iloc[0])
    threshold = float(source.ledger.loc[source.ledger["run_id"] == chosen.run_id, "threshold"].iloc[0])
    return Boundary(x, y, table.reshape(len(y), len(x), -1), chosen.seed, accuracy, threshold)


def is_plane(split: Split) -> bool:
    """Whether a dataset's classes can be drawn over its two features."""
    return split.dataset.task != "regression" and split.dataset.n_features == 2
