"""Going on with what earlier executions have left: comparisons that were interrupted, model runs that can be reused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pandas as pd
from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from pipeline.artifacts import (
    NO_HISTORY,
    EvaluatedModel,
    FittedEstimator,
    History,
    Network,
    Snapshots,
    Threshold,
    TrainedModel,
)
from pipeline.comparison.comparability import short
from pipeline.errors import StoreError
from pipeline.interruption import deferred
from pipeline.stages.baselines.fitting import Baseline
from pipeline.stages.baselines.storage import load_estimator
from pipeline.stages.ledger import RunKey
from pipeline.stages.metrics import METRICS_VERSION, metrics_of
from pipeline.stages.tasks import TrainTask, task_fingerprint, task_key, task_params
from pipeline.tracking import lease, records
from pipeline.tracking.reader import artifacts, origin_of
from pipeline.tracking.store import all_runs, experiment_ids, one_line
from pipeline.training.storage import load_history, load_network, load_snapshots

UNFINISHED = "left unfinished; what it was to be is made again"
NOT_REUSED = "can't be reused; what it was to be is made again"


@dataclass(frozen=True, eq=False)
class Reused:
    """A model run that isn't trained again: read back, and just what training would have given."""

    model: EvaluatedModel
    origin: Run  # that was trained, and holds the artifacts
    run_id: str = ""  # in this comparison; empty where it is yet to be entered there
    is_best: bool = False  # whether it is the one in this comparison that is served

    @property
    def reused_from(self) -> str:
        """Run id of the origin, where that is another run than the one in this comparison."""
        origin: str = self.origin.info.run_id
        return "" if origin == self.run_id else origin


