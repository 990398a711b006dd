"""Studies in Optuna's storage: what is asked, told and kept.

Asking through the database costs several queries a trial, each of which reads all running trials again. So a batch is
asked for in memory (`proposals.py`), from the study's trials as they are, and only what comes out is written.
"""

from __future__ import annotations

import copy
import json
import os
import random
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import OperationalError

from pipeline import artifacts, databases, processes
from pipeline.artifacts import Trial
from pipeline.errors import BadInput, StoreError
from pipeline.interruption import deferred
from pipeline.stages.tuning.proposals import FINISHED, PLACE, Proposed, Proposer, StoppingRule, by_place, quiet
from pipeline.stages.tuning.spec import Dimension, Direction, TuningSpec
from pipeline.stages.tuning.storage import GRACE_SECONDS, HEARTBEAT_SECONDS, Storage, failure
from pipeline.stages.tuning.trials import TrialOutcome

P = ParamSpec("P")
Result = TypeVar("Result")

# User attributes of trials.
WORKER = "worker"  # host:process that trains it; only trials of ours have it
FAILURE = "failure"
PROCESS = "photofinish:process"  # a system attribute: the same, told so that others of this machine can look


@dataclass(frozen=True)
class Asked:
    """A trial that waits to be trained."""

    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """Trials that are trained together, and what decides which of them are stopped.

    Some may be told already, and are there for the others' sake: when these were given up, and are tried again.
    """

    trials: Sequence[Asked]
    rule: StoppingRule


def _patient(method: Callable[Concatenate[Study, P], Result]) -> Callable[Concatenate[Study, P], Result]:
    """Wait for a storage that went away, and tell in a line what else is wrong with it; a decorator."""
    patient = databases.again_when_away(method)

    @wraps(method)
    def call(study: Study, /, *arguments: P.args, **keywords: P.kwargs) -> Result:
        try:
            return patient(study, *arguments, **keywords)
        except (optuna.exceptions.StorageInternalError, OperationalError) as error:
            raise StoreError(failure(study.storage.url, error)) from error

    return call


