"""The runs that `compare` names: found in the store, held against one another, and read back."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.artifacts import Split
from pipeline.comparison.comparability import check, differences, may_be_run_id
from pipeline.errors import BadInput, StoreError
from pipeline.experiment_file import check as check_experiment
from pipeline.experiment_file import from_yaml, read_yaml
from pipeline.stages.compare import CompareInput, Entry
from pipeline.stages.reporting.source import ReportInput
from pipeline.stages.side_by_side import SideBySide
from pipeline.tracking import records
from pipeline.tracking.files import load_split
from pipeline.tracking.reader import UNREADABLE, artifacts, check_terms, model_runs, read_comparison, terms_of
from pipeline.tracking.store import address, all_runs, connect, one_line

Cell = tuple[str, int]  # dataset and resample

AGAIN = "run its experiment again"


@dataclass(frozen=True, eq=False)
class _Chosen:
    """What was chosen by naming a comparison, or single runs of one of its models."""

    parent: Run
    runs: list[Run]
    whole: bool  # whether the comparison was named, and so its failed runs with it

    @property
    def cells(self) -> set[Cell]:
        return {_cell(run) for run in self.runs}

    def of(self, dataset: str) -> list[Run]:
        return [run for run in self.runs if run.data.params["dataset"] == dataset]


def read_compared(given: Sequence[str]) -> CompareInput:
    """Find comparisons and model runs by their ids, refuse what can't be compared, and read the rest back.

    Parameters
    ----------
    given:
        Run ids, or their beginnings of at least 8 digits.

    Raises
    ------
    BadInput
        When an id isn't that of a finished comparison or model run, fewer than two different ones are given, they have
        no dataset in common, or their numbers don't rest on the same data, rows, metrics and threshold rule.
    """
    _check_spelling(given)
    client = connect()
    run_ids = tuple(dict.fromkeys(find_run(client, text).info.run_id for text in given))
    _check_count(run_ids)
    chosen = _choose(client, run_ids)
    cells, left_out = _shared(chosen)
    chosen = [replace(one, runs=[run for run in one.runs if _cell(run) in cells]) for one in chosen]
    check_terms(run for one in chosen for run in one.runs)
    by_parent: dict[str, list[_Chosen]] = {}
    for one in chosen:
        by_parent.setdefault(one.parent.info.run_id, []).append(one)
    read = [_read(of, cells) for of in by_parent.values()]
    splits = read[0][1]
    rows = {name: frozenset(run.data.tags[records.ROWS] for run in chosen[0].of(name)) for name in splits}
    return CompareInput(run_ids, tuple(entry for entry, _ in read), splits, rows, left_out)


def read_side_by_side(given: Sequence[str]) -> SideBySide:
    """Find two comparisons by their ids, read them back, and see on which datasets they can be compared.

    Parameters
    ----------
    given:
        Two run ids, or their beginnings of at least 8 digits.

    Raises
    ------
    BadInput
        When an id isn't that of a finished comparison, or both are of the same.
    StoreError
        When the artifacts of one are incomplete.
    """
    _check_spelling(given)
    client = connect()
    parents = [find_comparison(client, text) for text in given]
    run_ids = tuple(parent.info.run_id for parent in parents)
    _check_count(tuple(dict.fromkeys(run_ids)))
    chosen = [_Chosen(parent, _whole(client, parent), whole=True) for parent in parents]
    first, second = (read_comparison(run_id) for run_id in run_ids)
    beside = tuple(dict.fromkeys((*first.models, *second.models)))
    first, second = (replace(side, beside=beside) for side in (first, second))
    reasons = {name: _reason(*(one.of(name) for one in chosen)) for name in first.splits if name in second.splits}
    alike = {name for name, reason in reasons.items() if not reason}
    return SideBySide(
        (first, second),
        (from_yaml(first.experiment), from_yaml(second.experiment)),
        _comparable((first, second), [_only(one, alike) for one in chosen]) if alike else None,
        {name: reason for name, reason in reasons.items() if reason},
    )


def find_comparison(client: MlflowClient, text: str) -> Run:
    """Return the one comparison whose run id begins so.

    Raises
    ------
    BadInput
        When there is no such run, there are several, or it is no comparison.
    """
    run = find_run(client, text)
    role = run.data.tags.get(records.ROLE, "not one of Photofinish")
    if role != "comparison":
        parent = run.data.tags.get(records.PARENT)
        remedy = f"give its comparison's, {parent}" if parent else "give a comparison's run id"
        raise BadInput(f"is no comparison ({role})", field=run.info.run_id, remedy=remedy)
    return run


def _reason(first: Sequence[Run], second: Sequence[Run]) -> str:
    """Say why two comparisons' numbers on one dataset can't be compared; nothing where they can."""
    if any(records.ROWS not in run.data.tags for run in (*first, *second)):
        return "an older version didn't write down what its numbers rest on"
    ours, theirs = (
        {_cell(run)[1]: records.terms_of(run.data.tags, run.data.params) for run in runs} for runs in (first, second)
    )
    found = (
        ", ".join(what for what, _ in differences(ours[resample], theirs[resample]))
        for resample in ours
        if resample in theirs
    )
    return next(filter(None, found), "")


def _only(chosen: _Chosen, datasets: Collection[str]) -> _Chosen:
    return replace(chosen, runs=[run for run in chosen.runs if run.data.params["dataset"] in datasets])


def _comparable(sides: Sequence[ReportInput], chosen: Sequence[_Chosen]) -> CompareInput:
    """Take out of two comparisons what can be compared."""
    cells, left_out = _shared(chosen)
    entries = []
    for side, one in zip(sides, chosen, strict=True):
        run_ids = [run.info.run_id for run in one.runs if _cell(run) in cells]
        entries.append(_entry(side, run_ids))
    splits = {name: split for name, split in sides[0].splits.items() if any(name == dataset for dataset, _ in cells)}
    rows = {
        name: frozenset(run.data.tags[records.ROWS] for run in chosen[0].of(name) if _cell(run) in cells)
        for name in splits
    }
    return CompareInput(tuple(side.run_id for side in sides), tuple(entries), splits, rows, left_out)


def _entry(side: ReportInput, run_ids: Collection[str]) -> Entry:
    runs, ledger = _with_failed(side.runs, run_ids), side.ledger[side.ledger["run_id"].isin(run_ids)]
    models = tuple(model for model in side.models if model in set(runs["model"]))
    return Entry(side.run_id, models, side.spec, side.metrics, side.shared_tables, side.goal, runs, ledger)


def _with_failed(runs: pd.DataFrame, run_ids: Collection[str]) -> pd.DataFrame:
    """Return the rows of runs, and of those runs of the same datasets and models that failed."""
    of = ["dataset", "model"]
    chosen = runs["run_id"].isin(run_ids)
    beside = pd.MultiIndex.from_frame(runs[of]).isin(pd.MultiIndex.from_frame(runs.loc[chosen, of]))
    return runs[chosen | (runs["status"] == "FAILED") & beside]


def _check_spelling(given: Sequence[str]) -> None:
    """Refuse what can't be ids before the store is touched, which may not be there yet."""
    for text in given:
        check_spelled(text)
    _check_count(tuple(dict.fromkeys(given)))


