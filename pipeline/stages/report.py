"""Report: tables, pictures and a page, from the ledger, the history and the networks; nothing is trained here."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.artifacts import Network, Search, Split
from pipeline.comparison.agreement import Agreement
from pipeline.comparison.comparability import look_notes, looks_words, rows_looked_at
from pipeline.comparison.outcome import Outcome, outcome_json
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import HALF, Goal
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
from pipeline.labels import predicted_labels, threshold_text
from pipeline.stages.ledger import trials_frame
from pipeline.stages.report_verdict import (
    agreement_rows,
    ceiling_lines,
    conclusions,
    sentences,
    standing_rows,
    verdict_rows,
)
from pipeline.stages.verdict import forest_frame, known_truth, noise_frame, verdict
from pipeline.training.networks import predict_logits, probabilities
from pipeline.units import metric_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DatasetModel = tuple[str, str]

DOTS_PER_INCH = 110
MOST_MAPS = 4  # of disagreement; a table has the other pairs
# Blue and orange tints meet in broad, smooth areas; PNG packs them better with the slower filter search.
PNG_OPTIONS = {"optimize": True}


@dataclass(frozen=True, eq=False)
class Representative:
    """The model run that stands for a dataset × model in pictures of a single network: the median one of resample 0."""

    seed: int
    run_id: str
    network: Network


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything a report shows; gathered after a run, or read back from the tracking store.

    Tables of scores are over all seeds and resamples; pictures are of resample 0, which `splits` are too. The
    resamples of `shared_tables` are splits of one table, those of other datasets have data of their own.
    """

    run_id: str
    name: str
    question: str
    models: tuple[str, ...]
    metrics: Mapping[str, str]  # dataset → the metric shown first
    splits: Mapping[str, Split]
    runs: pd.DataFrame  # metrics.csv
    ledger: pd.DataFrame  # predictions.parquet
    history: pd.DataFrame  # history.parquet
    representatives: Mapping[DatasetModel, Representative]
    provenance: Mapping[str, Any]
    searches: tuple[Search, ...] = ()
    spec: CompareSpec = field(default_factory=CompareSpec)
    resamples: int = 1
    shared_tables: frozenset[str] = frozenset()
    goal: Goal = HALF  # of the threshold
    looks: Mapping[str, int] = field(default_factory=dict)  # dataset → looks at its final rows in the store

    def of(self, dataset: str, table: pd.DataFrame) -> pd.DataFrame:
        """Return one dataset's rows of a table, those of resample 0: what a picture shows."""
        return table[(table["dataset"] == dataset) & (table["resample"] == 0)]

    @cached_property
    def outcome(self) -> Outcome:
        """What the predictions say of the models."""
        return verdict(
            self.splits,
            self.runs,
            self.ledger,
            self.models,
            self.spec,
            metrics=self.metrics,
            shared_tables=self.shared_tables,
            goal=self.goal,
        )

    @property
    def replicates(self) -> str:
        """What means and standard deviations are over."""
        return "seeds" if self.resamples == 1 else f"seeds and {self.resamples} resamples"

    def seeds(self, dataset: str) -> dict[str, int]:
        """Return each model's representative seed on one dataset."""
        return {model: chosen.seed for (of, model), chosen in self.representatives.items() if of == dataset}

    def intervals(self, dataset: str) -> dict[str, tuple[float, float]]:
        """Return the interval of each representative's threshold on one dataset."""
        runs = self.of(dataset, self.runs).set_index("run_id")
        ends = runs[["threshold_low", "threshold_high"]].to_numpy(dtype=np.float64)
        by_run = {str(run_id): (float(low), float(high)) for run_id, (low, high) in zip(runs.index, ends, strict=True)}
        return {model: by_run[one.run_id] for (of, model), one in self.representatives.items() if of == dataset}

    @property
    def drawable(self) -> list[str]:
        """Datasets on which at least one network was trained to its end."""
        return [name for name in self.splits if self.seeds(name)]


@dataclass(frozen=True)
class Picture:
    """One figure to draw, with the words around it."""

    file: str
    title: str
    caption: str
    draw: Callable[[], Figure]


