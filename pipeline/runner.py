"""Walks the stages; the only place that knows their order."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pipeline.artifacts import EvaluatedModel, Search, Split, TrainedModel
from pipeline.cluster import end_if_unwanted, joined
from pipeline.errors import AllMembersFailed, StoreError
from pipeline.execution import choose_device, map_tasks, workers
from pipeline.experiment import Experiment
from pipeline.experiment_file import to_yaml
from pipeline.preparation import check_networks_fit, naming_file, prepare, settle_models, train_tasks, with_best
from pipeline.stages.baselines.fitting import Baseline
from pipeline.stages.baselines.storage import keep_fits
from pipeline.stages.checks import Finding, check_data
from pipeline.stages.evaluate import best_run, evaluate
from pipeline.stages.identity import data_identity
from pipeline.stages.ledger import RunKey, history_frame, ledger_frame, run_key, runs_frame
from pipeline.stages.sending import receive, send, train_sent
from pipeline.stages.tasks import TrainTask, population_identity, task_key
from pipeline.stages.train import train
from pipeline.stages.tune import SearchPlan, tune
from pipeline.stages.tune import connect as connect_storage
from pipeline.training.sealed import discard_damaged
from pipeline.walk import Listener, Options, Walk, drawers_that_pay

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.comparison.outcome import Outcome
    from pipeline.stages.reporting.run_pictures import RunPictures
    from pipeline.stages.reporting.source import ReportInput
    from pipeline.stages.tuning.storage import Storage
    from pipeline.tracking.provenance import Provenance
    from pipeline.tracking.resume import Reused
    from pipeline.tracking.writer import ComparisonWriter
    from pipeline.training.population import Population


CHECKPOINTS = Path(".photofinish") / "checkpoints"  # in the working directory
EPOCHS_BETWEEN_ANNOUNCEMENTS = 10  # drawing progress at every epoch would cost more than some epochs


@dataclass(frozen=True, eq=False)
class Finished:
    """What a run leaves to be looked at."""

    run_id: str
    experiment_id: str
    splits: dict[str, Split] = field(repr=False)  # of resample 0
    findings: tuple[Finding, ...]  # of checks of the data
    metrics: dict[str, str]  # dataset → the metric shown first
    runs: pd.DataFrame | None = field(default=None, repr=False)  # metrics.csv
    ledger: pd.DataFrame | None = field(default=None, repr=False)  # predictions.parquet
    history: pd.DataFrame | None = field(default=None, repr=False)  # history.parquet
    best: dict[tuple[str, str], str] = field(default_factory=dict)  # dataset, model → run id
    report: Path | None = None
    outcome: Outcome | None = field(default=None, repr=False)
    searches: tuple[Search, ...] = field(default=(), repr=False)
    looks: dict[str, int] = field(default_factory=dict)  # dataset → looks at its final rows in this store


@dataclass
class _Progress:
    """What has been trained, evaluated and written so far."""

    models: list[EvaluatedModel] = field(default_factory=list)
    run_ids: dict[RunKey, str] = field(default_factory=dict)
    best: dict[tuple[str, str], str] = field(default_factory=dict)
    origins: dict[RunKey, str] = field(default_factory=dict)  # of model runs that are reused: the run that was trained


def run(experiment: Experiment, file: str, options: Options, listener: Listener, command: str = "") -> Finished:
    """Walk an experiment through its stages; everything is tracked.

    Input that can't be used is found before the tracking store is touched: data are made, parted and held against the
    models first. `file` is where the experiment was read, empty where it wasn't, and `command` how the run was asked
    for, empty where it was typed.

    Raises
    ------
    BadInput
        Naming the file, the field, the value and the remedy.
    AllMembersFailed
        When not one network could be trained.
    """
    walk = Walk(options, listener)
    with naming_file(file):
        resampled = prepare(experiment, Path(file).parent, walk)
        splits = {name: made[0] for name, made in resampled.items()}
        metrics = experiment.first_metrics({name: made.dataset.task for name, made in splits.items()})
        experiment.check_threshold(splits)
        settled = settle_models(experiment, splits)
        check_networks_fit(splits, settled, experiment.seeds, options)
        plans = [one for one in settled if isinstance(one, SearchPlan)] if options.reaches("tune") else []
    address = options.cluster if plans or options.reaches("train") else None
    with joined(address, listener.note) as walk.cluster:
        with naming_file(file):
            storage = connect_storage(_storage(options), plans, fresh=options.fresh) if plans else None
        findings = check_data(splits)
        for finding in findings:
            listener.note(finding.sentence)
        from pipeline.tracking import provenance
        from pipeline.tracking.opening import open_comparison

        every = [split for made in resampled.values() for split in made]
        with open_comparison(
            experiment,
            _identity(experiment, every, options),
            fresh=options.fresh,
            excludes=options.reaches("train"),
            note=listener.note,
        ) as comparison:
            origin = comparison.describe(provenance.gather(Path.cwd(), command), file, every, findings)
            finished = Finished(comparison.run_id, comparison.experiment_id, splits, findings, metrics)
            if options.reaches("tune"):
                searches = _tune(plans, storage, comparison, walk)
                finished = replace(finished, searches=searches)
                settled = with_best(settled, searches)
            if options.reaches("train"):
                tasks = train_tasks(resampled, settled, experiment.seeds, options, experiment.threshold)
                progress = _train_and_evaluate(tasks, comparison, walk)
                finished = _conclude(finished, experiment, progress, comparison, origin, walk)
            comparison.write_stage_seconds(walk.seconds)
        return finished


def _identity(experiment: Experiment, splits: Sequence[Split], options: Options) -> str:
    """SHA-256 over what a comparison is to do, up to which stage, and on which data."""
    data = [data_identity(split, experiment.threshold) for split in splits]
    return hashlib.sha256(json.dumps([to_yaml(experiment), options.until, data]).encode()).hexdigest()


def _storage(options: Options) -> str:
    """Address of Optuna's storage; absolute, as the tracking store's is."""
    default = f"sqlite:///{Path.cwd() / 'optuna.db'}"
    return options.storage or os.environ.get("PHOTOFINISH_STORAGE") or default


def _tune(
    plans: list[SearchPlan], storage: Storage | None, comparison: ComparisonWriter, walk: Walk
) -> tuple[Search, ...]:
    options = walk.options
    with walk.stage("tune", sum(one.spec.trials for one in plans)) as advance:
        if storage is None:
            return ()
        with workers(options.jobs, walk.cluster) as submit:
            searches = tune(
                plans,
                storage,
                comparison,
                submit=submit,
                fresh=options.fresh,
                device=choose_device(options.device),
                memory=options.memory,
                announce=end_if_unwanted if walk.cluster else None,
                advance=advance,
                note=walk.listener.note,
            )
        comparison.write_searches(searches)
        return tuple(searches)


def _train_and_evaluate(tasks: list[TrainTask], comparison: ComparisonWriter, walk: Walk) -> _Progress:
    """Train populations and, as each is done, evaluate and write it: what is finished is safe at once.

    Model runs that can be reused aren't trained.
    """
    progress = _Progress()
    reaches_evaluate = walk.options.reaches("evaluate")
    total = sum(len(task.seeds) for task in tasks)
    reused = _reused(tasks, comparison, walk)
    evaluating, away = 0.0, None
    with walk.stage("train", total) as advance:
        if reaches_evaluate:
            walk.listener.begin("evaluate", total)
        advance(len(reused))
        for task, trained in _populations(_with_checkpoints(tasks, walk), reused, walk, advance):
            started = time.perf_counter()
            away = away or _send_population(task, trained, reused, comparison, progress, walk)
            _put_away(task, trained, waits=away is not None)
            evaluating += time.perf_counter() - started
        if reaches_evaluate:
            walk.listener.end("evaluate")
    if away:
        raise StoreError(f"{away}; what was trained waits in {CHECKPOINTS}, and the next run sends it first") from away
    with suppress(OSError):  # not there, or another experiment's are
        CHECKPOINTS.rmdir()
        CHECKPOINTS.parent.rmdir()
    walk.seconds["train"] -= evaluating
    if reaches_evaluate:
        walk.seconds["evaluate"] = evaluating
    return progress


def _reused(tasks: Sequence[TrainTask], comparison: ComparisonWriter, walk: Walk) -> dict[RunKey, Reused]:
    """Find model runs that needn't be trained, and say so; only evaluated ones are ever reused."""
    if walk.options.fresh or not walk.options.reaches("evaluate"):
        return {}
    reused, said = comparison.reusable(tasks)
    for line in said:
        walk.listener.note(line)
    return reused


