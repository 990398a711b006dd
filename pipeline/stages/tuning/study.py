"""Studies in Optuna's storage: what is asked, told and kept. The one module that knows Optuna.

Asking through the database costs several queries a trial, each of which reads all running trials again. So a batch is
asked for in memory: the study's trials are copied there, the sampler sees them, and only what comes out is written.

The sampler is made anew for every trial, seeded by the trial's place: the first, the second … of those that count. A
trial that was given up leaves its place to another. So a search that was interrupted and goes on proposes what it would
have proposed, and never the same twice by chance.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import random
import socket
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import column, create_engine, event, func, inspect, table, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from pipeline import artifacts, databases
from pipeline.artifacts import Trial
from pipeline.errors import BadInput, StoreError
from pipeline.interruption import deferred
from pipeline.stages.tuning.spec import Dimension, Direction, PrunerName, SamplerName, TuningSpec
from pipeline.stages.tuning.trials import REDUCTION_FACTOR, TrialOutcome, rungs

optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of every study, also those in memory

HEARTBEAT_SECONDS = 3
GRACE_SECONDS = 10  # a worker that was silent for as long is dead, and its trials are given up

STARTUP_TRIALS = 10  # drawn at random, as TPE's and the Gaussian process's are by default
SHARE_AT_ONCE = 8  # an eighth of the trials is in work at a time, unless the file says how many
ENOUGH_FOR_TWO_BATCHES = 80  # trials from which on an eighth is large enough to be parted


# User attributes of trials.
WORKER = "worker"  # host:process that trains it; only trials of ours have it
FAILURE = "failure"
PLACE = "photofinish:place"  # a system attribute: of interest to nobody but the sampler
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

HEARTBEATS = table("trial_heartbeats", column("trial_id"), column("heartbeat"))  # Optuna's


@dataclass(frozen=True)
class Asked:
    """A trial that waits to be trained."""

    number: int
    params: Mapping[str, Any]


class Storage:
    """Optuna's storage, reached; beats for the trials in work."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._rdb = _connect(url)
        self._in_work: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    @property
    def shown(self) -> str:
        """The address without a password."""
        return databases.shown(self.url)

    @property
    def optuna_storage(self) -> optuna.storages.BaseStorage:
        """Optuna's own object."""
        return self._rdb

    @contextmanager
    def heartbeats(self) -> Iterator[None]:
        """Tell other workers, from a thread, that the trials in work are alive.

        Raises
        ------
        StoreError
            When the storage fails meanwhile.
        """
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        except (optuna.exceptions.StorageInternalError, OperationalError) as error:
            raise StoreError(_failure(self.url, error)) from error
        finally:
            self._stop.set()
            thread.join()

    def begin(self, trial_id: int) -> None:
        """Beat for a trial from now on."""
        self.beat(trial_id)
        with self._lock:
            self._in_work.add(trial_id)

    def end(self, trial_id: int) -> None:
        """Beat for a trial no more."""
        with self._lock:
            self._in_work.discard(trial_id)

    def beat(self, trial_id: int) -> None:
        """Say once that a trial is alive."""
        self._rdb.record_heartbeat(trial_id)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._beat_for_all()
            except Exception as error:  # noqa: BLE001  # a missed beat is no reason to stop; the next one may come
                logging.getLogger(__name__).debug("no heartbeat: %s", error)

    def _beat_for_all(self) -> None:
        """Beat for every trial in work by one statement: Optuna would take four for each, and may fall behind."""
        with self._lock:
            trial_ids = sorted(self._in_work)
        if not trial_ids:
            return
        ours = HEARTBEATS.c.trial_id.in_(trial_ids)
        with self._rdb.engine.begin() as connection:
            connection.execute(update(HEARTBEATS).where(ours).values(heartbeat=func.now()))