def median_runs(runs: pd.DataFrame, metrics: Mapping[str, str]) -> dict[DatasetModel, tuple[int, str]]:
    """Seed and run id of the median run of each dataset × model in resample 0, by the metric shown first.

    Of an even number the lower of the two in the middle is taken; equal values are ordered by seed.
    """
    chosen = {}
    usable = runs[(runs["status"] == "FINISHED") & (runs["resample"] == 0)]
    for (dataset, model), group in usable.groupby(["dataset", "model"], sort=False):
        ordered = group.sort_values([metrics[str(dataset)], "seed"])
        median = ordered.iloc[(len(ordered) - 1) // 2]
        chosen[str(dataset), str(model)] = (int(median["seed"]), str(median["run_id"]))
    return chosen


def report(source: ReportInput, folder: Path, advance: Callable[[float], None] = lambda _: None) -> Path:
    """Write a report's folder: tables, pictures, and a page that holds them all.

    Parameters
    ----------
    source:
        What to report.
    folder:
        Made when it isn't there; pictures of an earlier report in it are removed.
    advance:
        Told of each picture that is done.

    Returns
    -------
    Path
        The folder, with `index.html`, `metrics.csv`, `predictions.parquet`, `history.parquet`, `verdicts.json` and
        `figures/*.png`.
    """
    figures = folder / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)
    source.runs.to_csv(folder / "metrics.csv", index=False)
    source.ledger.to_parquet(folder / "predictions.parquet", index=False)
    source.history.to_parquet(folder / "history.parquet", index=False)
    (folder / "verdicts.json").write_text(verdicts_json(source), encoding="utf-8")
    if source.searches:
        trials_frame(source.searches).to_csv(folder / "trials.csv", index=False)
    for picture in all_pictures(source):
        picture.draw().savefig(figures / picture.file, dpi=DOTS_PER_INCH, pil_kwargs=PNG_OPTIONS)
        advance(1)
    (folder / "index.html").write_text(render(source, figures), encoding="utf-8")
    return folder


def verdicts_json(source: ReportInput) -> str:
    """Write the verdicts as JSON text; reports/README.md documents it."""
    named = {"experiment": source.name, "run_id": source.run_id, "threshold": source.goal.rule}
    plain = outcome_json(source.outcome, rows_looked_at(source.splits, source.looks))
    return json.dumps({**named, **plain}, indent=1, ensure_ascii=False) + "\n"


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
        lambda: forest.draw_forest(
            frame,
            metric=metric,
            baseline=baseline,
            equivalence=dict(zip(frame["dataset"], frame["margin"], strict=True)),
            confidence=1 - spec.alpha,
        ),
    )


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
    planes = [name for name in source.drawable if _is_plane(source.splits[name])]
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
    if _is_plane(split):
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
    known = known_truth(split)
    if known is None or _labelled(source, name):
        return None
    x, y = boundaries.grid(split.dataset.features)
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    return BayesRule(x, y, known.law.posterior(plane.reshape(-1, 2)).reshape(len(y), len(x), -1))