def find_interrupted(client: MlflowClient, experiment_id: str, identity: str, own: str = "") -> Run | None:
    """Return the newest comparison of an MLflow experiment that was to do the same, and that nobody ends any more.

    Parameters
    ----------
    client:
        Of the store.
    experiment_id:
        MLflow's.
    identity:
        SHA-256 over all that the comparison is to do.
    own:
        Run id of the comparison that asks.
    """
    found = client.search_runs(
        [experiment_id],
        f"tags.`{records.IDENTITY}` = '{identity}' and attributes.status != 'FINISHED'",
        ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run.info.run_id != own and records.CONTINUED_IN not in run.data.tags and not lease.is_alive(run):
            return run
    return None


def take_up(client: MlflowClient, run: Run) -> None:
    """Open an interrupted comparison again: it keeps what is complete, and the rest is deleted."""
    reopen(client, run)
    _delete_unfinished(client, run.info.run_id)


def reopen(client: MlflowClient, run: Run) -> None:
    """Open a run again: nothing has ended it."""
    client.update_run(run.info.run_id, status="RUNNING")
    _drop_reason(client, run)


def _drop_reason(client: MlflowClient, run: Run) -> None:
    if records.REASON in run.data.tags:
        client.delete_tag(run.info.run_id, records.REASON)


def take_over(client: MlflowClient, interrupted: Run, successor: str) -> None:
    """Hand what is complete in an interrupted comparison to another one, which goes on with it.

    The interrupted one is closed. Its successor's id is written down last: an interrupt in here loses nothing,
    since what wasn't handed over by then can be reused.
    """
    run_id, tags = interrupted.info.run_id, interrupted.data.tags
    _delete_unfinished(client, run_id)
    for child in _children(client, run_id):
        client.set_tag(child.info.run_id, records.PARENT, successor)
    for key, dataset in tags.items():
        if key.startswith(records.look_tag("")):  # the look goes on, and is no second one
            client.set_tag(successor, key, dataset)
            client.delete_tag(run_id, key)
    if interrupted.info.status == "RUNNING":
        client.set_tag(run_id, records.REASON, f"interrupted; {successor} goes on")
        client.set_terminated(run_id, "KILLED")
    client.set_tag(run_id, records.CONTINUED_IN, successor)


def search_runs_of(client: MlflowClient, run_id: str) -> dict[str, Run]:
    """Return the runs of the searches of a comparison, by the names of their studies."""
    return {
        run.data.tags[records.STUDY]: run
        for run in _children(client, run_id)
        if run.data.tags.get(records.ROLE) == "study"
    }


def close_trials(client: MlflowClient, search_run_id: str, statuses: Mapping[str, str]) -> None:
    """Close the trials that an interrupted search has left open, and those that were taken for given up but count.

    Parameters
    ----------
    client:
        Of the store.
    search_run_id:
        Of the search.
    statuses:
        Run id → status, of the trials that count; the others were given up.
    """
    for run in _children(client, search_run_id):
        run_id, status = run.info.run_id, statuses.get(run.info.run_id)
        if status is None:
            client.set_tag(run_id, records.REASON, "given up: interrupted before the search was told of it")
            status = "KILLED"
        elif run.info.status != status:
            _drop_reason(client, run)  # closed with its dead owner's runs, but the search knows it
        if run.info.status != status:
            client.set_terminated(run_id, status)


def find_reusable(client: MlflowClient, run_id: str, tasks: Iterable[TrainTask]) -> tuple[dict[RunKey, Reused], str]:
    """Find model runs that are complete: in the comparison itself, which keeps them, or anywhere in the store.

    Those of the comparison that can't be used any more are deleted.

    Returns
    -------
    tuple
        The runs, and a sentence on those that couldn't be read, if there were any.
    """
    own = {_key(run): run for run in _children(client, run_id) if run.data.tags.get(records.ROLE) == "model"}
    everywhere = experiment_ids(client)
    found: dict[RunKey, Reused] = {}
    unreadable: list[str] = []
    for task in tasks:
        for seed in task.seeds:
            key = task_key(task, seed)
            fingerprint, kept = task_fingerprint(task, seed), own.get(key)
            fitting = [kept] if kept and kept.data.tags.get(records.FINGERPRINT) == fingerprint else []
            with deferred():
                others = _origins(client, everywhere, fingerprint, run_id)
                reused, reason = _first_readable(client, chain(fitting, others), task, seed, run_id)
                if kept and not (reused and reused.run_id):
                    _delete(client, kept, NOT_REUSED)
            if reused:
                found[key] = reused
            elif reason:
                unreadable.append(reason)
    return found, _unreadable_note(unreadable)


def reuse_notes(client: MlflowClient, reused: Iterable[Reused], total: int) -> list[str]:
    """Say which comparisons model runs are reused from, those apart that were complete here already."""
    parents = Counter(one.origin.data.tags[records.PARENT] for one in reused if one.reused_from)
    every = sum(parents.values())
    if not every:
        return []
    which = f"all {total} model runs are" if every == total else f"{every} of {total} model runs are"
    named = {name_of(client.get_run(parent)): count for parent, count in parents.items()}
    if len(named) == 1:
        return [f"{which} reused from {next(iter(named))}"]
    return [f"{which} reused: {', '.join(f'{count} from {name}' for name, count in named.items())}"]


def name_of(comparison: Run) -> str:
    """Name a comparison by its id and its day: "comparison 1db1efe2 of 2026-11-21"."""
    begun = datetime.fromtimestamp(comparison.info.start_time / 1000, UTC)
    return f"comparison {short(comparison.info.run_id)} of {begun:%Y-%m-%d}"


def _children(client: MlflowClient, run_id: str) -> list[Run]:
    return list(all_runs(client, f"tags.`{records.PARENT}` = '{run_id}'"))


def _delete_unfinished(client: MlflowClient, run_id: str) -> None:
    for run in _children(client, run_id):
        if run.data.tags.get(records.ROLE) == "model" and run.data.tags.get(records.STATUS) != "complete":
            _delete(client, run, UNFINISHED)


def _delete(client: MlflowClient, run: Run, reason: str) -> None:
    """Delete a run, which MLflow keeps where it can be restored, with the reason why."""
    if records.REASON not in run.data.tags:
        client.set_tag(run.info.run_id, records.REASON, reason)
    if run.info.status == "RUNNING":
        client.set_terminated(run.info.run_id, "KILLED")
    client.delete_run(run.info.run_id)


def _key(run: Run) -> RunKey:
    params = run.data.params
    return params["dataset"], params["model"], int(params["seed"]), int(params["resample"])


def _origins(client: MlflowClient, experiments: Sequence[str], fingerprint: str, but: str) -> Iterator[Run]:
    """Give the runs of other comparisons that were trained to the same values, the newest first."""
    found = client.search_runs(
        list(experiments),
        f"tags.`{records.FINGERPRINT}` = '{fingerprint}' and tags.`{records.STATUS}` = 'complete'",
        ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if records.REUSED_FROM not in run.data.tags and run.data.tags.get(records.PARENT) != but:
            yield run


def _first_readable(
    client: MlflowClient, candidates: Iterable[Run], task: TrainTask, seed: int, comparison: str
) -> tuple[Reused | None, str]:
    """Return the first run that can be read back, or else why the first couldn't."""
    reasons = []
    for run in candidates:
        try:
            origin = origin_of(client, run)
            reused = Reused(read_model(origin, task, seed), origin)
            if run.data.tags[records.PARENT] == comparison:
                reused = replace(reused, run_id=run.info.run_id, is_best=records.BEST in run.data.tags)
            return reused, ""
        except (StoreError, OSError, ValueError, KeyError) as error:
            reasons.append(f"{run.info.run_name}, {short(run.info.run_id)}: {one_line(error)}")
    return None, next(iter(reasons), "")


def _unreadable_note(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    which = "1 model run" if len(reasons) == 1 else f"{len(reasons)} model runs, of which the first"
    return f"trained again, since it can't be read back: {which} ({reasons[0]})"


def read_model(origin: Run, task: TrainTask, seed: int) -> EvaluatedModel:
    """Read a model run back as training and evaluating it would give it.

    Raises
    ------
    StoreError, OSError, ValueError, KeyError
        When something of it is missing or damaged.
    """
    metrics, split = origin.data.metrics, task.split
    if origin.data.tags.get(records.METRICS) != METRICS_VERSION:
        raise ValueError("its metrics are of another version")
    with artifacts(origin) as folder:
        network, history, snapshots = (
            _fitted(folder) if isinstance(task.candidate, Baseline) else _learned(task, folder)
        )
        trained = TrainedModel(
            dataset=task.candidate.dataset,
            model=task.candidate.model,
            seed=seed,
            params=task_params(task, seed),
            network=network,
            history=history,
            fingerprint=task_fingerprint(task, seed),
            started_at=origin.info.start_time / 1000,
            seconds=metrics["seconds/train"],
            resample=split.resample,
            snapshots=snapshots,
        )
        predictions = pd.read_parquet(folder / "predictions.parquet")
    final = {name: metrics[f"test/{name}"] for name in metrics_of(split.dataset.task)}
    best = {name: metrics[name] for name in ("best/validation_loss", "best/epoch") if len(trained.history.train_loss)}
    return EvaluatedModel(
        trained, {**final, **best}, predictions, _threshold(origin, task), metrics["seconds/predict_one_row"]
    )


def _fitted(folder: Path) -> tuple[FittedEstimator, History, None]:
    return load_estimator(folder / "estimator"), NO_HISTORY, None


def _learned(task: TrainTask, folder: Path) -> tuple[Network, History, Snapshots | None]:
    """Read a network with its curves, and, where that is recorded, how it learned."""
    from pipeline.training.snapshots import is_recordable

    folder = folder / "network"
    is_recorded = task.split.resample == 0 and is_recordable(task.split)
    snapshots = load_snapshots(folder) if is_recorded else None
    if is_recorded and snapshots is None:
        raise StoreError("how it learned wasn't recorded")
    return load_network(folder), load_history(folder), snapshots


def _threshold(origin: Run, task: TrainTask) -> Threshold | None:
    if task.split.dataset.task != "binary":
        return None
    metrics = origin.data.metrics
    return Threshold(
        metrics["threshold"],
        metrics["threshold_low"],
        metrics["threshold_high"],
        task.goal.rule,
        reached=origin.data.tags.get(records.THRESHOLD_REACHED) != "false",
        validation_score=metrics.get("threshold_validation_score"),
    )
