"""Walks the stages; the only place that knows their order."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args
from weakref import WeakKeyDictionary

from pipeline.artifacts import Dataset, EvaluatedModel, Search, Split, TrainedModel
from pipeline.cluster import Cluster, end_if_unwanted, joined
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.errors import AllMembersFailed, BadInput, Refused, StoreError, naming_field
from pipeline.execution import map_tasks, workers
from pipeline.experiment import Experiment, check_name, to_yaml
from pipeline.stages.baselines.fitting import Baseline, settle_baseline
from pipeline.stages.baselines.spec import EstimatorSpec
from pipeline.stages.baselines.storage import keep_fits
from pipeline.stages.checks import Finding, check_data
from pipeline.stages.evaluate import evaluate, measure
from pipeline.stages.generate import DatasetSpec, generate
from pipeline.stages.identity import data_identity
from pipeline.stages.ledger import RunKey, history_frame, ledger_frame, run_key, runs_frame
from pipeline.stages.split import split
from pipeline.stages.tables.openml import read_openml
from pipeline.stages.tables.spec import OpenmlSpec, TableSpec
from pipeline.stages.tables.table import read_dataset
from pipeline.stages.train import (
    TrainTask,
    check_memory,
    choose_device,
    population_identity,
    receive,
    send,
    task_key,
    train,
    train_sent,
)
from pipeline.stages.tune import Candidate, SearchPlan, best_candidate, largest_candidate, plan, settle, tune
from pipeline.stages.tune import connect as connect_storage
from pipeline.training.sealed import discard_damaged

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.comparison.outcome import Outcome
    from pipeline.stages.promote import Contender, Ruling
    from pipeline.stages.reporting.run_pictures import RunPictures
    from pipeline.stages.reporting.source import ReportInput
    from pipeline.stages.tuning.study import Storage
    from pipeline.tracking.provenance import Provenance
    from pipeline.tracking.registry import Champion
    from pipeline.tracking.resume import Reused
    from pipeline.tracking.writer import ComparisonWriter
    from pipeline.training.population import Population

Stage = Literal["generate", "split", "tune", "train", "evaluate", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Settled = Candidate | SearchPlan | Baseline  # one dataset × model, held against its data

CHECKPOINTS = Path(".photofinish") / "checkpoints"  # in the working directory
EPOCHS_BETWEEN_ANNOUNCEMENTS = 10  # drawing progress at every epoch would cost more than some epochs
MOST_DRAWERS = 4  # each holds the libraries and the tables in memory
PICTURES_A_DRAWER = 8  # fewer don't pay for starting a process (benchmarks/report.py)


class Listener(Protocol):
    """What the runner tells while it works."""

    def begin(self, stage: Stage, total: int) -> None:
        """Begin a stage of `total` pieces of work."""

    def advance(self, stage: Stage, amount: float) -> None:
        """Count pieces of work that are done; parts of a piece count too."""

    def end(self, stage: Stage) -> None:
        """End a stage."""

    def note(self, line: str) -> None:
        """Say what one waits for, or should know before training begins."""


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a number, but for what an older study has found."""

    until: Stage = "report"
    jobs: int = 1
    cluster: str | None = None  # address of a Dask cluster that trains, instead of `jobs` workers here
    device: str = "auto"
    reports: Path = Path("reports")
    memory: int | None = None  # bytes for the buffers of a stack of networks
    storage: str | None = None  # Optuna's; None: PHOTOFINISH_STORAGE, else optuna.db here
    fresh: bool = False  # tune and train anew, whatever there is
    svg: bool = False  # pictures as SVG too
    drawers: int | None = None  # processes that draw them; None: as many as pay

    def reaches(self, stage: Stage) -> bool:
        """Whether a stage is to be walked."""
        return STAGES.index(stage) <= STAGES.index(self.until)


@dataclass(frozen=True, eq=False)
class Finished:
    """What a run leaves to be looked at."""

    run_id: str
    experiment_id: str
    splits: dict[str, Split]  # of resample 0
    findings: tuple[Finding, ...]  # of checks of the data
    metrics: dict[str, str]  # dataset → the metric shown first
    runs: pd.DataFrame | None = None  # metrics.csv
    best: dict[tuple[str, str], str] = field(default_factory=dict)  # dataset, model → run id
    report: Path | None = None
    outcome: Outcome | None = None
    searches: tuple[Search, ...] = ()
    looks: dict[str, int] = field(default_factory=dict)  # dataset → looks at its final rows in this store