def check_spelled(text: str) -> None:
    """Refuse what can't be a run id, nor the beginning of one."""
    if not may_be_run_id(text):
        raise BadInput("is no run id", field=text, remedy="give its 32 digits, or the first 8 or more of them")


def _check_count(run_ids: Sequence[str]) -> None:
    if len(run_ids) < 2:
        raise BadInput("is the only run named", field=run_ids[0], remedy="name at least two different ones")


def find_run(client: MlflowClient, text: str) -> Run:
    """Return the one run whose id begins so."""
    found = list(all_runs(client, f"attributes.run_id LIKE '{text}%'"))
    if not found:
        raise BadInput(f"no such run in {address()}", field=text, remedy="mlflow ui shows the ids that there are")
    if len(found) > 1:
        raise BadInput(f"{len(found)} runs begin with it", field=text, remedy="give more digits")
    if not re.fullmatch("[0-9a-f]{32}", found[0].info.run_id):  # it becomes a folder's name
        raise StoreError(f"{address()} answers with a run id that is none: {found[0].info.run_id!r}")
    return found[0]


def _choose(client: MlflowClient, run_ids: Sequence[str]) -> list[_Chosen]:
    """Return the model runs that are meant; single ones of one model are its seeds."""
    chosen: dict[tuple[str, str], _Chosen] = {}
    for run_id in run_ids:
        run = client.get_run(run_id)
        if run.data.tags.get(records.ROLE) == "comparison":
            chosen[run_id, ""] = _Chosen(run, _whole(client, run), whole=True)
            continue
        parent = comparison_of(client, run, run_ids)
        chosen.setdefault((parent.info.run_id, run.data.params["model"]), _Chosen(parent, [], whole=False)).runs.append(
            run
        )
    for run in (run for one in chosen.values() for run in one.runs):
        if records.ROWS not in run.data.tags:
            problem = "doesn't say what its numbers rest on, being of an older version"
            raise BadInput(problem, field=run.info.run_id, remedy=AGAIN)
    return list(chosen.values())


