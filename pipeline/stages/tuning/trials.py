"""Training the trials of one batch as a population, rung by rung, so that hopeless ones stop early."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.artifacts import History, Network, Split
from pipeline.stages.inference import measure
from pipeline.stages.populations import population_member, population_rows, population_shape, training_rows
from pipeline.training.spec import LossName, ModelSpec

if TYPE_CHECKING:
    from pipeline.training.population import Member, Population, Shape

# Values are reported after 1/27, 1/9 and 1/3 of the longest training. Hyperband's authors recommend a factor of 3 or 4
# (Li et al. 2018, JMLR 18); what comes before the first rung says too little.
REDUCTION_FACTOR = 3
MOST_RUNGS = 3


class Stopping(Protocol):
    """Decides which trials are not worth going on with."""

    def __call__(self, number: int, epochs: int, value: float) -> bool:
        """Note a trial's objective after some epochs, and say whether it is to be stopped."""

    def notes(self, number: int) -> dict[str, Any]:
        """What is to be stored with a trial, for decisions to come."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """Hyperparameters to try."""

    study: str
    number: int
    params: Mapping[str, Any]
    spec: ModelSpec


@dataclass(frozen=True, eq=False)
class TrialsTask:
    """Some proposals of one study; small enough to hand to another process.

    `folds` is one split, or those of a cross-validation; none of their tables holds a test row.
    """

    proposals: tuple[Proposal, ...]
    folds: tuple[Split, ...]
    seeds: tuple[int, ...]
    loss: LossName
    metric: str
    rungs: tuple[int, ...]
    stopping: Stopping
    device: str
    memory: int | None = None


@dataclass
class TrialOutcome:
    """What became of one proposal."""

    proposal: Proposal
    started_at: float
    steps: dict[int, float] = field(default_factory=dict)  # epochs → objective
    seconds: float = 0.0
    is_pruned: bool = False
    failure: str | None = None
    history: History | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)  # of the stopping rule

    @property
    def value(self) -> float | None:
        """The objective at the end; None when it didn't come to that."""
        return None if self.is_pruned or self.failure else self.steps[max(self.steps)]


