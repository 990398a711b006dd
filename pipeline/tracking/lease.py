"""One owner for each experiment: who runs it, whether they are alive, and closing what the dead have left open.

A process that runs an experiment says so in a tag of the MLflow experiment, its claim, which it rewrites every few
seconds. No clock is compared with another: a process of this machine is looked up by its number and start; one of
another machine is alive when its claim changes while one watches.

Two that start at once may each see the other. So whoever claims looks only after having written, and holds the
experiment when nobody else claims it: of any two, the one that wrote last sees the other. Of two that still ask, the
one with the larger token withdraws, and the other waits to see whether that one had looked before, and holds.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import Field, ValidationError

from pipeline import processes
from pipeline.errors import Occupied
from pipeline.interruption import deferred
from pipeline.spec import Spec
from pipeline.tracking import records

CLAIM = "photofinish.claim."  # and a token: a tag of the MLflow experiment
HEARTBEAT_SECONDS = 5.0
WATCH_SECONDS = 20.0  # a claim of another machine that doesn't change for as long is a dead process's
LOOK_SECONDS = 0.2
MOST_RUNS = 50_000  # MLflow's limit on one answer

_held: set[str] = set()  # tokens in use here; a claim of this process with another one is left over from a lost store


class Owner(Spec):
    """A process that runs an experiment."""

    experiment: str  # the file's `name`
    excludes: bool  # others that train the same; those that only search share their trials
    since: str = Field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))  # for people
    pid: int = Field(default_factory=os.getpid)
    place: str = Field(default_factory=processes.place)
    started: str = Field(default_factory=lambda: _started(os.getpid()))  # empty where nobody can tell
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)
    holds: bool = False  # or only asks
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.place.split()[0]}"

    @property
    def is_here(self) -> bool:
        """Whether it is a process that this one could see."""
        return bool(self.started) and self.place == processes.place()

    @property
    def is_running(self) -> bool:
        """Whether a process that could be seen is there."""
        if self.pid == os.getpid():
            return self.token in _held
        return self.started == _started(self.pid)


@contextmanager
def take(
    client: MlflowClient, experiment_id: str, experiment: str, *, excludes: bool, note: Callable[[str], None]
) -> Iterator[Owner]:
    """Own an experiment while the block runs; comparisons that dead owners have left open are closed before.

    Parameters
    ----------
    client:
        Of the store.
    experiment_id:
        MLflow's.
    experiment:
        The file's `name`.
    excludes:
        Whether nobody else may train the same. Those that only search share their trials.
    note:
        Told what one waits for.

    Raises
    ------
    Occupied
        When another process has it; nothing was created then.
    """
    owner = Owner(experiment=experiment, excludes=excludes)
    _held.add(owner.token)
    try:
        with deferred():
            _write(client, experiment_id, owner)
        owner = _enter(client, experiment_id, owner, note)
        with _heartbeats(client, experiment_id, owner):
            yield owner
    finally:
        _held.discard(owner.token)
        _withdraw(client, experiment_id, owner.token)


def owner_tag(owner: Owner) -> dict[str, str]:
    """Return the tag that says on a comparison's run whose it is."""
    return {records.OWNER: json.dumps({"token": owner.token, "process": str(owner)})}


def is_alive(run: Run) -> bool:
    """Whether somebody is at a comparison. To be asked under a lease, whose taking has closed those of the dead."""
    return run.info.status == "RUNNING" and records.OWNER in run.data.tags


def _enter(client: MlflowClient, experiment_id: str, owner: Owner, note: Callable[[str], None]) -> Owner:
    """Wait until nobody else claims the same, and hold it."""
    while True:
        claims = _others(client, experiment_id, owner)
        alive = _alive(client, experiment_id, owner, claims, note)
        rivals = [one for one in alive if owner.excludes and one.excludes and one.experiment == owner.experiment]
        for rival in rivals:
            if rival.holds or rival.token < owner.token:
                raise Occupied(
                    f"{rival.experiment} is being run already, by {rival}, since {rival.since};"
                    f" wait for it, or end it there by: kill {rival.pid}"
                )
        if not rivals:
            break
        time.sleep(LOOK_SECONDS)
    owner = owner.model_copy(update={"holds": True})
    with deferred():
        _write(client, experiment_id, owner)
    living = {one.token for one in alive}
    _close_orphans(client, experiment_id, {*living, owner.token})
    for token in claims.keys() - living:
        _withdraw(client, experiment_id, token)
    return owner