class Study:
    """One study of ours: asked in batches, told trial by trial."""

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
        self._distributions = {key: _distribution(dimension) for key, dimension in dimensions.items()}
        self._dimensions = dimensions
        self._direction = direction
        self._spec = spec
        self._longest = longest  # epochs
        self._identity = identity
        self._attributes = attributes  # of every trial
        self._trial_ids: dict[int, int] = {}  # number → id, of trials in work here
        self._seen: dict[int, float] = {}  # id → when we began to wait for another worker's trial
        self._is_asking = False
        self._study: optuna.Study | None = None

    @databases.again_when_away
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

    @databases.again_when_away
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

    @databases.again_when_away
    @deferred()
    def ask(self) -> list[Asked]:
        """Take the next trials: those enqueued by hand first, then new ones, never more than are still to be had.

        Workers take turns in asking. Trial numbers tell whether another one's trial came in between all the same: then
        what was just proposed is given up, and asked for again with the other's trials in sight. So no trial is too
        many. Without turns that is what nearly all proposals of eight workers would come to.
        """
        if self._is_asking:
            self._give_up_unknown()
        self._is_asking = True
        while True:
            with databases.one_at_a_time(self.storage.url, self.name):
                self._refuse_strange()
                trials = self._all_trials()
                count = min(self._remaining(trials), self._batch(trials))
                taken = self._take(trials, count) if count > 0 else []
            if taken is not None:
                self._is_asking = False
                return taken
            time.sleep(random.random() / 2)  # noqa: S311  # any number will do

    @databases.again_when_away
    def is_done(self) -> bool:
        """Whether all trials are finished; those of dead workers are given up on the way."""
        self._give_up_stale()
        return self.finished >= self.budget

    @property
    def budget(self) -> int:
        """Number of trials the study is to have: as many as asked for, or all points of a smaller grid."""
        grid = self._grid()
        points = int(np.prod([len(values) for values in grid.values()]))
        return min(self._spec.trials, points) if grid else self._spec.trials

    @property
    def batches_in_work(self) -> int:
        """Number of batches to have in work at a time; with two, one is asked for while the other trains."""
        return 1 if self._spec.trials_at_once or self._spec.trials < ENOUGH_FOR_TWO_BATCHES else 2

    @property
    @databases.again_when_away
    def finished(self) -> int:
        """Number of trials that count."""
        return sum(trial.state in FINISHED for trial in self._all_trials())

    @databases.again_when_away
    def stopping_rule(self) -> StoppingRule:
        """What decides whether a trial of the batch in work is stopped, with what is known by now."""
        known = self._all_trials()
        return StoppingRule(self.name, self._direction, self._spec.pruner, self._longest, known)

    @databases.again_when_away
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

    @databases.again_when_away
    @deferred()
    def give_up(self, reason: str) -> None:
        """Mark the trials in work as failed, so that nobody waits for them."""
        for number, trial_id in list(self._trial_ids.items()):
            self._fail(trial_id, reason)
            del self._trial_ids[number]

    @databases.again_when_away
    def trials(self) -> list[Trial]:
        """Every trial that counts, by number; not those that were given up."""
        return [_value_of(trial) for trial in self._all_trials() if trial.state in FINISHED]

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

    def _batch(self, trials: Sequence[FrozenTrial]) -> int:
        """Number of trials to ask for at once: few enough that the sampler can learn from one batch for the next."""
        if self._spec.trials_at_once is not None:
            return self._spec.trials_at_once
        known = sum(trial.state is not TrialState.FAIL for trial in trials)
        return max(STARTUP_TRIALS - known, self._spec.trials // SHARE_AT_ONCE // self.batches_in_work, 1)

    def _take(self, trials: Sequence[FrozenTrial], count: int) -> list[Asked] | None:
        """Propose in memory, then write; None when another worker wrote in between."""
        taken: dict[int, FrozenTrial] = {}  # id → as proposed
        for proposed in self._propose(trials, count):
            if proposed.number >= len(trials):
                taken[self._create(proposed)] = proposed
            elif self._claim(trials[proposed.number]._trial_id, proposed):
                taken[trials[proposed.number]._trial_id] = proposed
        numbers = {trial._trial_id: trial.number for trial in self._all_trials()}
        if any(numbers[trial_id] != proposed.number for trial_id, proposed in taken.items()):
            for trial_id in taken:
                self._fail(trial_id, "another worker asked at the same moment")
            return None
        self._trial_ids |= {numbers[trial_id]: trial_id for trial_id in taken}
        return [Asked(proposed.number, proposed.params) for proposed in taken.values()]

    def _propose(self, trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
        pruner = _pruner(self._spec.pruner, self._longest)
        memory = _memory_study(self.name, self._direction, trials, optuna.samplers.RandomSampler(), pruner)
        proposed = []
        for place in self._free_places(trials, count):
            memory.sampler = self._sampler(place)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of samplers, about what they draw at random instead
                number = memory.ask(self._distributions).number
            trial = copy.copy(memory.get_trials(deepcopy=False)[number])
            trial.system_attrs = {**trial.system_attrs, PLACE: place}
            proposed.append(trial)
        return proposed

    def _free_places(self, trials: Sequence[FrozenTrial], count: int) -> list[int]:
        """Return the lowest places that no trial has: those of trials that were given up come again."""
        taken = {trial.system_attrs.get(PLACE) for trial in trials if trial.state is not TrialState.FAIL}
        return [place for place in range(len(trials) + count) if place not in taken][:count]

    def _create(self, proposed: FrozenTrial) -> int:
        assert self._study is not None
        template = copy.deepcopy(proposed)
        template.user_attrs = {**self._attributes, WORKER: _worker()}
        trial_id: int = self.storage.optuna_storage.create_new_trial(self._study._study_id, template)
        self.storage.begin(trial_id)
        return trial_id

    def _claim(self, trial_id: int, proposed: FrozenTrial) -> bool:
        """Take a trial that was enqueued by hand; False when another worker was faster."""
        rdb = self.storage.optuna_storage
        try:
            # First of all whose it is: a trial that runs and is nobody's would run for ever if we died now.
            rdb.set_trial_user_attr(trial_id, WORKER, _worker())
            if not rdb.set_trial_state_values(trial_id, TrialState.RUNNING):
                return False
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        self.storage.begin(trial_id)
        for key, value in self._attributes.items():
            rdb.set_trial_user_attr(trial_id, key, value)
        rdb.set_trial_system_attr(trial_id, PLACE, proposed.system_attrs[PLACE])
        for key, value in proposed.params.items():
            distribution = self._distributions[key]
            rdb.set_trial_param(trial_id, key, distribution.to_internal_repr(value), distribution)
        return True

    def _refuse_strange(self) -> None:
        """Fail trials that were enqueued by hand with hyperparameters from outside the space."""
        for trial in self._all_trials():
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
        with _quiet():
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
            raise BadInput(
                f"{where} doesn't {self._direction}, as the objective needs", field="--storage", remedy=remedy
            )
        known = found.user_attrs
        for key, value in self._identity.items():
            if key in known and known[key] != value:
                change = f"with {key} {_brief(known[key])}, and this is {_brief(value)}"
                if key == "rows":  # their digests say nothing
                    change = "on other rows: the data, their split or scaling have changed"
                raise BadInput(f"{where} was made {change}", field="--storage", remedy=remedy)
        if any(trial.state in FINISHED for trial in found.trials) and not set(self._identity) <= set(known):
            raise BadInput(f"{where} holds trials of unknown origin", field="--storage", remedy=remedy)

    def _sampler(self, place: int) -> optuna.samplers.BaseSampler:
        """Return a sampler that is seeded by the place of the trial to be proposed."""
        if self._spec.sampler == "grid":  # its seed shuffles the points, which must stay where they are
            return optuna.samplers.GridSampler(self._grid(), seed=self._spec.random_state)
        seed = np.random.SeedSequence([self._spec.random_state, place]).generate_state(1)
        return _sampler(self._spec.sampler, int(seed[0]))

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
        self, study: str, direction: Direction, pruner: PrunerName, longest: int, trials: Sequence[FrozenTrial]
    ) -> None:
        # Pruners look at values and their own notes alone; the rest would only have to be carried to other processes.
        slim = [_without_params(trial) for trial in trials]
        self._make = partial(_memory_study, study, direction, slim, optuna.samplers.RandomSampler())
        self._pruner = _pruner(pruner, longest)
        self._known = {trial.number: set(trial.system_attrs) for trial in trials}
        self._memory: optuna.Study | None = None

    def __call__(self, number: int, epochs: int, value: float) -> bool:
        """Note a trial's objective after some epochs, and say whether it is to be stopped."""
        if self._memory is None:
            self._memory = self._make(self._pruner)
        trial = optuna.trial.Trial(self._memory, self._stored_trial(number)._trial_id)
        trial.report(value, epochs)
        return trial.should_prune()

    def notes(self, number: int) -> dict[str, Any]:
        """What the pruner noted about a trial and wants to find there later."""
        if self._memory is None:
            return {}
        attributes = self._stored_trial(number).system_attrs
        return {key: value for key, value in attributes.items() if key not in self._known[number]}

    def _stored_trial(self, number: int) -> FrozenTrial:
        assert self._memory is not None
        return self._memory.get_trials(deepcopy=False)[number]


def _connect(url: str) -> optuna.storages.RDBStorage:
    try:
        is_sqlite = make_url(url).get_backend_name() == "sqlite"
        databases.check_driver(url, "--storage")
        databases.be_patient()
        with databases.one_at_a_time(url):
            _refuse_foreign(url)
            rdb = _open(url)
            if is_sqlite:
                _write_ahead(rdb)
        return rdb
    except BadInput:
        raise
    except ArgumentError as error:
        remedy = "write it as SQLAlchemy does: sqlite:///optuna.db, postgresql+psycopg2://user@host/database"
        raise BadInput(f"{url!r} is no address of a database", field="--storage", remedy=remedy) from error
    except RuntimeError as error:  # the schema of another version; Optuna's message says more than it needs to
        remedy = f"run: optuna storage upgrade --storage {databases.shown(url)}; or use another storage"
        raise BadInput(
            f"{databases.shown(url)}: {str(error).split('. ')[0]}", field="--storage", remedy=remedy
        ) from error
    except Exception as error:  # drivers raise errors of their own
        problem = _failure(url, error)
        if databases.is_locked(error):
            raise StoreError(problem) from error
        raise BadInput(problem, field="--storage", remedy="check the address") from error


def _failure(url: str, error: Exception) -> str:
    if databases.is_locked(error):
        return databases.locked(databases.shown(url))
    return f"{databases.shown(url)} can't be used: {databases.without_sql(str(error.__cause__ or error))}"


def _open(url: str) -> optuna.storages.RDBStorage:
    """Open a storage, and make its tables where there are none.

    Of several processes that make them at once, all but one find that a table or a row is there already.
    """
    for attempts_left in reversed(range(databases.ATTEMPTS)):
        try:
            with _quiet():
                return optuna.storages.RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS)
        except (DatabaseError, AssertionError, optuna.exceptions.StorageInternalError) as error:
            is_race = isinstance(error, AssertionError) or databases.is_race(error)
            if not (is_race and attempts_left):
                raise
            time.sleep(random.random())  # noqa: S311  # any number will do
    raise AssertionError("the last attempt returns or raises")


