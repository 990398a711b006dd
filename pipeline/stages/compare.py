"""Compare: the verdict on model runs of several comparisons, from their stored predictions; nothing is trained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts import Split
from pipeline.comparison.comparability import look_notes, rows_looked_at, short
from pipeline.comparison.intervals import Spread
from pipeline.comparison.outcome import Outcome, outcome_json
from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import Goal
from pipeline.comparison.verdict import Pair, Verdict, measure
from pipeline.errors import BadInput
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture, save
from pipeline.stages.reporting.verdict_pictures import draw_differences
from pipeline.stages.verdict import forest_frame, subject, verdict
from pipeline.whole_files import folder_set_aside


@dataclass(frozen=True, eq=False)
class Entry:
    """Model runs of one comparison: all that were finished, or those that were named."""

    run_id: str  # the comparison's
    models: tuple[str, ...]  # that have runs here, in the order of the file
    spec: CompareSpec
    metrics: Mapping[str, str]  # dataset → the metric shown first
    shared_tables: frozenset[str]
    goal: Goal  # of the threshold
    runs: pd.DataFrame  # of metrics.csv
    ledger: pd.DataFrame  # of predictions.parquet

    @property
    def baseline(self) -> str:
        """The experiment's baseline, or the first model where that has no runs here."""
        return self.spec.baseline if self.spec.baseline in self.models else self.models[0]


@dataclass(frozen=True, eq=False)
class CompareInput:
    """What is compared: entries in the order they were named, on datasets and resamples that all of them have."""

    run_ids: tuple[str, ...]  # as named
    entries: tuple[Entry, ...]
    splits: Mapping[str, Split]  # each dataset's first resample
    rows: Mapping[str, frozenset[str]]  # dataset → digests of its final rows, one a resample
    left_out: tuple[str, ...] = ()  # what only some have, in sentences

    @property
    def name(self) -> str:
        """Name of the folder of its report."""
        return "-".join(["compare", *(short(run_id) for run_id in self.run_ids)])

    @property
    def metrics(self) -> dict[str, str]:
        """Dataset → the metric shown first, as the first comparison has it."""
        return {name: self.entries[0].metrics[name] for name in self.splits}

    @cached_property
    def outcome(self) -> Outcome:
        """What the predictions say of the models.

        Raises
        ------
        BadInput
            When there is but one model.
        """
        first, named = self.entries[0], names(self.entries)
        spec = first.spec.model_copy(update={"baseline": named[first.run_id, first.baseline], "pairs": "baseline"})
        return verdict(
            self.splits,
            pd.concat([_renamed(entry, entry.runs, named) for entry in self.entries], ignore_index=True),
            self._ledger,
            list(named.values()),
            spec,
            metrics=self.metrics,
            shared_tables=first.shared_tables,
            pairs=pairs(self.entries),
            goal=first.goal,
        )

    @cached_property
    def _ledger(self) -> pd.DataFrame:
        """All predictions, by the names that models have here."""
        named = names(self.entries)
        return pd.concat([_renamed(entry, entry.ledger, named) for entry in self.entries], ignore_index=True)

    def spread(self, verdict: Verdict) -> Spread:
        """Return the spread of a verdict's difference, of which the verdict itself keeps the interval alone."""
        first = self.entries[0]
        shared = verdict.dataset in first.shared_tables
        about = subject(self.splits[verdict.dataset], verdict.metric, first.goal, shared=shared)
        _, measured = measure(self._ledger, about, (verdict.model, verdict.baseline))
        (one,) = (one for one in measured if one.metric == verdict.metric)
        return one.differences(np.array([0]), np.array([1]))[1].at(0)

    def against(self, model: str) -> CompareInput:
        """Return the same with a model of the first comparison as the baseline."""
        first, *others = self.entries
        spec = first.spec.model_copy(update={"baseline": model})
        return replace(self, entries=(replace(first, spec=spec), *others))

    def notes(self, looks: Mapping[str, int]) -> list[str]:
        """Say what is left out, whose settings count where they differ, and how often the rows were looked at."""
        return [*self.left_out, *_settings(self.entries), *look_notes(self.splits, looks)]