@deferred()
def _others(client: MlflowClient, experiment_id: str, owner: Owner) -> dict[str, Owner]:
    """Return what others claim, by token."""
    found = {}
    for key, value in client.get_experiment(experiment_id).tags.items():
        if key.startswith(CLAIM) and key != CLAIM + owner.token:
            with suppress(ValidationError):  # of another version, or no claim at all
                found[key.removeprefix(CLAIM)] = Owner.model_validate_json(value)
    return found


def _alive(
    client: MlflowClient,
    experiment_id: str,
    owner: Owner,
    claims: dict[str, Owner],
    note: Callable[[str], None],
) -> list[Owner]:
    """Return the claims of the living; those of other machines are watched for changes."""
    alive = [one for one in claims.values() if one.is_here and one.is_running]
    watched = {token: one for token, one in claims.items() if not one.is_here}
    if watched:
        note(f"looking whether anybody is alive: {', '.join(map(str, watched.values()))}")
    end = time.monotonic() + WATCH_SECONDS
    while watched and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        now = _others(client, experiment_id, owner)
        alive += [now[token] for token, one in watched.items() if token in now and now[token] != one]
        watched = {token: one for token, one in watched.items() if now.get(token) == one}
    return alive


@contextmanager
def _heartbeats(client: MlflowClient, experiment_id: str, owner: Owner) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(client, experiment_id, owner, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(HEARTBEAT_SECONDS)  # it may be waiting for a store that is away


def _beat(client: MlflowClient, experiment_id: str, owner: Owner, stop: threading.Event) -> None:
    """Change the claim every few seconds; when somebody has taken it for a dead one's, give the experiment up."""
    while not stop.wait(HEARTBEAT_SECONDS):
        owner = owner.model_copy(update={"beat": owner.beat + 1})
        with suppress(Exception):  # a missed beat is no reason to stop; the next one may come
            if CLAIM + owner.token not in client.get_experiment(experiment_id).tags:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if not stop.is_set():
                _write(client, experiment_id, owner)


def _write(client: MlflowClient, experiment_id: str, owner: Owner) -> None:
    client.set_experiment_tag(experiment_id, CLAIM + owner.token, owner.model_dump_json())


@deferred()
def _withdraw(client: MlflowClient, experiment_id: str, token: str) -> None:
    with suppress(MlflowException):  # never written, or withdrawn by another; if the store is away, others find it dead
        client.delete_experiment_tag(experiment_id, CLAIM + token)


def _started(pid: int) -> str:
    process = processes.look(pid)
    return process.started if process else ""


def _close_orphans(client: MlflowClient, experiment_id: str, alive: Collection[str]) -> None:
    """Close the comparisons whose owners are dead, with all that is open below them."""
    for run in _open_runs(client, experiment_id, f"tags.`{records.OWNER}` LIKE '%'"):
        owner = json.loads(run.data.tags[records.OWNER])
        if owner["token"] not in alive:
            _close(client, run, f"its {owner['process']} is gone")


@deferred()
def _close(client: MlflowClient, run: Run, reason: str) -> None:
    """Close a run as KILLED; those below it first, so that a next start finds what a death in between has left."""
    run_id = run.info.run_id
    for child in _open_runs(client, run.info.experiment_id, f"tags.`{records.PARENT}` = '{run_id}'"):
        _close(client, child, reason)
    client.set_tag(run_id, records.REASON, reason)
    client.set_terminated(run_id, "KILLED")


@deferred()
def _open_runs(client: MlflowClient, experiment_id: str, having: str) -> list[Run]:
    return list(
        client.search_runs([experiment_id], f"{having} and attributes.status = 'RUNNING'", max_results=MOST_RUNS)
    )