def _without(task: TrainTask, reused: Mapping[RunKey, Reused]) -> TrainTask:
    """Return a task with the seeds that are left to be trained."""
    return replace(task, seeds=tuple(seed for seed in task.seeds if task_key(task, seed) not in reused))


def _with_checkpoints(tasks: list[TrainTask], walk: Walk) -> list[TrainTask]:
    """Give each task the folder that it is kept in until the store has it; those that are there already come first."""
    kept = []
    for task in tasks:
        folder = Path.cwd() / CHECKPOINTS / population_identity(task)
        if walk.options.fresh:
            shutil.rmtree(folder, ignore_errors=True)
        for complaint in discard_damaged(folder):
            walk.listener.note(f"{complaint}: it is trained again")
        kept.append((not folder.exists(), replace(task, checkpoints=folder)))
    return [task for _, task in sorted(kept, key=itemgetter(0))]


def _send_population(
    task: TrainTask,
    trained: list[TrainedModel],
    reused: Mapping[RunKey, Reused],
    comparison: ComparisonWriter,
    progress: _Progress,
    walk: Walk,
) -> StoreError | None:
    """Write the model runs of one population; returns why they couldn't be written, which is noted."""
    from pipeline.tracking.store import reaching

    try:
        with reaching():
            _write_population(task, trained, reused, comparison, progress, walk)
    except StoreError as error:
        walk.listener.note(f"{error}; training goes on, and waits in {CHECKPOINTS}")
        return error
    return None