def _disagreement(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield the maps of where pairs of models differ, where there is a plane; at most four of them can be read."""
    usable = source.seeds(name)
    pairs = [
        one
        for one in source.outcome.agreements
        if one.dataset == name and one.model in usable and one.baseline in usable
    ]
    if pairs and _is_plane(source.splits[name]):
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
    own = rows[(rows["run_id"] == run_id) & (rows["split"] == split.final)].set_index("row_id")
    own = own.loc[split.rows(split.final)]
    columns = [f"p_{label}" for label in range(len(split.dataset.class_names))]
    labels = predicted_labels(own[columns].to_numpy(np.float64), float(own["threshold"].fillna(0.5).iloc[0]))
    right: npt.NDArray[np.bool_] = labels == own["label"].to_numpy()
    return right


def _is_plane(split: Split) -> bool:
    return split.dataset.task != "regression" and split.dataset.n_features == 2


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


def render(source: ReportInput, figures: Path) -> str:
    """Return the page: one file that needs nothing beside it; what comes from data is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = lambda file: _inline(figures / file)
    return environment.get_template("report.html").render(
        source=source,
        metric_name=metric_name,
        verdict=_verdict_section(source),
        scores=score_table(source),
        headline=headline(source),
        sections=[_section(source, name) for name in source.splits],
        notes=[
            *notes(source.splits, source.runs, source.goal),
            *resample_notes(source.searches, source.shared_tables, source.resamples),
            *look_notes(source.splits, source.looks),
        ],
        tuned={name: tuned_table(source.searches, name) for name in source.splits},
    )


def _verdict_section(source: ReportInput) -> dict[str, Any]:
    """Gather what the page says first."""
    return {
        "sentences": sentences(source.outcome),
        "conclusions": conclusions(source.outcome),
        "rows": verdict_rows(source.outcome.primary()),
        "pictures": verdict_pictures(source),
    }


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
    """Mean ± standard deviation of one metric over a dataset × model's runs, and how many of them diverged."""
    finished = runs[runs["status"] == "FINISHED"]
    if finished.empty:
        return "all diverged"
    values = finished[metric]
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    diverged = len(runs) - len(finished)
    return f"{values.mean():.3f}{spread}" + (f" ({diverged} of {len(runs)} diverged)" if diverged else "")


def tuned_table(searches: Sequence[Search], dataset: str) -> dict[str, Any]:
    """Best hyperparameters of each model on one dataset: `columns`, `rows` of a model and its values, and `notes`."""
    found = [search for search in searches if search.dataset == dataset]
    keys = list(dict.fromkeys(key for search in found for key in search.space))
    rows = [
        (
            search.model,
            [
                f"{search.best.value:.4g}",
                f"{search.best.number}",
                *(short(search.best.params[key]) if key in search.best.params else "as given" for key in keys),
            ],
        )
        for search in found
    ]
    objective = found[0].objective.replace("/", " ").replace("_", " ") if found else ""
    return {"columns": [objective, "trial", *keys], "rows": rows, "notes": edge_notes(found)}


def short(value: object) -> str:
    """Write a hyperparameter as briefly as one would say it."""
    return f"{value:.3g}" if isinstance(value, float) else "null" if value is None else str(value)


def edge_notes(searches: Sequence[Search]) -> list[str]:
    """Name each bound at which best values lie, with the searches it concerns."""
    concerned: dict[str, list[Search]] = {}
    for search in searches:
        for edge in search.edges:
            concerned.setdefault(edge, []).append(search)
    lines = []
    for edge, found in concerned.items():
        key, end = edge.split()
        bounds = ", ".join(short(bound) for bound in found[0].space[key][:2])
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
    if runs is not None:
        if not goal.is_default:
            lines.extend(line for split in splits.values() for line in threshold_notes(split, runs, goal))
        several = bool(runs["resample"].any())
        lines.extend(
            f"{run.dataset}: {run.model} with seed {run.seed}{f' in resample {run.resample}' if several else ''}"
            f" diverged and is left out: {run.failure}."
            for run in runs[runs["status"] == "FAILED"].itertuples()
        )
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


def _section(source: ReportInput, name: str) -> dict[str, Any]:
    split = source.splits[name]
    return {
        "name": name,
        "split": split,
        "sizes": {part: len(split.rows(part)) for part in ("train", "validation", "test")},
        "pictures": dataset_pictures(source, name) if source.seeds(name) else [],
        "metrics": _metric_table(source, name),
        "classes": _class_table(source, name),
        "plane": _is_plane(split),
        "looks": looks_words(split.final, source.looks[name]) if name in source.looks else "",
        **_judged(source, name),
    }


def _judged(source: ReportInput, name: str) -> dict[str, Any]:
    """Gather what the verdict says of one dataset."""
    outcome = source.outcome
    return {
        "verdicts": verdict_rows([one for one in outcome.verdicts if one.dataset == name]),
        "standings": [row for one in outcome.recommendations if one.dataset == name for row in standing_rows(one)],
        "ceiling": [line for one in outcome.ceilings if one.dataset == name for line in ceiling_lines(one)],
        "agreement": agreement_rows(outcome, name),
    }


def _metric_table(source: ReportInput, name: str) -> dict[str, Any]:
    """Every final metric, mean ± standard deviation over runs."""
    regression_target = source.splits[name].dataset.task == "regression"
    columns = (
        ("mae", "rmse", "r2") if regression_target else ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss")
    )
    rows = [(model, [cell(runs_of(source.runs, name, model), column) for column in columns]) for model in source.models]
    return {"columns": [metric_name(column) for column in columns], "rows": rows}


def _class_table(source: ReportInput, name: str) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support by class, mean ± standard deviation over runs."""
    dataset = source.splits[name].dataset
    if dataset.task == "regression" or not source.seeds(name):
        return []
    ledger, part = source.ledger[source.ledger["dataset"] == name], source.splits[name].final
    frame = pd.concat(
        classes.class_frame(resample, dataset.class_names, part) for _, resample in ledger.groupby("resample")
    )
    grouped = frame.groupby(["model", "class"], sort=False)
    rows: list[dict[str, Any]] = []
    for (model, class_name), group in grouped:
        scores = {score: _mean_and_spread(group[score]) for score in ("precision", "recall", "f1")}
        rows.append({"model": model, "class": class_name, **scores, "support": _range(group["support"])})
    return rows


def _mean_and_spread(values: pd.Series[float]) -> str:
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def _range(values: pd.Series[int]) -> str:
    return f"{values.min()}" if values.min() == values.max() else f"{values.min()} to {values.max()}"


def _inline(file: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
