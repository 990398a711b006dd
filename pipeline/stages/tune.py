"""Tune: the hyperparameters that each dataset × model is trained with, as given or searched on validation rows."""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.artifacts import Search, Split, Trial, TrialState
from pipeline.errors import AllMembersFailed, BadInput, naming_field
from pipeline.stages.split import SplitSpec, folds, without_test
from pipeline.stages.tuning.spec import (
    PREFIX,
    WHOLE_NUMBERS,
    Dimension,
    TunableModelSpec,
    TuningSpec,
    configure,
    direction_of,
    largest,
    most,
)
from pipeline.stages.tuning.trials import Proposal, TrialOutcome, TrialsTask, rungs, train_trials
from pipeline.stages.weighting import check_class_weight, train_weights
from pipeline.training.spec import LossName, ModelSpec

if TYPE_CHECKING:
    from pipeline.stages.tuning.storage import Storage
    from pipeline.stages.tuning.study import Study
    from pipeline.training.population import Population

EDGE = 0.02  # share of a range that counts as its end
SECONDS_BETWEEN_LOOKS = 0.5  # while other workers train the last trials


@dataclass(frozen=True)
class Candidate:
    """One dataset × model with the hyperparameters it is trained with."""

    dataset: str
    model: str
    spec: ModelSpec
    loss: LossName


@dataclass(frozen=True, eq=False)
class SearchPlan:
    """One dataset × model whose hyperparameters are to be searched, known to be possible."""

    study: str
    dataset: str
    model: str
    given: ModelSpec
    spec: TuningSpec
    dimensions: Mapping[str, Dimension]
    loss: LossName
    metric: str
    folds: tuple[Split, ...]  # of a table without test rows
    seeds: tuple[int, ...]

    @property
    def objective(self) -> str:
        """The objective's full name, `validation/log_loss`."""
        return PREFIX + self.metric

    @property
    def longest(self) -> int:
        """Epochs of the longest training in the space."""
        return most("epochs", self.given.training.epochs, self.dimensions)

    def identity(self) -> dict[str, Any]:
        """What must be the same for trials to belong to one study."""
        space = {key: dimension.describe() for key, dimension in self.dimensions.items()}
        rows = hashlib.sha256()
        for fold in self.folds:
            for array in (fold.dataset.features, fold.dataset.target, fold.train, fold.validation, fold.scale):
                rows.update(array.tobytes() + b"|")
            if fold.dataset.weights is not None:
                rows.update(fold.dataset.weights.tobytes() + b"|")
        fixed = configure(self.given, {}).identity()
        for key in space:
            (fixed if key in fixed else fixed["training"]).pop(key, None)
        if "depth" in space or "width" in space:
            fixed["hidden_units"] = [key for key in ("depth", "width") if key in space]
        return {
            "dataset": self.dataset,
            "model": self.model,
            "objective": self.objective,
            "space": space,
            "not searched": fixed,
            "rows": rows.hexdigest()[:16],
            "folds": len(self.folds),
            "seeds": list(self.seeds),
        }


class Pending(Protocol):
    """Trials in work."""

    def result(self) -> list[TrialOutcome]:
        """Wait for what became of them."""


class Recorder(Protocol):
    """Keeps a record of trials."""

    def trial_runs(self, plan: SearchPlan, trials: Sequence[Trial]) -> AbstractContextManager[list[str]]:
        """Record some trials, and close the record when the block ends; gives their run ids."""

    def finish_search(self, search: Search) -> None:
        """Record what a search has found."""


def settle(split: Split, model: str, spec: ModelSpec) -> Candidate:
    """Return a dataset × model with its hyperparameters as given.

    Raises
    ------
    BadInput
        When the model's loss or class weights don't fit the dataset's target, or its batches are larger than the
        training part.
    """
    with naming_field(f"models.{model}.training"):
        loss = spec.training.loss_for(split.dataset.task)
        _check_batch(spec.training.batch_size, split, "batch_size")
        check_class_weight(spec.training.class_weight, split.dataset)
        train_weights(split, spec.training.class_weight)  # which may be refused
    return Candidate(split.dataset.name, model, spec, loss)


def plan(
    experiment: str, split: Split, split_spec: SplitSpec, model: str, spec: TunableModelSpec, seeds: Sequence[int]
) -> SearchPlan:
    """Plan the search for a dataset × model, whose `tuning` is given.

    Raises
    ------
    BadInput
        When the dataset can't be searched on: no validation rows, an objective or batches that don't fit.
    """
    tuning, dataset = spec.tuning, split.dataset
    assert tuning is not None
    settle(split, model, spec)
    with naming_field(f"models.{model}.tuning"):
        metric = tuning.metric_for(dataset.task)
        if tuning.seeds > len(seeds):
            raise BadInput(f"{tuning.seeds} of {len(seeds)} seeds", field="seeds", remedy="lower it, or add seeds")
        if tuning.folds:
            with naming_field("folds"):
                parts = folds(split, split_spec, tuning.folds)
        elif len(split.validation):
            parts = (without_test(split, split_spec),)
        else:
            raise BadInput(
                f"{dataset.name} has no validation rows, and test rows are out of reach",
                remedy="give split.validation_size, or tuning.folds for cross-validation",
            )
        dimensions = tuning.space.dimensions()
        for part in parts:
            _check_batch(most("batch_size", 0, dimensions), part, "space.batch_size")
    return SearchPlan(
        f"{experiment}/{dataset.name}/{model}",
        dataset.name,
        model,
        spec.as_given(),
        tuning,
        dimensions,
        spec.training.loss_for(dataset.task),
        metric,
        parts,
        tuple(seeds[: tuning.seeds]),
    )