def _put_away(task: TrainTask, trained: list[TrainedModel], *, waits: bool) -> None:
    """Keep all that the next run needs of a population that waits to be sent; delete what was kept of others."""
    if task.checkpoints is None:
        return
    if waits:
        keep_fits(trained, task.checkpoints)
        return
    shutil.rmtree(task.checkpoints, ignore_errors=True)


def _populations(
    tasks: list[TrainTask], reused: Mapping[RunKey, Reused], walk: Walk, advance: Callable[[float], None]
) -> Iterator[tuple[TrainTask, list[TrainedModel]]]:
    """Give each task with those of its model runs that had to be trained, first those that none of had to be."""
    by_name = {(task.candidate.dataset, task.candidate.model, task.split.resample): task for task in tasks}
    parts = [(task, _without(task, reused)) for task in tasks]
    yield from ((task, []) for task, left in parts if not left.seeds)
    remaining = [left for _, left in parts if left.seeds]
    jobs, cluster = walk.options.jobs, walk.cluster
    tells_epochs = jobs == 1 and cluster is None
    results: Iterator[list[TrainedModel]]
    if cluster:
        away = map_tasks(partial(train_sent, announce=end_if_unwanted), map(send, remaining), jobs, cluster)
        results = map(receive, away)
    elif tells_epochs:
        results = map_tasks(partial(train, announce=_announcer(advance)), remaining, jobs)
    else:
        results = map_tasks(train, remaining, jobs)
    for trained in results:
        task = by_name[trained[0].dataset, trained[0].model, trained[0].resample]
        if not tells_epochs or isinstance(task.candidate, Baseline):
            advance(len(trained))
        yield task, trained


def _announcer(advance: Callable[[float], None]) -> Callable[[Population], None]:
    """Turn a population's epochs into parts of its model runs."""
    counted: WeakKeyDictionary[Population, float] = WeakKeyDictionary()

    def announce(population: Population) -> None:
        if population.epoch % EPOCHS_BETWEEN_ANNOUNCEMENTS and population.active:
            return
        done = sum(
            1.0 if index not in population.active else population.epoch / member.epochs
            for index, member in enumerate(population.members)
        )
        advance(done - counted.get(population, 0.0))
        counted[population] = done

    return announce


def _write_population(
    task: TrainTask,
    trained: list[TrainedModel],
    reused: Mapping[RunKey, Reused],
    comparison: ComparisonWriter,
    progress: _Progress,
    walk: Walk,
) -> None:
    """Write the model runs of one population; the best of resample 0 is also logged as a servable model.

    Those that are reused and complete in this comparison already stay as they are.
    """
    evaluated, split = walk.options.reaches("evaluate"), task.split
    keys = [task_key(task, seed) for seed in task.seeds]
    by_key = {run_key(run_of): run_of for run_of in trained}
    by_key |= {key: reused[key].model.trained for key in keys if key in reused}
    best = best_run([by_key[key] for key in keys], split) if evaluated and split.resample == 0 else None
    if evaluated and any(run_of.failure is None for run_of in by_key.values()):
        comparison.mark_look(split, is_new=any(run_of.failure is None for run_of in trained))
    pictures = _run_pictures(split) if evaluated and trained else None
    for key in keys:
        run_of, again = by_key[key], reused.get(key)
        if again:
            model, run_id = again.model, again.run_id or comparison.enter_again(again, split)
            progress.origins[key] = again.reused_from
        else:
            run_id = comparison.write_training(run_of, split)
            model = evaluate(split, run_of, task.goal) if evaluated else EvaluatedModel(run_of)
            if pictures is not None:
                comparison.write_evaluation(model, split, run_id, pictures.draw(model))
        if run_of is best and model.trained.failure is None:
            if not (again and again.is_best):
                comparison.write_servable(model, split, run_id, again.origin if again else None)
            progress.best[run_of.dataset, run_of.model] = run_id
        if not (again and again.run_id):
            comparison.finish(model, run_id, evaluated=evaluated)
        progress.models.append(model)
        progress.run_ids[key] = run_id
        if evaluated:
            walk.listener.advance("evaluate", 1)