@dataclass
class _Walk:
    """One execution: listener, stopwatch, and the cluster that it was lent."""

    options: Options
    listener: Listener
    cluster: Cluster | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: Stage, total: int) -> Iterator[Callable[[float], None]]:
        self.listener.begin(stage, total)
        started = time.perf_counter()
        yield partial(self.listener.advance, stage)
        self.seconds[stage] = time.perf_counter() - started
        self.listener.end(stage)


@dataclass
class _Progress:
    """What has been trained, evaluated and written so far."""

    models: list[EvaluatedModel] = field(default_factory=list)
    run_ids: dict[RunKey, str] = field(default_factory=dict)
    best: dict[tuple[str, str], str] = field(default_factory=dict)
    origins: dict[RunKey, str] = field(default_factory=dict)  # of model runs that are reused: the run that was trained


def run(experiment: Experiment, file: str, options: Options, listener: Listener) -> Finished:
    """Walk an experiment through its stages; everything is tracked.

    Input that can't be used is found before the tracking store is touched: data are made, parted and held against the
    models first.

    Raises
    ------
    BadInput
        Naming the file, the field, the value and the remedy.
    AllMembersFailed
        When not one network could be trained.
    """
    walk = _Walk(options, listener)
    with naming_file(file):
        resampled = _prepare(experiment, Path(file).parent, walk)
        splits = {name: made[0] for name, made in resampled.items()}
        metrics = experiment.first_metrics({name: made.dataset.task for name, made in splits.items()})
        experiment.check_threshold(splits)
        settled = _settle(experiment, splits)
        _check_memory(splits, settled, experiment.seeds, options)
        plans = [one for one in settled if isinstance(one, SearchPlan)] if options.reaches("tune") else []
    address = options.cluster if plans or options.reaches("train") else None
    with joined(address, listener.note) as walk.cluster:
        with naming_file(file):
            storage = connect_storage(_storage(options), plans, fresh=options.fresh) if plans else None
        findings = check_data(splits)
        for finding in findings:
            listener.note(finding.sentence)
        from pipeline.tracking import provenance, writer

        every = [split for made in resampled.values() for split in made]
        with writer.open_comparison(
            experiment,
            _identity(experiment, every, options),
            fresh=options.fresh,
            excludes=options.reaches("train"),
            note=listener.note,
        ) as comparison:
            origin = comparison.describe(provenance.gather(Path.cwd()), file, every, findings)
            finished = Finished(comparison.run_id, comparison.experiment_id, splits, findings, metrics)
            if options.reaches("tune"):
                searches = _tune(plans, storage, comparison, walk)
                finished = replace(finished, searches=searches)
                settled = _with_best(settled, searches)
            if options.reaches("train"):
                tasks = _train_tasks(resampled, settled, experiment.seeds, options, experiment.threshold)
                progress = _train_and_evaluate(tasks, comparison, walk)
                finished = _conclude(finished, experiment, progress, comparison, origin, walk)
            comparison.write_stage_seconds(walk.seconds)
        return finished


def _identity(experiment: Experiment, splits: Sequence[Split], options: Options) -> str:
    """SHA-256 over what a comparison is to do, up to which stage, and on which data."""
    data = [data_identity(split, experiment.threshold) for split in splits]
    return hashlib.sha256(json.dumps([to_yaml(experiment), options.until, data]).encode()).hexdigest()


@contextmanager
def naming_file(file: str) -> Iterator[None]:
    """Add the file to complaints about what stands in it; those about flags keep their own place."""
    try:
        yield
    except BadInput as error:
        raise (error if error.field.startswith("--") else error.within(file=file)) from error


def _prepare(experiment: Experiment, folder: Path, walk: _Walk) -> dict[str, list[Split]]:
    """Make or read the data and part them: for each dataset its resamples, the first being what the file says.

    `folder` is where paths of data files start.
    """
    datasets: dict[str, list[Dataset]] = {}
    with walk.stage("generate", len(experiment.datasets)) as advance:
        for name, spec in experiment.datasets.items():
            with naming_field(f"datasets.{name}"):
                datasets[name] = _tables(name, spec, experiment.resamples, folder)
            advance(1)
    splits: dict[str, list[Split]] = {}
    with walk.stage("split", len(datasets)) as advance:
        for name, tables in datasets.items():
            splits[name] = []
            for resample, table in enumerate(tables):
                with naming_field(f"datasets.{name}.split"), _naming_resample(resample):
                    splits[name].append(split(table, experiment.datasets[name].split, resample))
            advance(1)
    return splits