def largest_candidate(search: SearchPlan) -> Candidate:
    """Return the dataset × model as large as the search may make it, to see whether it fits the memory."""
    return Candidate(search.dataset, search.model, largest(search.given, search.dimensions), search.loss)


def best_candidate(search: SearchPlan, found: Search) -> Candidate:
    """Return the dataset × model with the best hyperparameters found."""
    return Candidate(search.dataset, search.model, configure(search.given, found.best.params), search.loss)


def connect(url: str, plans: Sequence[SearchPlan], *, fresh: bool = False) -> Storage:
    """Reach Optuna's storage, and make sure that every study can be made there or continued.

    Nothing is created but the database itself.

    Raises
    ------
    BadInput
        When the storage can't be reached or used, or holds a study of that name that searches something else.
    """
    from pipeline.stages.tuning.proposals import check_sampler
    from pipeline.stages.tuning.storage import Storage

    for search in plans:
        with naming_field(f"models.{search.model}.tuning"):
            check_sampler(search.spec.sampler)
    storage = Storage(url)
    if not fresh:
        for search in plans:
            _study(search, storage).check()
    return storage


def tune(
    plans: Sequence[SearchPlan],
    storage: Storage,
    recorder: Recorder,
    *,
    submit: Callable[[Callable[[TrialsTask], list[TrialOutcome]], TrialsTask], Pending],
    fresh: bool = False,
    device: str = "cpu",
    memory: int | None = None,
    announce: Callable[[Population], None] | None = None,
    advance: Callable[[float], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> list[Search]:
    """Search each plan until its study has the number of trials asked for; one study's trials are kept as they finish.

    Parameters
    ----------
    plans:
        What to search.
    storage:
        As `connect` returned it.
    recorder:
        Told of every trial before Optuna is, so that the study knows where it is recorded.
    submit:
        Hands a task to whoever works on it, here or elsewhere.
    fresh:
        Whether to delete what earlier searches of the same names have found.
    device, memory:
        As for training.
    announce:
        Told of each epoch, where the trials are trained.
    advance:
        Told of each trial that is finished.
    note:
        Told, in a line, what one waits for.

    Raises
    ------
    AllMembersFailed
        When every trial of a search diverged.
    """
    running = [_Running(search, _study(search, storage)) for search in plans]
    with storage.heartbeats(), _giving_up(running):
        for one in running:
            one.study.open(fresh=fresh)
            advance(one.study.finished)
        for batch in _batches(running, partial(submit, partial(train_trials, announce=announce)), device, memory, note):
            for pending in batch.tasks:
                outcomes = pending.result()
                advance(batch.search.keep(outcomes, recorder))
        searches = [one.conclude() for one in running]
    for search in searches:
        recorder.finish_search(search)
    return searches


@dataclass(frozen=True)
class _Batch:
    """Trials that were asked for together and are in work."""

    search: _Running
    tasks: Sequence[Pending]


def _batches(
    running: Sequence[_Running],
    submit: Callable[[TrialsTask], Pending],
    device: str,
    memory: int | None,
    note: Callable[[str], None],
) -> Iterator[_Batch]:
    """Hand in batches, and give them back to be waited for, the oldest first, until every study is done.

    The order is fixed: a study's next batch is asked for when one of its batches has been told. So what is proposed
    doesn't depend on how fast anything was.
    """
    queue: deque[_Batch] = deque()

    def hand_in(one: _Running) -> None:
        tasks = [submit(task) for task in one.tasks(device, memory)]
        if tasks:
            queue.append(_Batch(one, tasks))

    for turn in range(max((one.study.batches_in_work for one in running), default=0)):
        for one in running:
            if turn < one.study.batches_in_work:
                hand_in(one)
    while True:
        while queue:
            batch = queue.popleft()
            yield batch
            hand_in(batch.search)
        waiting = [one for one in running if not one.study.is_done()]
        if not waiting:
            return
        for one in waiting:
            hand_in(one)
        if not queue:
            note(f"waiting for another worker's trials of {', '.join(one.plan.study for one in waiting)}")
            time.sleep(SECONDS_BETWEEN_LOOKS)


@dataclass
class _Running:
    """A search under way."""

    plan: SearchPlan
    study: Study

    def __post_init__(self) -> None:
        self._told: dict[int, Trial] = {}

    def tasks(self, device: str, memory: int | None) -> list[TrialsTask]:
        """Ask for the next trials; those that can share stacks are one task."""
        search, batch = self.plan, self.study.ask()
        if batch is None:
            return []
        proposals = [
            Proposal(search.study, asked.number, asked.params, configure(search.given, asked.params))
            for asked in batch.trials
        ]
        together = [list(alike) for _, alike in groupby(sorted(proposals, key=_likeness), key=_likeness)]
        return [
            TrialsTask(
                tuple(alike),
                search.folds,
                search.seeds,
                search.loss,
                search.metric,
                rungs(search.longest),
                copy(batch.rule),  # each notes the trials of its own task
                device,
                memory,
            )
            for alike in together
            if any(self.study.is_in_work(proposal.number) for proposal in alike)
        ]

    def keep(self, outcomes: Sequence[TrialOutcome], recorder: Recorder) -> int:
        """Record trials, tell the study; returns how many there were that it didn't know."""
        outcomes = [outcome for outcome in outcomes if self.study.is_in_work(outcome.proposal.number)]
        trials = [_trial(outcome) for outcome in outcomes]
        with recorder.trial_runs(self.plan, trials) as run_ids:
            for outcome, trial, run_id in zip(outcomes, trials, run_ids, strict=True):
                attributes = {"seconds": round(outcome.seconds, 4), "mlflow_run_id": run_id, "failure": outcome.failure}
                attributes = {key: value for key, value in attributes.items() if value is not None}
                if self.study.tell(outcome, attributes):
                    self._told[trial.number] = replace(trial, run_id=run_id)
        return len(outcomes)

    def conclude(self) -> Search:
        """Return what the search has found."""
        search = self.plan
        trials = tuple(self._told.get(trial.number, trial) for trial in self.study.trials())
        complete = [trial for trial in trials if trial.state == "complete"]
        if not complete:
            reasons = [trial.failure for trial in trials if trial.failure]
            raise AllMembersFailed(
                f"{search.study}: none of {len(trials)} trials was completed: {next(iter(reasons), 'all pruned')};"
                " lower the upper end of lr, or use pruner: none"
            )
        minimizes = direction_of(search.metric) == "minimize"
        best = (min if minimizes else max)(complete, key=lambda trial: trial.value or 0.0)
        return Search(
            name=search.study,
            dataset=search.dataset,
            model=search.model,
            objective=search.objective,
            minimizes=minimizes,
            storage=self.study.storage.shown,
            space={key: dimension.describe() for key, dimension in search.dimensions.items()},
            trials=trials,
            best=best,
            importances=self.study.importances(),
            edges=edges(best.params, search.dimensions),
        )


def edges(best: Mapping[str, Any], dimensions: Mapping[str, Dimension]) -> tuple[str, ...]:
    """Name the hyperparameters whose best value lies at an end of its range: `("epochs upper", "lr lower")`.

    An end that can't be moved, such as a width of 1, is no reason to complain.
    """
    found = []
    for key, dimension in dimensions.items():
        if dimension.choices or dimension.is_constant:
            continue
        low, high, value = dimension.low, dimension.high, best[key]
        if dimension.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        if share <= EDGE and dimension.low > WHOLE_NUMBERS.get(key, 0):
            found.append(f"{key} lower")
        if share >= 1 - EDGE:
            found.append(f"{key} upper")
    return tuple(found)


def _study(search: SearchPlan, storage: Storage) -> Study:
    from pipeline.stages.tuning.study import Study

    return Study(
        storage,
        search.study,
        direction_of(search.metric),
        search.dimensions,
        search.spec,
        search.longest,
        search.identity(),
        {
            "dataset": search.dataset,
            "model": search.model,
            "seed": search.seeds[0] if len(search.seeds) == 1 else list(search.seeds),
        },
    )


def _likeness(proposal: Proposal) -> tuple[str, str, int, int, int]:
    """What networks of one stack have in common; so how trials are shared out to workers changes no number."""
    training = proposal.spec.training
    units = proposal.spec.hidden_units
    return (
        proposal.spec.activation,
        training.optimizer,
        training.batch_size or 0,
        len(units),
        max(units, default=0).bit_length(),
    )


def _trial(outcome: TrialOutcome) -> Trial:
    state: TrialState = "failed" if outcome.failure else "pruned" if outcome.is_pruned else "complete"
    return Trial(
        number=outcome.proposal.number,
        state=state,
        params=outcome.proposal.params,
        value=outcome.value,
        steps=outcome.steps,
        seconds=outcome.seconds,
        started_at=outcome.started_at,
        failure=outcome.failure,
        history=outcome.history,
    )


def _check_batch(batch_size: int | None, split: Split, field: str) -> None:
    if batch_size is not None and batch_size > len(split.train):
        raise BadInput(
            f"{batch_size} is more than the {len(split.train)} training rows of {split.dataset.name}",
            field=field,
            remedy="lower it, or use null for the full batch",
        )


@contextmanager
def _giving_up(running: Sequence[_Running]) -> Iterator[None]:
    """Leave no trial in work behind when something goes wrong."""
    try:
        yield
    except BaseException as error:
        for one in running:
            one.study.give_up(
                "interrupted" if isinstance(error, KeyboardInterrupt) else f"stopped: {type(error).__name__}"
            )
        raise