def _run_pictures(split: Split) -> RunPictures:
    from pipeline.stages.reporting.run_pictures import RunPictures

    return RunPictures(split)


def _conclude(
    finished: Finished,
    experiment: Experiment,
    progress: _Progress,
    comparison: ComparisonWriter,
    origin: Provenance,
    walk: Walk,
) -> Finished:
    """Write the comparison's tables, then the report."""
    _sort(progress.models, experiment)
    runs = runs_frame(progress.models, progress.run_ids, progress.origins)
    history = history_frame([model.trained for model in progress.models], progress.run_ids)
    ledger = ledger_frame(progress.models, progress.run_ids)
    _write_tables(runs, history, ledger, comparison, walk)
    if all(model.trained.failure for model in progress.models):
        raise AllMembersFailed(
            f"all {len(runs)} model runs failed, the first with: {progress.models[0].trained.failure};"
            " lower training.lr, or scale the features"
        )
    if not walk.options.reaches("evaluate"):
        return finished
    looks = comparison.write_looks()
    finished = replace(finished, runs=runs, ledger=ledger, history=history, best=progress.best, looks=looks)
    if not walk.options.reaches("report"):
        return finished
    source = _report_input(finished, experiment, progress, origin)
    folder = write_report(source, walk)
    comparison.write_report(folder)
    comparison.write_verdicts(source.outcome)
    return replace(finished, report=folder, outcome=source.outcome)


def _write_tables(
    runs: pd.DataFrame, history: pd.DataFrame, ledger: pd.DataFrame, comparison: ComparisonWriter, walk: Walk
) -> None:
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        folder = Path(name)
        history.to_parquet(folder / "history.parquet", index=False)
        if walk.options.reaches("evaluate"):
            runs.to_csv(folder / "metrics.csv", index=False)
            ledger.to_parquet(folder / "predictions.parquet", index=False)
        comparison.write_tables(folder)


def _report_input(finished: Finished, experiment: Experiment, progress: _Progress, origin: Provenance) -> ReportInput:
    """Gather what the report is made of; `tracking.reader` reads the same back from the store."""
    from pipeline.stages.reporting.source import ReportInput, Representative, median_runs

    assert finished.runs is not None
    assert finished.ledger is not None
    assert finished.history is not None
    trained = {run_key(model.trained): model.trained for model in progress.models}
    representatives = {}
    for (dataset, model), (seed, run_id) in median_runs(finished.runs, finished.metrics).items():
        median = trained[dataset, model, seed, 0]
        representatives[dataset, model] = Representative(seed, run_id, median.network, median.snapshots)
    return ReportInput(
        run_id=finished.run_id,
        name=experiment.name,
        question=experiment.question,
        models=tuple(experiment.models),
        metrics=finished.metrics,
        splits=finished.splits,
        findings=finished.findings,
        resamples=experiment.resamples,
        shared_tables=experiment.shared_tables,
        runs=finished.runs,
        ledger=finished.ledger,
        history=finished.history,
        representatives=representatives,
        provenance=origin.summary(),
        diff=origin.diff,
        experiment=to_yaml(experiment),
        searches=finished.searches,
        spec=experiment.compare,
        goal=experiment.threshold,
        looks=finished.looks,
    )


def _sort(models: list[EvaluatedModel], experiment: Experiment) -> None:
    """Bring model runs into the order of the file; workers finish in any order."""
    datasets, names = list(experiment.datasets), list(experiment.models)

    def place(model: EvaluatedModel) -> tuple[int, int, int, int]:
        dataset, name, seed, resample = run_key(model.trained)
        return datasets.index(dataset), names.index(name), resample, experiment.seeds.index(seed)

    models.sort(key=place)


def write_report(source: ReportInput, walk: Walk) -> Path:
    """Write a report's folder, `reports/<experiment>`, and return its path."""
    from pipeline.stages.report import report
    from pipeline.stages.reporting.pictures import all_pictures

    options, pictures = walk.options, len(list(all_pictures(source)))
    with walk.stage("report", pictures) as advance:
        return report(
            source,
            options.reports / source.name,
            svg=options.svg,
            spread=partial(map_tasks, jobs=options.drawers or drawers_that_pay(pictures)),
            advance=advance,
        )
