"""What thresholds get right and wrong on the final rows: the counts of each model's median run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import Floats, Integers
from pipeline.figures.ledger import Member, members
from pipeline.labels import predicted_labels
from pipeline.stages.reporting.source import ReportInput

STEPS = 200
THRESHOLDS: Floats = np.arange(STEPS + 1) / STEPS  # by division, which gives the numbers that a slider gives


@dataclass(frozen=True, eq=False)
class OperatingPoints:
    """One model run's counts at each of THRESHOLDS and, last of all, at its own threshold.

    A row is positive where its probability of class 1 is above the threshold.
    """

    model: str
    seed: int
    threshold: float  # its own
    truth: Integers  # (rows,), 1 for the rows of class 1; of either class there is one at least
    scores: Floats  # (rows,), probability of class 1
    true_positives: Integers  # (thresholds + 1,)
    false_positives: Integers  # (thresholds + 1,)

    @property
    def positives(self) -> int:
        """Rows of class 1."""
        return int(self.truth.sum())

    @property
    def negatives(self) -> int:
        """Rows of class 0."""
        return len(self.truth) - self.positives

    @property
    def precision(self) -> Floats:
        """Share of the positive that are of class 1, (thresholds + 1,); 0 where nothing is positive."""
        share: Floats = self.true_positives / np.maximum(self.true_positives + self.false_positives, 1)
        return share

    @property
    def recall(self) -> Floats:
        """Share of class 1 that is positive, (thresholds + 1,)."""
        share: Floats = self.true_positives / self.positives
        return share

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall, (thresholds + 1,); 0 where nothing is positive."""
        mean: Floats = 2 * self.true_positives / (self.true_positives + self.false_positives + self.positives)
        return mean

    @property
    def accuracy(self) -> Floats:
        """Share of rows that are labelled right, (thresholds + 1,)."""
        share: Floats = (self.true_positives + self.negatives - self.false_positives) / len(self.truth)
        return share


def operating_points(source: ReportInput, name: str) -> list[OperatingPoints]:
    """Count what each model's median run on a dataset gets right and wrong, model by model; none but of two classes."""
    split = source.splits[name]
    if split.dataset.task != "binary" or not source.seeds(name):
        return []
    shown = {source.representatives[name, model].run_id for model in source.seeds(name)}
    rows = source.ledger[source.ledger["run_id"].isin(shown)]
    by_model = {member.model: member for member in members(rows, 2, split.final)}
    return [_counted(by_model[model]) for model in source.models if model in by_model]


def _counted(member: Member) -> OperatingPoints:
    thresholds = (*THRESHOLDS, member.threshold)
    found = (
        np.bincount(member.labels[predicted_labels(member.probabilities, value) == 1], minlength=2)
        for value in thresholds
    )
    false_positives, true_positives = np.stack(list(found), axis=1)
    return OperatingPoints(
        member.model,
        member.seed,
        member.threshold,
        member.labels,
        member.probabilities[:, 1],
        true_positives,
        false_positives,
    )