def _tables(name: str, spec: DatasetSpec | TableSpec | OpenmlSpec, resamples: int, folder: Path) -> list[Dataset]:
    """Make or read each resample's data; a shared table is made once."""
    if isinstance(spec, TableSpec):
        return [read_dataset(name, spec, folder)] * resamples
    if isinstance(spec, OpenmlSpec):
        return [read_openml(name, spec, folder)] * resamples
    if spec.shares_table:
        return [generate(name, spec)] * resamples
    tables = []
    for resample in range(resamples):
        with _naming_resample(resample):
            tables.append(generate(name, spec, resample))
    return tables


@contextmanager
def _naming_resample(resample: int) -> Iterator[None]:
    """Say that a complaint is about a further resample: what the file says by itself is all right."""
    try:
        yield
    except BadInput as error:
        if resample == 0:
            raise
        problem = f"resample {resample}: {error.problem}"
        raise BadInput(problem, field=error.field, remedy=error.remedy) from error


def _settle(experiment: Experiment, splits: dict[str, Split]) -> list[Settled]:
    """Return every dataset × model, with its hyperparameters as given or with a plan to search them."""
    settled: list[Settled] = []
    for name, made in splits.items():
        for model, spec in experiment.models.items():
            if isinstance(spec, EstimatorSpec):
                settled.append(settle_baseline(made, model, spec))
            elif spec.tuning is None:
                settled.append(settle(made, model, spec.as_given()))
            else:
                split_spec = experiment.datasets[name].split
                settled.append(plan(experiment.name, made, split_spec, model, spec, experiment.seeds))
    return settled


def _storage(options: Options) -> str:
    """Address of Optuna's storage; absolute, as the tracking store's is."""
    default = f"sqlite:///{Path.cwd() / 'optuna.db'}"
    return options.storage or os.environ.get("PHOTOFINISH_STORAGE") or default