def names(entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
    """Name every comparison's models: those that several have get the comparison's id, `relu@1a2b3c4d`."""
    counts = _counts(entries)
    return {
        (entry.run_id, model): model if counts[model] == 1 else f"{model}@{short(entry.run_id)}"
        for entry in entries
        for model in entry.models
    }


def pairs(entries: Sequence[Entry]) -> list[Pair]:
    """Pair models of one name with the first of that name, and every other model with the first one's baseline.

    Raises
    ------
    BadInput
        When there is but one model.
    """
    named, counts, baseline = names(entries), _counts(entries), (entries[0].run_id, entries[0].baseline)
    origins: dict[str, str] = {}
    found = []
    for entry in entries:
        for model in entry.models:
            own, origin = (entry.run_id, model), origins.setdefault(model, entry.run_id)
            if origin != entry.run_id:
                found.append((named[own], named[origin, model]))
            elif own != baseline and (counts[model] == 1 or entry is not entries[0]):
                found.append((named[own], named[baseline]))
    if not found:
        raise BadInput(
            f"all runs are seeds of one model, {baseline[1]}",
            field="compare",
            remedy="name runs of two models, or of two comparisons",
        )
    return found


def _counts(entries: Sequence[Entry]) -> Counter[str]:
    """Count the comparisons that have a model of each name."""
    return Counter(model for entry in entries for model in entry.models)


def write(source: CompareInput, looks: Mapping[str, int], folder: Path) -> Path:
    """Write verdicts.json and the forest plots; returns the folder.

    Raises
    ------
    BadInput
        When runs can't be compared.
    DiskError
        When the folder can't be written; it is then left as it was.
    """
    verdicts = verdicts_json(source, looks)
    with folder_set_aside(folder) as aside:
        write_into(source, verdicts, aside)
    return folder


def write_into(source: CompareInput, verdicts: str, folder: Path) -> None:
    """Write verdicts.json, given as text, and the forest plots."""
    (folder / "verdicts.json").write_text(verdicts, encoding="utf-8")
    for picture in forests(source):
        save(picture.draw(), folder / f"{picture.name}.png")


def verdicts_json(source: CompareInput, looks: Mapping[str, int]) -> str:
    """Write the verdicts as JSON text.

    Raises
    ------
    BadInput
        When runs can't be compared.
    """
    plain = outcome_json(source.outcome, rows_looked_at(source.splits, looks))
    return json.dumps({"compared": source.run_ids, **plain}, indent=1, ensure_ascii=False) + "\n"


def forests(source: CompareInput) -> Iterator[Picture]:
    """Yield the differences with their intervals, one picture for each metric shown first."""
    for place, metric in enumerate(dict.fromkeys(source.metrics.values())):
        frame = with_one_baseline(forest_frame(source.outcome, metric))
        if len(frame):
            yield _forest(source, metric, f"forest_{metric}" if place else "forest", frame)


def _forest(source: CompareInput, metric: str, name: str, frame: pd.DataFrame) -> Picture:
    outcome = source.outcome
    return Picture(
        name,
        "forest",
        "",
        "Differences",
        f"{100 * (1 - outcome.spec.alpha):g} % intervals. Decisions are corrected for the number of pairs (Holm);"
        " intervals are not.",
        lambda: findings.differences(outcome, metric),
        lambda: frame,
        lambda: draw_differences(frame, metric, frame["baseline"].iloc[0], outcome.spec.alpha),
    )


def with_one_baseline(frame: pd.DataFrame) -> pd.DataFrame:
    """Give a frame of pairs one baseline, which is what a forest plot draws; pairs are then named in full."""
    if frame["baseline"].nunique() == 1:
        return frame
    named = [_pair(*pair) for pair in zip(frame["model"], frame["baseline"], strict=True)]
    return frame.assign(model=named, baseline="the other")


def _pair(model: str, baseline: str) -> str:
    """Name a pair, and the model's name that both have but once; no name of a model itself holds an @."""
    (name, _, run), (other, _, origin) = model.partition("@"), baseline.partition("@")
    return f"{name}: {run} − {origin}" if name == other else f"{model} − {baseline}"


def _renamed(entry: Entry, table: pd.DataFrame, named: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    return table.assign(model=[named[entry.run_id, model] for model in table["model"]])


def _settings(entries: Sequence[Entry]) -> Iterator[str]:
    first = entries[0]
    for entry in entries[1:]:
        for key in ("metric", "alpha", "equivalence"):
            ours, theirs = (getattr(one.spec, key) for one in (first, entry))
            if ours != theirs:
                yield f"compare.{key}: {ours} counts, as in {short(first.run_id)}; {short(entry.run_id)} has {theirs}."
