"""What a study tries next, and which of it is stopped early: worked out in memory, from the trials a storage holds.

The sampler is made anew for every trial, seeded by the trial's place: the first, the second … of those that count.
Places come in batches. A trial that was given up, such as by a kill, leaves its place to another, which is proposed,
trained and stopped by what was known when its batch was first asked for, beside the rest of its batch: trials of it
that were told are trained along, and not told again. So a search that was interrupted ends as if it had never been.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from itertools import count
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import BadInput
from pipeline.stages.tuning.spec import Dimension, Direction, PrunerName, SamplerName, TuningSpec
from pipeline.stages.tuning.trials import REDUCTION_FACTOR, rungs

optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of every study, also those in memory

STARTUP_TRIALS = 10  # drawn at random, as TPE's and the Gaussian process's are by default
SHARE_AT_ONCE = 8  # an eighth of the trials is in work at a time, unless the file says how many
ENOUGH_FOR_TWO_BATCHES = 80  # trials from which on an eighth is large enough to be parted

# System attributes of trials: of interest to nobody but the sampler and the pruner.
PLACE = "photofinish:place"
NOTED = "photofinish:noted"  # names of those that the pruner left when the trial was trained
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, eq=False)
class Proposed:
    """A trial that was thought of."""

    trial: FrozenTrial
    position: int  # in the memory of its batch
    waiting: FrozenTrial | None = None  # enqueued by hand, and now taken


@dataclass(frozen=True, eq=False)
class Proposals:
    """What is to be tried at once."""

    new: list[Proposed] = field(default_factory=list)
    told: dict[int, FrozenTrial] = field(default_factory=dict)  # position → trial of the same batch, known already
    memory: list[FrozenTrial] = field(default_factory=list)  # what the sampler saw, and the batch


class Proposer:
    """Proposes trials of one study, batch by batch."""

    def __init__(
        self, study: str, direction: Direction, dimensions: Mapping[str, Dimension], spec: TuningSpec, longest: int
    ) -> None:
        self.distributions = {key: _distribution(dimension) for key, dimension in dimensions.items()}
        self._study = study
        self._direction = direction
        self._dimensions = dimensions
        self._spec = spec
        self._longest = longest  # epochs

    @property
    def budget(self) -> int:
        """Number of trials the study is to have: as many as asked for, or all points of a smaller grid."""
        points = int(np.prod([len(values) for values in self._grid.values()]))
        return min(self._spec.trials, points) if self._grid else self._spec.trials

    @property
    def batches_in_work(self) -> int:
        """Number of batches to have in work at a time; with two, one is asked for while the other trains."""
        return 1 if self._spec.trials_at_once or self._spec.trials < ENOUGH_FOR_TWO_BATCHES else 2

    def next_places(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """Return the places to propose trials for: the lowest that are free, of one batch."""
        taken = set(_placed(trials))
        batch = self._batch_of(next(place for place in count() if place not in taken))
        return [place for place in batch if place not in taken]

    def propose(self, trials: Sequence[FrozenTrial], places: Sequence[int]) -> Proposals:
        """Propose trials for places of one batch."""
        batch, placed = self._batch_of(places[0]), _placed(trials)
        known = [trial for trial in trials if trial.state is not TrialState.FAIL and PLACE not in trial.system_attrs]
        if any(trial.state is TrialState.FAIL and trial.system_attrs.get(PLACE) in batch for trial in trials):
            return self._propose([*known, *self._known_to(batch, placed)], batch, places, placed)
        return self._propose([*known, *placed.values()], batch, places, {})

    def rule(self, memory: Sequence[FrozenTrial], positions: Mapping[int, int]) -> StoppingRule:
        """Return what decides whether a trial of a batch is stopped; `positions` in memory by the trials' numbers."""
        return StoppingRule(self._study, self._direction, self._spec.pruner, self._longest, memory, positions)

    def _batch_of(self, place: int) -> range:
        """Return the places that are asked for together: few enough that the sampler learns from batch to batch."""
        size = self._spec.trials_at_once or max(self._spec.trials // SHARE_AT_ONCE // self.batches_in_work, 1)
        first = self._spec.trials_at_once or max(STARTUP_TRIALS, size)
        if place < first:
            return range(first)
        start = place - (place - first) % size
        return range(start, start + size)

    def _known_to(self, batch: range, placed: Mapping[int, FrozenTrial]) -> Iterator[FrozenTrial]:
        """Go through the trials before a batch, as they were when it was first asked for: the last ones in work."""
        in_work = batch.start
        for _ in range(self.batches_in_work - 1):
            in_work = self._batch_of(max(in_work - 1, 0)).start
        for place, trial in placed.items():
            if place < batch.start:
                yield trial if place < in_work else _in_work(trial)

    def _propose(
        self, known: Sequence[FrozenTrial], batch: range, places: Sequence[int], placed: Mapping[int, FrozenTrial]
    ) -> Proposals:
        memory = _memory_study(self._study, self._direction, known, self._pruner())
        proposals = Proposals()
        for place in batch:
            if place in placed:
                position = _add(memory, _in_work(placed[place]))
                if placed[place].state in FINISHED:
                    proposals.told[position] = placed[place]
            elif place in places:
                position = self._ask(memory, place)
                trial = _add_place(memory.get_trials(deepcopy=False)[position], place)
                waiting = known[position] if position < len(known) else None
                proposals.new.append(Proposed(trial, position, waiting))
        proposals.memory.extend(memory.get_trials(deepcopy=False))
        return proposals

    def _ask(self, memory: optuna.Study, place: int) -> int:
        memory.sampler = self._sampler(place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of samplers, about what they draw at random instead
            return memory.ask(self.distributions).number

    def _pruner(self) -> optuna.pruners.BasePruner:
        return _pruner(self._spec.pruner, self._longest)

    def _sampler(self, place: int) -> optuna.samplers.BaseSampler:
        """Return a sampler that is seeded by the place of the trial to be proposed."""
        if self._spec.sampler == "grid":  # its seed shuffles the points, which must stay where they are
            return optuna.samplers.GridSampler(self._grid, seed=self._spec.random_state)
        seed = np.random.SeedSequence([self._spec.random_state, place]).generate_state(1)
        return _sampler(self._spec.sampler, int(seed[0]))

    @cached_property
    def _grid(self) -> dict[str, list[Any]]:
        """Return the points of a grid search: as many a range as the number of trials allows, at least two."""
        if self._spec.sampler != "grid":
            return {}
        choices = {key: list(d.choices) for key, d in self._dimensions.items() if d.choices}
        ranges = {key: d for key, d in self._dimensions.items() if not d.choices}
        left = self._spec.trials / np.prod([len(values) for values in choices.values()] or [1])
        points = max(2, int(left ** (1 / max(len(ranges), 1)) + 1e-9))
        return choices | {key: _grid_points(dimension, points) for key, dimension in ranges.items()}


class StoppingRule:
    """Says whether a trial of a batch is stopped, by what the study knew when the batch began.

    It needs no storage, and works in any process.
    """

    def __init__(
        self,
        study: str,
        direction: Direction,
        pruner: PrunerName,
        longest: int,
        trials: Sequence[FrozenTrial],
        positions: Mapping[int, int],
    ) -> None:
        self._study = study
        self._direction = direction
        # Pruners look at values and their own notes alone; the rest would only have to be carried to other processes.
        self._slim = [_without_params(trial) for trial in trials]
        self._pruner = _pruner(pruner, longest)
        self._positions = positions  # number → position in memory
        self._known = [set(trial.system_attrs) for trial in trials]
        self._memory: optuna.Study | None = None

    def __call__(self, number: int, epochs: int, value: float) -> bool:
        """Note a trial's objective after some epochs, and say whether it is to be stopped."""
        if self._memory is None:
            self._memory = _memory_study(self._study, self._direction, self._slim, self._pruner)
        trial = optuna.trial.Trial(self._memory, self._stored_trial(number)._trial_id)
        trial.report(value, epochs)
        return trial.should_prune()

    def notes(self, number: int) -> dict[str, Any]:
        """What the pruner noted about a trial and wants to find there later."""
        if self._memory is None:
            return {}
        known, attributes = self._known[self._positions[number]], self._stored_trial(number).system_attrs
        noted = {key: value for key, value in attributes.items() if key not in known}
        return {**noted, NOTED: sorted(noted)} if noted else {}

    def _stored_trial(self, number: int) -> FrozenTrial:
        assert self._memory is not None
        return self._memory.get_trials(deepcopy=False)[self._positions[number]]


def check_sampler(name: SamplerName) -> None:
    """Make sure that a sampler is installed.

    Raises
    ------
    BadInput
        Naming the package that it needs.
    """
    if name == "cmaes" and find_spec("cmaes") is None:
        raise BadInput(
            "'cmaes' needs a package that isn't here", field="sampler", remedy="pip install cmaes, or use sampler: tpe"
        )


def by_place(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count in the order of their places; those that have none come first."""
    without = [trial for trial in trials if trial.state in FINISHED and PLACE not in trial.system_attrs]
    return [*without, *(trial for trial in _placed(trials).values() if trial.state in FINISHED)]


def _placed(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Return the trials that weren't given up by their places, in their order."""
    kept = (trial for trial in trials if trial.state is not TrialState.FAIL and PLACE in trial.system_attrs)
    return dict(sorted((trial.system_attrs[PLACE], trial) for trial in kept))


def _in_work(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as it was when it had been asked for: without what came of it."""
    noted = {NOTED, *trial.system_attrs.get(NOTED, ())}
    found = copy.copy(trial)
    found.state, found.values, found.datetime_complete = TrialState.RUNNING, None, None
    found.intermediate_values, found.user_attrs = {}, {}
    found.system_attrs = {key: value for key, value in trial.system_attrs.items() if key not in noted}
    return found


def _add_place(trial: FrozenTrial, place: int) -> FrozenTrial:
    found = copy.copy(trial)
    found.system_attrs = {**trial.system_attrs, PLACE: place}
    return found


def _memory_study(
    name: str, direction: Direction, trials: Sequence[FrozenTrial], pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    """Copy a study to memory; a trial's number is its position."""
    study = optuna.create_study(
        storage=optuna.storages.InMemoryStorage(),
        study_name=name,
        direction=direction,
        sampler=optuna.samplers.RandomSampler(),
        pruner=pruner,
    )
    for trial in trials:
        _add(study, trial)
    return study


def _add(study: optuna.Study, trial: FrozenTrial) -> int:
    """Add a trial as it is, also one that runs; returns its number there."""
    storage = study._storage
    return storage.get_trial_number_from_id(storage.create_new_trial(study._study_id, trial))


def _without_params(trial: FrozenTrial) -> FrozenTrial:
    slim = copy.copy(trial)
    slim.params, slim.distributions, slim.user_attrs = {}, {}, {}
    return slim


def _sampler(name: SamplerName, seed: int) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with quiet():
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(name: PrunerName, longest: int) -> optuna.pruners.BasePruner:
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "median":
        # Later than Optuna's default: after a few epochs a high learning rate looks best, and slower trials would go.
        return optuna.pruners.MedianPruner(STARTUP_TRIALS, n_warmup_steps=longest // REDUCTION_FACTOR**2)
    first = min(rungs(longest), default=longest)
    return optuna.pruners.HyperbandPruner(first, longest, REDUCTION_FACTOR)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.is_whole:
        low, high = int(dimension.low), int(dimension.high)
        return IntDistribution(low, high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _grid_points(dimension: Dimension, count: int) -> list[float]:
    make = np.geomspace if dimension.log else np.linspace
    points = make(dimension.low, dimension.high, count)
    if dimension.is_whole:
        return sorted({int(point) for point in points.round()})
    return [float(point) for point in np.clip(points, dimension.low, dimension.high)]


@contextmanager
def quiet() -> Iterator[None]:
    """Use what Optuna calls experimental: heartbeats, and some samplers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