def comparison_of(client: MlflowClient, run: Run, named: Collection[str] = ()) -> Run:
    """Return the finished comparison that a finished model run belongs to, and that isn't named itself."""
    run_id, role = run.info.run_id, run.data.tags.get(records.ROLE, "not one of Photofinish")
    if role != "model":
        problem = f"is neither a comparison nor a model run ({role})"
        raise BadInput(problem, field=run_id, remedy="give a comparison's run id, or a model run's")
    if run.data.tags.get(records.STATUS) != "complete":
        raise BadInput(f"isn't finished ({run.info.status})", field=run_id, remedy=AGAIN)
    parent = run.data.tags[records.PARENT]
    if parent in named:
        raise BadInput(f"belongs to {parent}, which is named too", field=run_id, remedy="name one of them")
    return _finished(client.get_run(parent), run_id)


def _whole(client: MlflowClient, parent: Run) -> list[Run]:
    run_id = parent.info.run_id
    runs = model_runs(client, _finished(parent, run_id).info.run_id)
    if not runs:
        raise BadInput("has no evaluated model runs", field=run_id, remedy="run its experiment to stage evaluate")
    return runs


def _finished(parent: Run, named: str) -> Run:
    """Return a comparison that is finished; `named` is the run whose naming led to it."""
    if parent.info.status != "FINISHED":
        whose = "" if parent.info.run_id == named else f"belongs to {parent.info.run_id}, which "
        raise BadInput(f"{whose}isn't finished ({parent.info.status})", field=named, remedy=AGAIN)
    return parent


def _shared(chosen: Sequence[_Chosen]) -> tuple[set[Cell], tuple[str, ...]]:
    """Datasets and resamples that all have, and sentences on what only some have."""
    datasets = [{dataset for dataset, _ in one.cells} for one in chosen]
    common = set.intersection(*datasets)
    if not common:
        raise BadInput(
            f"no dataset in common ({' against '.join(', '.join(sorted(names)) for names in datasets)})",
            field="compare",
            remedy="compare runs on the same dataset",
        )
    cells, every = set.intersection(*(one.cells for one in chosen)), set.union(*(one.cells for one in chosen))
    partial = sorted(set.union(*datasets) - common)
    lines = [f"{dataset}: left out, since only some of the runs have it." for dataset in partial]
    for dataset in sorted(common):
        own, kept = (sorted(resample for of, resample in group if of == dataset) for group in (every, cells))
        if not kept:  # then their first resamples differ, which the refusal names
            check(terms_of(min(one.of(dataset), key=_cell) for one in chosen))
        if own != kept:
            resamples = ", ".join(map(str, kept))
            lines.append(f"{dataset}: compared on resample {resamples} alone, which all of the runs have.")
    return cells, tuple(lines)


def _cell(run: Run) -> Cell:
    return run.data.params["dataset"], int(run.data.params["resample"])


def _read(chosen: Sequence[_Chosen], cells: set[Cell]) -> tuple[Entry, dict[str, Split]]:
    """Read what was chosen of one comparison, and its splits: each dataset's first resample."""
    parent = chosen[0].parent
    run_ids = {run.info.run_id for one in chosen for run in one.runs}
    first = dict(sorted(cells, reverse=True))
    with artifacts(parent) as folder:
        try:
            experiment = check_experiment(
                read_yaml(folder / "experiment.yaml"), f"run {parent.info.run_id}: experiment.yaml"
            )
            splits = {name: load_split(name, folder / "data", first.get(name, 0)) for name in experiment.datasets}
            runs = pd.read_csv(folder / "metrics.csv")
            ledger = pd.read_parquet(folder / "predictions.parquet")
        except UNREADABLE as error:
            raise StoreError(f"run {parent.info.run_id} lacks what to compare: {one_line(error)}") from error
    ledger = ledger[ledger["run_id"].isin(run_ids)]
    runs = _with_failed(runs, run_ids) if chosen[0].whole else runs[runs["run_id"].isin(run_ids)]
    present = set(runs["model"])
    entry = Entry(
        run_id=parent.info.run_id,
        models=tuple(model for model in experiment.models if model in present),
        spec=experiment.compare,
        metrics=experiment.first_metrics({name: split.dataset.task for name, split in splits.items()}),
        shared_tables=experiment.shared_tables,
        goal=experiment.threshold,
        runs=runs,
        ledger=ledger,
    )
    return entry, {name: split for name, split in splits.items() if name in first}