class Study:
    """One study of ours: asked in batches, told trial by trial.

    All that reads or writes the storage raises `StoreError` when that fails, and goes on failing.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        direction: Direction,
        dimensions: Mapping[str, Dimension],
        spec: TuningSpec,
        longest: int,
        identity: Mapping[str, Any],
        attributes: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.storage = storage
        self._proposer = Proposer(name, direction, dimensions, spec, longest)
        self._dimensions = dimensions
        self._direction = direction
        self._identity = identity
        self._attributes = attributes  # of every trial
        self._trial_ids: dict[int, int] = {}  # number → id, of trials in work here
        self._seen: dict[int, float] = {}  # id → when we began to wait for another worker's trial
        self._before_asking: dict[int, int] | None = None  # the same, when asking began that hasn't come to its end
        self._study: optuna.Study | None = None

    @_patient
    def check(self) -> None:
        """Make sure that the study can be made or continued, without making it.

        Raises
        ------
        BadInput
            When there is a study of that name that searches something else.
        """
        found = self._find()
        if found is not None:
            self._check_identity(found)

    @_patient
    @deferred()
    def open(self, *, fresh: bool = False) -> None:
        """Make the study, or take up the one there is; `fresh` deletes what it holds."""
        rdb = self.storage.optuna_storage
        if fresh and self._find() is not None:
            optuna.delete_study(study_name=self.name, storage=rdb)
        self._study = optuna.create_study(
            storage=rdb, study_name=self.name, direction=self._direction, load_if_exists=True
        )
        known = self._study.user_attrs
        for key, value in self._identity.items():
            if key not in known:
                self._study.set_user_attr(key, value)

    @_patient
    @deferred()
    def ask(self) -> Batch | None:
        """Take the next trials: those enqueued by hand first, then new ones, never more than are still to be had.

        Workers take turns in asking. Trial numbers tell whether another one's trial came in between all the same: then
        what was just proposed is given up, and asked for again with the other's trials in sight. So no trial is too
        many. Without turns that is what nearly all proposals of eight workers would come to.
        """
        if self._before_asking is not None:  # the storage went away under it
            self._trial_ids = self._before_asking
            self._give_up_unknown()
        self._before_asking = dict(self._trial_ids)
        while True:
            with databases.one_at_a_time(self.storage.url, self.name):
                trials = self._all_trials()
                if self._refuse_strange(trials) + self._give_up_dead(trials):
                    trials = self._all_trials()
                remaining = self._remaining(trials)
                places = self._proposer.next_places(trials)[: max(remaining, 0)]
                batch = self._take(trials, places) if places else None
            if batch is not None or not places:
                self._before_asking = None
                return batch
            time.sleep(random.random() / 2)  # noqa: S311  # any number will do

    @_patient
    def is_done(self) -> bool:
        """Whether all trials are finished; those of dead workers are given up on the way."""
        self._give_up_stale()
        return self.finished >= self.budget

    @property
    def budget(self) -> int:
        """Number of trials the study is to have."""
        return self._proposer.budget

    @property
    def batches_in_work(self) -> int:
        """Number of batches to have in work at a time."""
        return self._proposer.batches_in_work

    @property
    @_patient
    def finished(self) -> int:
        """Number of trials that count."""
        return sum(trial.state in FINISHED for trial in self._all_trials())

    def is_in_work(self, number: int) -> bool:
        """Whether a trial was asked for here and waits to be told."""
        return number in self._trial_ids

    @_patient
    @deferred()
    def tell(self, outcome: TrialOutcome, attributes: Mapping[str, Any]) -> bool:
        """Write what became of a trial; False when another worker has given it up meanwhile."""
        rdb = self.storage.optuna_storage
        trial_id = self._trial_ids[outcome.proposal.number]
        is_ours = True
        try:
            for step, value in outcome.steps.items():
                rdb.set_trial_intermediate_value(trial_id, step, value)
            for key, value in attributes.items():
                rdb.set_trial_user_attr(trial_id, key, value)
            for key, value in outcome.notes.items():
                rdb.set_trial_system_attr(trial_id, key, value)
            if outcome.value is None:
                # A network that diverged counts as a trial, and as a bad one: the sampler learns to stay away.
                rdb.set_trial_state_values(trial_id, TrialState.PRUNED)
            else:
                rdb.set_trial_state_values(trial_id, TrialState.COMPLETE, [outcome.value])
        except optuna.exceptions.UpdateFinishedTrialError:
            # Given up, unless we have told it already, and only the answer got lost.
            is_ours = rdb.get_trial(trial_id).state in FINISHED
        self.storage.end(trial_id)
        del self._trial_ids[outcome.proposal.number]
        return is_ours

    @_patient
    @deferred()
    def give_up(self, reason: str) -> None:
        """Mark the trials in work as failed, so that nobody waits for them."""
        for number, trial_id in list(self._trial_ids.items()):
            self._fail(trial_id, reason)
            del self._trial_ids[number]

    @_patient
    def trials(self) -> list[Trial]:
        """Every trial that counts, in the order of their places; not those that were given up."""
        return [_value_of(trial) for trial in by_place(self._all_trials())]

    @_patient
    def importances(self) -> dict[str, float]:
        """How much each hyperparameter matters for being among the best tenth (PED-ANOVA); shares of 1.

        Watanabe, Bansal and Hutter 2023, "PED-ANOVA", IJCAI. Empty when there are too few trials to say.
        """
        assert self._study is not None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Optuna warns, and calls all equal, where it can't say
                found = optuna.importance.get_param_importances(self._study)
        except (ValueError, RuntimeError, Warning):
            return {}
        return {key: float(value) for key, value in found.items() if np.isfinite(value)}

    def _all_trials(self) -> list[FrozenTrial]:
        assert self._study is not None
        return self._study.get_trials(deepcopy=False)

    def _find(self) -> optuna.Study | None:
        try:
            return optuna.load_study(study_name=self.name, storage=self.storage.optuna_storage)
        except KeyError:
            return None

    def _remaining(self, trials: Iterable[FrozenTrial]) -> int:
        taken = [
            trial
            for trial in trials
            if trial.state in FINISHED or (trial.state is TrialState.RUNNING and WORKER in trial.user_attrs)
        ]
        return self.budget - len(taken)

    def _take(self, trials: Sequence[FrozenTrial], places: Sequence[int]) -> Batch | None:
        """Propose in memory, then write; None when another worker wrote in between."""
        proposals = self._proposer.propose(trials, places)
        taken: dict[int, Proposed] = {}  # id → as proposed
        expected: dict[int, int] = {}  # id → number, if nobody came in between
        for one in proposals.new:
            if one.waiting is None:
                trial_id = self._create(one.trial)
                expected[trial_id] = len(trials) + len(expected.keys() - {of._trial_id for of in trials})
            elif self._claim(one.waiting._trial_id, one.trial):
                trial_id = one.waiting._trial_id
                expected[trial_id] = one.waiting.number
            else:
                continue
            taken[trial_id] = one
        numbers = {trial._trial_id: trial.number for trial in self._all_trials()}
        if any(numbers[trial_id] != number for trial_id, number in expected.items()):
            for trial_id in taken:
                self._fail(trial_id, "another worker asked at the same moment")
            return None
        self._trial_ids |= {numbers[trial_id]: trial_id for trial_id in taken}
        asked = {one.position: Asked(numbers[trial_id], one.trial.params) for trial_id, one in taken.items()}
        asked |= {at: Asked(trial.number, trial.params) for at, trial in proposals.told.items()}
        positions = {trial.number: at for at, trial in asked.items()}
        return Batch([asked[at] for at in sorted(asked)], self._proposer.rule(proposals.memory, positions))

    def _create(self, proposed: FrozenTrial) -> int:
        assert self._study is not None
        template = copy.deepcopy(proposed)
        template.user_attrs = {**self._attributes, WORKER: _worker()}
        template.system_attrs = {**template.system_attrs, PROCESS: _process()}
        trial_id: int = self.storage.optuna_storage.create_new_trial(self._study._study_id, template)
        self.storage.begin(trial_id)
        return trial_id

    def _claim(self, trial_id: int, proposed: FrozenTrial) -> bool:
        """Take a trial that was enqueued by hand; False when another worker was faster."""
        rdb = self.storage.optuna_storage
        try:
            # First of all whose it is: a trial that runs and is nobody's would run for ever if we died now.
            rdb.set_trial_user_attr(trial_id, WORKER, _worker())
            rdb.set_trial_system_attr(trial_id, PROCESS, _process())
            if not rdb.set_trial_state_values(trial_id, TrialState.RUNNING):
                return False
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        self.storage.begin(trial_id)
        for key, value in self._attributes.items():
            rdb.set_trial_user_attr(trial_id, key, value)
        rdb.set_trial_system_attr(trial_id, PLACE, proposed.system_attrs[PLACE])
        for key, value in proposed.params.items():
            distribution = self._proposer.distributions[key]
            rdb.set_trial_param(trial_id, key, distribution.to_internal_repr(value), distribution)
        return True

    def _refuse_strange(self, trials: Iterable[FrozenTrial]) -> int:
        """Fail trials that were enqueued by hand with hyperparameters from outside the space; returns how many."""
        refused = 0
        for trial in trials:
            if trial.state is not TrialState.WAITING:
                continue
            fixed = trial.system_attrs.get("fixed_params", {})
            strange = [
                key for key in fixed if key not in self._dimensions or not self._dimensions[key].contains(fixed[key])
            ]
            if strange:
                key = strange[0]
                space = self._dimensions[key].describe() if key in self._dimensions else "no such dimension"
                self._fail(trial._trial_id, f"{key} = {fixed[key]!r} lies outside the space: {space}")
                refused += 1
        return refused

    def _give_up_dead(self, trials: Iterable[FrozenTrial]) -> int:
        """Fail the trials of processes of this machine that are gone: nobody will tell them; returns how many."""
        orphans = [
            trial for trial in trials if trial.state is TrialState.RUNNING and _is_dead(trial.system_attrs.get(PROCESS))
        ]
        for trial in orphans:
            self._fail(trial._trial_id, f"its process {trial.user_attrs[WORKER]} is gone")
        return len(orphans)

    def _give_up_unknown(self) -> None:
        """Fail what was just asked for when the storage went away, and whose answer got lost; nobody will train it."""
        known = set(self._trial_ids.values())
        for trial in self._all_trials():
            is_ours = trial.user_attrs.get(WORKER) == _worker()
            if is_ours and trial.state is TrialState.RUNNING and trial._trial_id not in known:
                self._fail(trial._trial_id, "the storage went away when it was asked for")

    def _give_up_stale(self) -> None:
        """Fail the trials of workers that have been silent for too long."""
        assert self._study is not None
        with quiet():
            optuna.storages.fail_stale_trials(self._study)
        for trial in self._all_trials():
            if trial.state is not TrialState.RUNNING or WORKER not in trial.user_attrs:
                continue
            since = self._seen.setdefault(trial._trial_id, time.monotonic())
            if time.monotonic() - since > GRACE_SECONDS + HEARTBEAT_SECONDS:
                # Not stale in all that time: it is alive, or its worker died before its first heartbeat, without which
                # no trial ever gets stale. This beat is that first one.
                self.storage.beat(trial._trial_id)
                self._seen[trial._trial_id] = float("inf")

    def _fail(self, trial_id: int, reason: str) -> None:
        rdb = self.storage.optuna_storage
        self.storage.end(trial_id)
        try:
            rdb.set_trial_user_attr(trial_id, FAILURE, reason)
            rdb.set_trial_state_values(trial_id, TrialState.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # another worker has given it up

    def _check_identity(self, found: optuna.Study) -> None:
        delete = f"optuna delete-study --storage {self.storage.shown} --study-name {self.name}"
        remedy = f"use --fresh, which deletes the old study; or: {delete}"
        where = f"study {self.name!r}"
        if [direction.name.lower() for direction in found.directions] != [self._direction]:
            raise BadInput(f"{where} doesn't {self._direction}, as the objective needs", field="storage", remedy=remedy)
        known = found.user_attrs
        for key, value in self._identity.items():
            if key in known and known[key] != value:
                change = f"with {key} {_brief(known[key])}, and this is {_brief(value)}"
                if key == "rows":  # their digests say nothing
                    change = "on other rows: the data, their split or scaling have changed"
                raise BadInput(f"{where} was made {change}", field="storage", remedy=remedy)
        if any(trial.state in FINISHED for trial in found.trials) and not set(self._identity) <= set(known):
            raise BadInput(f"{where} holds trials of unknown origin", field="storage", remedy=remedy)


def _value_of(trial: FrozenTrial) -> Trial:
    failure = trial.user_attrs.get(FAILURE)
    pruned: artifacts.TrialState = "failed" if failure else "pruned"
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return Trial(
        number=trial.number,
        state="complete" if trial.state is TrialState.COMPLETE else pruned,
        params=dict(trial.params),
        value=trial.value,
        steps=dict(sorted(trial.intermediate_values.items())),
        seconds=float(trial.user_attrs.get("seconds", 0.0)),
        started_at=started,
        failure=failure,
        run_id=trial.user_attrs.get("mlflow_run_id"),
    )


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _process() -> list[Any]:
    """Tell this process from all others: where it is, its number and its start."""
    found = processes.look(os.getpid())
    return [processes.place(), os.getpid(), found.started if found else ""]


def _is_dead(process: Sequence[Any] | None) -> bool:
    """Whether a process is known to be gone: it was of this machine, and its number is nobody's or another's."""
    if process is None or process[0] != processes.place() or not process[2]:
        return False
    found = processes.look(process[1])
    return found is None or found.started != process[2]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
