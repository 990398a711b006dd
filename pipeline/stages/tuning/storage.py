"""Optuna's storage: a database that is reached, made whole, and told that trials in work are alive."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import column, create_engine, event, func, inspect, table, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from pipeline import databases
from pipeline.errors import BadInput, DiskError, StoreError
from pipeline.stages.tuning.proposals import quiet

HEARTBEAT_SECONDS = 3
GRACE_SECONDS = 10  # a worker that was silent for as long is dead, and its trials are given up
HEARTBEATS = table("trial_heartbeats", column("trial_id"), column("heartbeat"))  # Optuna's


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
        """Tell other workers, from a thread, that the trials in work are alive."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
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


def failure(url: str, error: Exception) -> str:
    """Say in a line what is wrong with a storage."""
    if databases.is_locked(error):
        return databases.locked(databases.shown(url))
    return f"{databases.shown(url)} can't be used: {databases.without_sql(str(error.__cause__ or error))}"


def _connect(url: str) -> optuna.storages.RDBStorage:
    try:
        is_sqlite = make_url(url).get_backend_name() == "sqlite"
        databases.check_driver(url, "storage")
        databases.be_patient()
        with databases.one_at_a_time(url):
            _refuse_foreign(url)
            databases.make_whole(url, _make_tables)
            rdb = _open(url)
            if is_sqlite:
                _write_ahead(rdb)
        return rdb
    except (BadInput, DiskError):
        raise
    except ArgumentError as error:
        remedy = "write it as SQLAlchemy does: sqlite:///optuna.db, postgresql+psycopg2://user@host/database"
        raise BadInput(f"{url!r} is no address of a database", field="storage", remedy=remedy) from error
    except RuntimeError as error:  # the schema of another version; Optuna's message says more than it needs to
        remedy = f"run: optuna storage upgrade --storage {databases.shown(url)}; or use another storage"
        raise BadInput(
            f"{databases.shown(url)}: {str(error).split('. ')[0]}", field="storage", remedy=remedy
        ) from error
    except Exception as error:  # drivers raise errors of their own
        problem = failure(url, error)
        if databases.is_locked(error):
            raise StoreError(problem) from error
        raise BadInput(problem, field="storage", remedy="check the address") from error


def _make_tables(url: str) -> None:
    _open(url).engine.dispose()


@databases.again_when_outrun
def _open(url: str) -> optuna.storages.RDBStorage:
    """Open a storage, and make its tables where there are none."""
    with quiet():
        return optuna.storages.RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS)


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
            field="storage",
            remedy="give the studies one of their own",
        )
