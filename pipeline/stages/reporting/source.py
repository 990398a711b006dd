"""What a report is made from: gathered after a run, or read back from the tracking store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import FittedEstimator, Network, Search, Snapshots, Split
from pipeline.comparison.outcome import Outcome
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.figures.boundaries import BayesRule, Boundary
from pipeline.planes import is_plane
from pipeline.stages.checks import Finding
from pipeline.stages.reporting.grids import bayes_rule_of, boundary_of
from pipeline.stages.verdict import verdict

DatasetModel = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Representative:
    """The model run that stands for a dataset × model in pictures of a single network: the median one of resample 0."""

    seed: int
    run_id: str
    network: Network | FittedEstimator
    snapshots: Snapshots | None = None  # of how it learned, where there is a plane to see it on


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
    experiment: str = ""  # the file with every default filled in, as YAML
    diff: str = ""  # changes that weren't committed
    findings: tuple[Finding, ...] = ()  # of checks of the data
    beside: tuple[str, ...] = ()  # models of the comparisons shown beside this one

    @property
    def coloured(self) -> tuple[str, ...]:
        """All models on one page: their place here gives each its colour, which is the same all over the page."""
        return tuple(dict.fromkeys((*self.beside, *self.models)))

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

    @cached_property
    def planes(self) -> dict[DatasetModel, Boundary]:
        """What the representatives' networks say over the plane, where classes lie in one."""
        return {key: self._plane(*key) for key in self.representatives if is_plane(self.splits[key[0]])}

    @cached_property
    def bayes_rules(self) -> dict[str, BayesRule]:
        """What the law of the data says over the plane, where it is known."""
        planes = [split for split in self.splits.values() if is_plane(split)]
        return {split.dataset.name: rule for split in planes if (rule := bayes_rule_of(split)) is not None}

    def _plane(self, dataset: str, model: str) -> Boundary:
        chosen = self.representatives[dataset, model]
        return boundary_of(chosen.network, self.splits[dataset], chosen.seed, *self.scored(chosen))

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

    def scored(self, chosen: Representative) -> tuple[float, float]:
        """Return a median run's accuracy on the final rows, and the threshold of its labels."""
        accuracy = float(self.runs.loc[self.runs["run_id"] == chosen.run_id, "accuracy"].iloc[0])
        return accuracy, self.threshold(chosen)

    def threshold(self, chosen: Representative) -> float:
        """Return the threshold of a median run's labels; NaN unless there are two classes."""
        return float(self.ledger.loc[self.ledger["run_id"] == chosen.run_id, "threshold"].iloc[0])

    def median_scores(self, datasets: Sequence[str]) -> pd.DataFrame:
        """Return how often each median run is right: dataset, model, seed, accuracy."""
        chosen = [one.run_id for (of, _), one in self.representatives.items() if of in datasets]
        runs = self.runs.set_index("run_id").loc[chosen]
        return runs[["dataset", "model", "seed", "accuracy"]].reset_index(drop=True)

    @property
    def drawable(self) -> list[str]:
        """Datasets on which at least one network was trained to its end."""
        return [name for name in self.splits if self.seeds(name)]


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