def _tune(
    plans: list[SearchPlan], storage: Storage | None, comparison: ComparisonWriter, walk: _Walk
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


def _with_best(settled: list[Settled], searches: tuple[Search, ...]) -> list[Settled]:
    found = {search.name: search for search in searches}
    return [best_candidate(one, found[one.study]) if isinstance(one, SearchPlan) else one for one in settled]


def _check_memory(splits: dict[str, Split], settled: list[Settled], seeds: tuple[int, ...], options: Options) -> None:
    """Make sure that every network fits the device and the memory, those of a search at their largest."""
    if options.reaches("tune"):
        largest = [largest_candidate(one) if isinstance(one, SearchPlan) else one for one in settled]
        first = {name: [made] for name, made in splits.items()}  # the others are as large
        for task in _train_tasks(first, largest, seeds, options):
            check_memory(task)


def _train_tasks(
    resampled: dict[str, list[Split]],
    candidates: Sequence[Settled],
    seeds: tuple[int, ...],
    options: Options,
    goal: Goal = HALF,
) -> list[TrainTask]:
    """Return a population, or a baseline to fit, for each dataset × model × resample."""
    device = choose_device(options.device)
    return [
        TrainTask(split, candidate, seeds, device, options.memory, goal)
        for candidate in candidates
        if not isinstance(candidate, SearchPlan)
        for split in resampled[candidate.dataset]
    ]


def _train_and_evaluate(tasks: list[TrainTask], comparison: ComparisonWriter, walk: _Walk) -> _Progress:
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


def _reused(tasks: Sequence[TrainTask], comparison: ComparisonWriter, walk: _Walk) -> dict[RunKey, Reused]:
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


def _with_checkpoints(tasks: list[TrainTask], walk: _Walk) -> list[TrainTask]:
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
    walk: _Walk,
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
    tasks: list[TrainTask], reused: Mapping[RunKey, Reused], walk: _Walk, advance: Callable[[float], None]
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
    walk: _Walk,
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


def best_run(trained: list[TrainedModel], split: Split) -> TrainedModel | None:
    """Return the run with the lowest last loss on the monitored rows; None when all failed."""
    usable = [model for model in trained if model.failure is None]
    return min(usable, key=lambda model: _last_loss(model, split), default=None)


def _last_loss(model: TrainedModel, split: Split) -> float:
    losses = model.history.validation_loss
    if len(losses):
        return float(losses[-1])
    metric = "mse" if split.dataset.task == "regression" else "log_loss"
    return measure(metric, model.network, split, split.rows(split.monitored))


def _conclude(
    finished: Finished,
    experiment: Experiment,
    progress: _Progress,
    comparison: ComparisonWriter,
    origin: Provenance,
    walk: _Walk,
) -> Finished:
    """Write the comparison's tables, then the report."""
    _sort(progress.models, experiment)
    runs = runs_frame(progress.models, progress.run_ids, progress.origins)
    history = history_frame([model.trained for model in progress.models], progress.run_ids)
    ledger = ledger_frame(progress.models, progress.run_ids)
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        folder = Path(name)
        history.to_parquet(folder / "history.parquet", index=False)
        if walk.options.reaches("evaluate"):
            runs.to_csv(folder / "metrics.csv", index=False)
            ledger.to_parquet(folder / "predictions.parquet", index=False)
        comparison.write_tables(folder)
    if all(model.trained.failure for model in progress.models):
        raise AllMembersFailed(
            f"all {len(runs)} model runs failed, the first with: {progress.models[0].trained.failure};"
            " lower training.lr, or scale the features"
        )
    if not walk.options.reaches("evaluate"):
        return finished
    finished = replace(finished, runs=runs, best=progress.best, looks=comparison.write_looks())
    if not walk.options.reaches("report"):
        return finished
    from pipeline.stages.reporting.source import ReportInput, Representative, median_runs

    trained = {run_key(model.trained): model.trained for model in progress.models}
    medians = {
        (dataset, model): (run_id, trained[dataset, model, seed, 0])
        for (dataset, model), (seed, run_id) in median_runs(runs, finished.metrics).items()
    }
    source = ReportInput(
        run_id=finished.run_id,
        name=experiment.name,
        question=experiment.question,
        models=tuple(experiment.models),
        metrics=finished.metrics,
        splits=finished.splits,
        findings=finished.findings,
        resamples=experiment.resamples,
        shared_tables=experiment.shared_tables,
        runs=runs,
        ledger=ledger,
        history=history,
        representatives={
            key: Representative(one.seed, run_id, one.network, one.snapshots) for key, (run_id, one) in medians.items()
        },
        provenance=origin.summary(),
        diff=origin.diff,
        experiment=to_yaml(experiment),
        searches=finished.searches,
        spec=experiment.compare,
        goal=experiment.threshold,
        looks=finished.looks,
    )
    folder = _report(source, walk)
    comparison.write_report(folder)
    comparison.write_verdicts(source.outcome)
    return replace(finished, report=folder, outcome=source.outcome)


def _sort(models: list[EvaluatedModel], experiment: Experiment) -> None:
    """Bring model runs into the order of the file; workers finish in any order."""
    datasets, names = list(experiment.datasets), list(experiment.models)

    def place(model: EvaluatedModel) -> tuple[int, int, int, int]:
        dataset, name, seed, resample = run_key(model.trained)
        return datasets.index(dataset), names.index(name), resample, experiment.seeds.index(seed)

    models.sort(key=place)


def _report(source: ReportInput, walk: _Walk) -> Path:
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


def drawers_that_pay(pictures: int) -> int:
    """Return how many processes draw so many pictures soonest (benchmarks/report.py measures it)."""
    from joblib import cpu_count

    return max(1, min(cpu_count(), MOST_DRAWERS, pictures // PICTURES_A_DRAWER))


def rebuild_report(run_id: str, options: Options, listener: Listener) -> Path:
    """Make a finished comparison's report again, from the tracking store alone."""
    from pipeline.tracking.reader import read_comparison

    return _report(read_comparison(run_id), _Walk(options, listener))


@dataclass(frozen=True, eq=False)
class Compared:
    """What comparing stored runs leaves to be looked at."""

    outcome: Outcome | None  # None where nothing could be compared
    notes: tuple[str, ...]
    folder: Path


def compare(run_ids: Sequence[str], reports: Path) -> Compared:
    """Compare model runs that are in the store already, those of several comparisons too; nothing is trained.

    Raises
    ------
    BadInput
        When the runs aren't there or can't be compared; nothing was written then.
    """
    from pipeline.stages.compare import write
    from pipeline.tracking.compared import read_compared
    from pipeline.tracking.looks import looks_with
    from pipeline.tracking.store import connect
    from pipeline.tracking.writer import write_compare

    source = read_compared(run_ids)
    looks = looks_with(connect(), source.rows, source.run_ids)
    folder = write(source, looks, reports / source.name)
    write_compare(source.run_ids, source.rows, looks, folder)
    return Compared(source.outcome, tuple(source.notes(looks)), folder)


@dataclass(frozen=True)
class Promoted:
    """What has come of a promotion."""

    name: str  # in the model registry
    version: str
    sentence: str
    notes: tuple[str, ...]
    address: str  # models:/…
    serve: str  # command line


def promote(run_id: str, name: str | None) -> Promoted:
    """Make a model run's model the champion in the model registry, if it isn't worse than the present one.

    Parameters
    ----------
    run_id:
        A model run's, or the beginning of it.
    name:
        In the registry; None: `<experiment>-<dataset>`.

    Raises
    ------
    BadInput
        When the run or the name can't be used.
    Refused
        When the present champion may be better; nothing was registered then.
    """
    if name is not None:
        check_name(name, "--as")
    from pipeline.stages.promote import first
    from pipeline.tracking import registry

    candidate = registry.find_candidate(run_id)
    name = name or f"{candidate.experiment}-{candidate.dataset}"
    registry.check_length(name)
    champion = registry.find_champion(name)
    told = partial(Promoted, name, address=registry.address(name), serve=registry.serve_command(name))
    if champion and champion.run_id == candidate.run_id:
        return told(champion.version, f"{candidate.name} is the champion already; nothing was changed.", ())
    ruling, notes = (first(candidate), ()) if champion is None else _challenge(candidate, champion, name)
    return told(registry.register(candidate, name, ruling, champion), ruling.sentence, notes)


def _challenge(candidate: Contender, champion: Champion, name: str) -> tuple[Ruling, tuple[str, ...]]:
    """Hold a model against the champion, which is a look at their test rows as `compare` is one."""
    from pipeline.stages.compare import verdicts_json
    from pipeline.stages.promote import rule
    from pipeline.tracking import registry
    from pipeline.tracking.looks import looks_with
    from pipeline.tracking.store import connect
    from pipeline.tracking.writer import write_compare

    try:
        source, present = registry.read_challenge(candidate, champion)
        ruling = rule(source, candidate, present)
        looks = looks_with(connect(), source.rows, source.run_ids)
        with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
            (Path(folder) / "verdicts.json").write_text(verdicts_json(source, looks), encoding="utf-8")
            write_compare(source.run_ids, source.rows, looks, Path(folder))
        if not ruling.promoted:
            raise Refused(ruling.sentence)
    except Refused as error:
        overrule = registry.by_hand(candidate, name)
        raise Refused(
            f"not promoted: {str(error).rstrip('.')}. To make it champion all the same: {overrule}"
        ) from error
    return ruling, tuple(source.notes(looks))


def predict(uri: str, table: Path, out: Path | None, advance: Callable[[int], None]) -> int:
    """Predict a table by a model of the store, block by block; returns how many rows there were.

    `advance` is told of each block's rows.

    Raises
    ------
    BadInput
        When there is no such model, or the table isn't what the model takes; no file was written then.
    """
    from pipeline.stages.predict import check_destination, write_predictions
    from pipeline.tracking.predictor import open_predictor

    check_destination(out, table)
    with open_predictor(uri) as predictor:
        return write_predictions(predictor.predictions(table), out, advance)


def put_side_by_side(run_ids: Sequence[str], options: Options, listener: Listener) -> Compared:
    """Compare two comparisons, as far as they can be, and make a page that shows them side by side.

    Raises
    ------
    BadInput
        When the runs aren't two finished comparisons; nothing was written then.
    """
    from pipeline.stages.side_by_side import side_by_side
    from pipeline.tracking.compared import read_side_by_side
    from pipeline.tracking.looks import looks_with
    from pipeline.tracking.store import connect
    from pipeline.tracking.writer import write_compare

    source = read_side_by_side(run_ids)
    compared = source.compared
    looks = looks_with(connect(), compared.rows, compared.run_ids) if compared else {}
    pictures = sum(len(side) for side in source.pictures)
    with _Walk(options, listener).stage("report", pictures) as advance:
        folder = side_by_side(
            source,
            looks,
            options.reports / source.name,
            svg=options.svg,
            spread=partial(map_tasks, jobs=options.drawers or drawers_that_pay(pictures)),
            advance=advance,
        )
    if compared:
        write_compare(compared.run_ids, compared.rows, looks, folder)
    return Compared(compared.outcome if compared else None, tuple(source.notes(looks)), folder)