def _write_ahead(rdb: optuna.storages.RDBStorage) -> None:
    """Have SQLite keep a write-ahead log: readers don't wait for writers, and a commit takes a third of the time.

    What a process has written is there when it is killed; when the machine loses power, the last moments may be lost.
    """

    def prepare(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(rdb.engine, "connect", prepare)
    rdb.engine.dispose()  # connections made before don't know
    with contextlib.suppress(OperationalError), rdb.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # refused while another process is at it, which will do


def _refuse_foreign(url: str) -> None:
    """Keep out of another program's database, such as MLflow's: its schema version would be taken for Optuna's."""
    engine = create_engine(url)
    try:
        database = engine.url.database
        if engine.url.get_backend_name() == "sqlite" and not (database and Path(database).is_file()):
            return  # looking would create it
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if "alembic_version" in tables and "version_info" not in tables:
        raise BadInput(
            f"{databases.shown(url)} is another program's database",
            field="--storage",
            remedy="give the studies one of their own",
        )


def _memory_study(
    name: str,
    direction: Direction,
    trials: Iterable[FrozenTrial],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
) -> optuna.Study:
    """Copy a study to memory; a trial's number is its position."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=name, direction=direction, sampler=sampler, pruner=pruner)
    for trial in trials:
        if trial.state is TrialState.FAIL:  # nothing may be learnt from it, not even that a grid point was visited
            trial = copy.copy(trial)
            trial.system_attrs = {}
        storage.create_new_trial(study._study_id, trial)
    return study


def _without_params(trial: FrozenTrial) -> FrozenTrial:
    slim = copy.copy(trial)
    slim.params, slim.distributions, slim.user_attrs = {}, {}, {}
    return slim


def _sampler(name: SamplerName, seed: int) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with _quiet():
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(seed=seed)


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Use what Optuna calls experimental: heartbeats, and some samplers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
