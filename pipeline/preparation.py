"""From an experiment to what is to be trained: data made and parted, and each model held against them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifacts import Dataset, Search, Split
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.errors import BadInput, naming_field
from pipeline.execution import choose_device
from pipeline.experiment import Experiment
from pipeline.stages.baselines.fitting import Baseline, settle_baseline
from pipeline.stages.baselines.spec import EstimatorSpec
from pipeline.stages.generate import DatasetSpec, generate
from pipeline.stages.split import split
from pipeline.stages.tables.openml import read_openml
from pipeline.stages.tables.spec import OpenmlSpec, TableSpec
from pipeline.stages.tables.table import read_dataset
from pipeline.stages.tasks import TrainTask, check_memory
from pipeline.stages.tune import Candidate, SearchPlan, best_candidate, largest_candidate, plan, settle
from pipeline.walk import Options, Walk

Settled = Candidate | SearchPlan | Baseline  # one dataset × model, held against its data


@contextmanager
def naming_file(file: str) -> Iterator[None]:
    """Add the file to complaints about what stands in it; those about flags keep their own place."""
    try:
        yield
    except BadInput as error:
        raise (error if error.field.startswith("--") else error.within(file=file)) from error


def prepare(experiment: Experiment, folder: Path, walk: Walk) -> dict[str, list[Split]]:
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


def settle_models(experiment: Experiment, splits: dict[str, Split]) -> list[Settled]:
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


def with_best(settled: list[Settled], searches: tuple[Search, ...]) -> list[Settled]:
    """Return the same with the best hyperparameters in the place of each plan to search them."""
    found = {search.name: search for search in searches}
    return [best_candidate(one, found[one.study]) if isinstance(one, SearchPlan) else one for one in settled]


def check_networks_fit(
    splits: dict[str, Split], settled: list[Settled], seeds: tuple[int, ...], options: Options
) -> None:
    """Make sure that every network fits the device and the memory, those of a search at their largest."""
    if options.reaches("tune"):
        largest = [largest_candidate(one) if isinstance(one, SearchPlan) else one for one in settled]
        first = {name: [made] for name, made in splits.items()}  # the others are as large
        for task in train_tasks(first, largest, seeds, options):
            check_memory(task)


def train_tasks(
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