def rungs(longest: int) -> tuple[int, ...]:
    """Epochs after which trials are looked at, lowest first, before the longest training ends."""
    found = [-(-longest // REDUCTION_FACTOR**power) for power in range(MOST_RUNGS, 0, -1)]
    return tuple(sorted({rung for rung in found if 1 < rung < longest}))


def train_trials(task: TrialsTask, announce: Callable[[Population], None] | None = None) -> list[TrialOutcome]:
    """Train every proposal on every fold with every seed, all of them side by side.

    After each rung the mean objective of each trial is handed to `task.stopping`. Trials that are stopped leave, and so
    do those one of whose networks diverges. `announce` is told of each epoch of each stack.
    """
    from pipeline.training.population import one_thread

    batch = _Batch(task)
    longest = max(proposal.spec.training.epochs for proposal in task.proposals)
    with one_thread():
        for epoch in (*(rung for rung in task.rungs if rung < longest), longest):
            batch.train_until(epoch, announce)
            batch.report(epoch)
    return batch.outcomes


class _Batch:
    """The networks of some proposals, in stacks that are trained in turns."""

    def __init__(self, task: TrialsTask) -> None:
        self._task = task
        now = time.time()
        self.outcomes = [TrialOutcome(proposal, now) for proposal in task.proposals]
        self._open = set(range(len(task.proposals)))  # positions of trials that still train
        self._stacks = list(_stacks(task))

    def train_until(self, epoch: int, announce: Callable[[Population], None] | None = None) -> None:
        """Train every network for as many epochs in all, or to its own end."""
        for stack in self._stacks:
            started, active = time.perf_counter(), list(stack.population.active)
            while stack.population.active and stack.population.epoch < epoch:
                stack.population.run_epoch()
                if announce is not None:
                    announce(stack.population)
            stack.population.release_diverged()
            stack.population.free_buffers()  # the others want the memory before this stack's next turn
            for index in active:
                trial = stack.networks[index].trial
                self.outcomes[trial].seconds += (time.perf_counter() - started) / len(active)

    def report(self, epoch: int) -> None:
        """Note each open trial's objective; let those leave that failed, ended or were stopped."""
        leaving = set()
        for trial in sorted(self._open):
            outcome = self.outcomes[trial]
            epochs = outcome.proposal.spec.training.epochs
            outcome.failure = self._failure(trial)
            if outcome.failure is None:
                step = min(epoch, epochs)
                outcome.steps[step] = self._objective(trial)
                if step < epochs:
                    outcome.is_pruned = self._task.stopping(outcome.proposal.number, step, outcome.steps[step])
            if outcome.failure or outcome.is_pruned or epochs <= epoch:
                leaving.add(trial)
        self._release(leaving)

    def _release(self, leaving: set[int]) -> None:
        self._open -= leaving
        for stack in self._stacks:
            members = {index for index in stack.population.active if stack.networks[index].trial in leaving}
            if members:
                stack.population.release(members)
        for trial in leaving:
            self.outcomes[trial].notes = self._task.stopping.notes(self.outcomes[trial].proposal.number)
            self.outcomes[trial].history = self._mean_history(trial)

    def _failure(self, trial: int) -> str | None:
        return next(
            (found for stack, index in self._members(trial) if (found := stack.population.failures.get(index))), None
        )

    def _objective(self, trial: int) -> float:
        """Mean over folds and seeds."""
        return float(np.mean([self._score(stack, index) for stack, index in self._members(trial)]))

    def _score(self, stack: _Stack, index: int) -> float:
        if self._task.metric == "log_loss":  # the loss that was followed anyway, and scikit-learn's takes a millisecond
            return stack.population.last_monitored_loss(index)
        return measure(self._task.metric, stack.network(index), stack.split, stack.split.validation)

    def _mean_history(self, trial: int) -> History:
        """Mean curve, as far as all of the trial's networks came."""
        histories = [stack.population.outcome(index).history for stack, index in self._members(trial)]
        epochs = min(len(history.train_loss) for history in histories)
        curves = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
        return History(
            *(np.mean([getattr(history, curve)[:epochs] for history in histories], axis=0) for curve in curves)
        )

    def _members(self, trial: int) -> Iterator[tuple[_Stack, int]]:
        for stack in self._stacks:
            for index, network in enumerate(stack.networks):
                if network.trial == trial:
                    yield stack, index


@dataclass(frozen=True)
class _Network:
    """One network of a batch."""

    trial: int  # position in the task's proposals
    member: Member


@dataclass(frozen=True, eq=False)
class _Stack:
    """Networks that train together on one fold."""

    split: Split
    networks: Sequence[_Network]
    population: Population

    def network(self, index: int) -> Network:
        """One network as it is now."""
        population = self.population
        if index in population.networks:
            return population.networks[index]
        return population.stack.network(population.active.index(index))


def _stacks(task: TrialsTask) -> Iterator[_Stack]:
    """Sort every network of a batch into stacks: by fold, by what a population shares, and by size."""
    from pipeline.training.population import Population, stacks

    for split in task.folds:
        # Weights are nothing that is searched, so that all proposals have those of the first.
        train = training_rows(split, task.proposals[0].spec)
        monitored = population_rows(split, "validation")
        for shape, networks in _by_shape(task, split).items():
            members = [network.member for network in networks]
            for chosen in stacks(shape, members, len(train), len(monitored), task.memory):
                population = Population(shape, [members[index] for index in chosen], train, monitored)
                yield _Stack(split, [networks[index] for index in chosen], population)


def _by_shape(task: TrialsTask, split: Split) -> dict[Shape, list[_Network]]:
    found: dict[Shape, list[_Network]] = {}
    for position, proposal in enumerate(task.proposals):
        shape = population_shape(proposal.spec, task.loss, split, task.device)
        networks = [_Network(position, population_member(proposal.spec, seed)) for seed in task.seeds]
        found.setdefault(shape, []).extend(networks)
    return found
