"""What MLflow's and Optuna's databases need alike: a first start by many at once, and patience.

Patience is for a lock on SQLite's file, and for a database server that has answered before and doesn't now: it is being
started again.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from zlib import crc32

from pipeline.errors import BadInput
from pipeline.whole_files import set_aside

P = ParamSpec("P")
Result = TypeVar("Result")

PATIENCE = "PHOTOFINISH_LOCK_SECONDS"  # environment variable
DEFAULT_PATIENCE = 60.0
ATTEMPTS = 8  # at what fails because of a moment
SECONDS_BETWEEN_TRIES = 0.2
CONNECT_SECONDS = 10  # for a first answer; a wrong address may lead to nobody
TURN = 0x50F0F1  # number of a lock in PostgreSQL; any will do


def patience() -> float:
    """Return for how many seconds to wait for a database that is locked by another process, or away."""
    return float(os.environ.get(PATIENCE) or DEFAULT_PATIENCE)


@cache
def be_patient() -> None:
    """Have all databases opened through SQLAlchemy from now on be waited for, for `patience()` seconds.

    SQLite when it is locked: MLflow sets a time of its own in every session, and takes no other; so its statement is
    rewritten. Servers when they no longer answer.
    """
    from sqlalchemy import Engine, event
    from sqlalchemy.pool import Pool

    def bound() -> str:
        return f"PRAGMA busy_timeout = {round(patience() * 1000)}"

    def prepare(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(bound())

    def rewrite(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        return bound() if statement.startswith("PRAGMA busy_timeout") else statement, parameters

    event.listen(Pool, "connect", prepare)
    event.listen(Engine, "before_cursor_execute", rewrite, retval=True)
    event.listen(Engine, "do_connect", _connect)


_answered: set[tuple[Any, ...]] = set()  # servers that did when they were asked last


def _connect(dialect: Any, _: Any, arguments: Any, settings: dict[str, Any]) -> Any:
    """Connect to a server; one that has answered before is waited for, one that hasn't has a wrong address."""
    if dialect.name == "sqlite":
        return None  # SQLAlchemy's own way
    server = (dialect.name, *(settings.get(key) for key in ("host", "port", "dbname")))
    end = time.monotonic() + patience()
    while True:
        try:
            connection = dialect.connect(*arguments, **settings)
        except dialect.loaded_dbapi.Error as error:
            if server in _answered and is_away(error) and time.monotonic() < end:
                time.sleep(SECONDS_BETWEEN_TRIES)
                continue
            _answered.discard(server)  # it isn't waited for in vain a second time
            raise
        _answered.add(server)
        return connection


def again_when_away(function: Callable[P, Result]) -> Callable[P, Result]:
    """Call a function again when its database went away under it. For what may be begun anew; a decorator."""

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> Result:
        end = time.monotonic() + patience()
        while True:
            try:
                return function(*arguments, **keywords)
            except Exception as error:
                if not is_away(error) or time.monotonic() > end:
                    raise
            time.sleep(SECONDS_BETWEEN_TRIES)

    return call


def again_when(is_passing: Callable[[Exception], bool], function: Callable[P, Result]) -> Callable[P, Result]:
    """Return a function that is called again, a few times, when what it raises is nothing that lasts."""

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> Result:
        for _ in range(ATTEMPTS - 1):
            try:
                return function(*arguments, **keywords)
            except Exception as error:
                if not is_passing(error):
                    raise
            time.sleep(random.random())  # noqa: S311  # any number will do
        return function(*arguments, **keywords)

    return call


def again_when_outrun(function: Callable[P, Result]) -> Callable[P, Result]:
    """Call a function again when another process has just made the same in the database; a decorator."""
    return again_when(is_race, function)


# What SQLAlchemy tells beyond what happened: which driver, which statement, with which values, where to read about it.
_ABOUT_SQL = re.compile(r"^\([\w.]+Error\) |\(raised as a result of [^)]*\) |\[SQL: .*|\(Background on this error .*")


def without_sql(text: str) -> str:
    """Return an error's message in one line, less what only programmers want to know."""
    return _ABOUT_SQL.sub("", " ".join(text.split())).strip()[:500]


def shown(url: str) -> str:
    """Return an address, of a database or a server, without its password."""
    return re.sub(r"(://[^:/@]*):[^@]+@", r"\1:***@", url)


def check_driver(url: str, field: str) -> None:
    """Make sure that the driver that an address asks for is installed.

    Raises
    ------
    BadInput
        Naming the field that holds the address.
    """
    from sqlalchemy.engine import make_url

    try:
        make_url(url).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        extra = "pip install 'photofinish[postgres]'"
        by_name = "write postgresql+psycopg2://user@host/database, and: "
        remedy = extra if error.name == "psycopg2" else by_name + extra
        raise BadInput(
            f"{shown(url)} needs the driver {error.name}, which isn't here", field=field, remedy=remedy
        ) from error


@contextmanager
def one_at_a_time(url: str, what: str = "") -> Iterator[None]:
    """Let one process after the other do something in a database: of those that make its tables at once, most fail.

    For files of SQLite by a lock of their folder, for PostgreSQL by one of its own, which also says at once whether the
    database can be reached; other databases, and systems without such locks, are for retries. In PostgreSQL those who
    do something else don't wait.
    """
    if url.startswith("postgresql"):
        with _turn(url, what):
            yield
        return
    file = _file(url)
    folder = _lock(file.parent) if file else None
    try:
        yield
    finally:
        if folder is not None:
            os.close(folder)


def make_whole(url: str, make: Callable[[str], None]) -> None:
    """Have a file of SQLite made that isn't there yet, so that a kill in between leaves none rather than half of one.

    MLflow and Optuna make their tables in many steps, and can't use what was left after some of them. Databases of
    servers are left to them. To be called under `one_at_a_time`.

    Parameters
    ----------
    make:
        Makes the tables in the database of an address, and lets go of it.

    Raises
    ------
    DiskError
        When it can't be written.
    """
    from sqlalchemy.engine import make_url

    file = _file(url)
    if file is None or not file.parent.is_dir() or not is_missing(url):
        return
    with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
        made = Path(folder) / file.name
        make(make_url(url).set(database=str(made)).render_as_string(hide_password=False))
        with set_aside(file) as aside:
            shutil.copyfile(made, aside)


def is_missing(url: str) -> bool:
    """Whether an address is that of a file of SQLite that isn't there, or is empty."""
    file = _file(url)
    return file is not None and not (file.exists() and file.stat().st_size)


def _file(url: str) -> Path | None:
    """Return the file of a database of SQLite; None for other databases, and those in memory."""
    from sqlalchemy.engine import make_url

    if not url.startswith("sqlite"):
        return None
    file = make_url(url).database
    return Path(file).absolute() if file and not file.startswith((":memory:", "file:")) else None


@contextmanager
def _turn(url: str, what: str) -> Iterator[None]:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import DBAPIError, OperationalError
    from sqlalchemy.pool import NullPool

    is_known = make_url(url).get_driver_name().startswith("psycopg")
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS} if is_known else {}
    )
    connection = engine.connect()
    try:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(patience() * 1000)}")
        with suppress(OperationalError):  # whoever holds it is taken for stuck
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN}, {crc32(what.encode()) - 2**31})")
        yield
    finally:
        with suppress(DBAPIError):  # broken, and the lock is gone with it
            connection.close()  # which ends the transaction, and so the lock


def _lock(folder: Path) -> int | None:
    """Lock a folder, so that no file is left behind; None where that doesn't work, or takes too long."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    end = time.monotonic() + patience()
    while time.monotonic() < end:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:
            break
        else:
            return descriptor
    os.close(descriptor)
    return None


def is_race(error: BaseException) -> bool:
    """Whether somebody else has just made the same tables, rows or version of the schema, which Optuna only asserts."""
    said = re.search("already exists|unique|duplicate|expected to match one row", str(error), re.IGNORECASE)
    return bool(said) or isinstance(error, AssertionError)


def is_locked(error: BaseException) -> bool:
    """Whether the patience with a lock has come to its end."""
    return any("database is locked" in str(one) for one in (error, error.__cause__))


_AWAY = re.compile(
    "connection refused|connection reset|closed the connection|connection already closed|has been closed unexpectedly"
    "|terminating connection|starting up|shutting down|not yet accepting|in recovery mode"
    "|invalid transaction is rolled back",
    re.IGNORECASE,
)


def is_away(error: BaseException | None) -> bool:
    """Whether a database server has broken a connection, or takes none at present."""
    while error is not None:
        if getattr(error, "connection_invalidated", False) or _AWAY.search(str(error)):
            return True
        error = error.__cause__
    return False


def locked(url: str) -> str:
    """Return the line about a database that stays locked."""
    return (
        f"{url} has been locked by another process for {patience():g} seconds;"
        " end whatever holds it, then run again: what was finished is kept"
    )
