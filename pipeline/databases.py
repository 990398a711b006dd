"""What MLflow's and Optuna's databases need alike: a first start by many at once, and patience with a lock."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.whole_files import set_aside

PATIENCE = "PHOTOFINISH_LOCK_SECONDS"  # environment variable
DEFAULT_PATIENCE = 60.0
ATTEMPTS = 8  # to make tables that others make at the same moment


def patience() -> float:
    """Return for how many seconds to wait for a database that another process has locked."""
    return float(os.environ.get(PATIENCE) or DEFAULT_PATIENCE)


@cache
def wait_for_locks() -> None:
    """Have SQLite wait `patience()` seconds for a lock, in all databases opened through SQLAlchemy from now on.

    MLflow sets a time of its own in every session, and takes no other; so its statement is rewritten.
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


@contextmanager
def one_at_a_time(url: str) -> Iterator[None]:
    """Let one process after the other open a database: of those that make its tables at once, most would fail.

    For files of SQLite, by a lock of their folder; other databases, and systems without such locks, are for retries.
    """
    file = _file(url)
    folder = _lock(file.parent) if file else None
    try:
        yield
    finally:
        if folder is not None:
            os.close(folder)


def make_whole(url: str, make: Callable[[str], None]) -> None:
    """Have a file of SQLite made that isn't there yet, so that a kill in between leaves none rather than half of one.

    MLflow and Optuna make their tables in many steps, and can't use what was left after some of them. Other databases
    make tables in one transaction. To be called under `one_at_a_time`.

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
    if file is None or not file.parent.is_dir() or (file.exists() and file.stat().st_size):
        return
    with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
        made = Path(folder) / file.name
        make(make_url(url).set(database=str(made)).render_as_string(hide_password=False))
        with set_aside(file) as aside:
            shutil.copyfile(made, aside)


def _file(url: str) -> Path | None:
    """Return the file of a database of SQLite; None for other databases, and those in memory."""
    from sqlalchemy.engine import make_url

    if not url.startswith("sqlite"):
        return None
    file = make_url(url).database
    return Path(file).absolute() if file and not file.startswith((":memory:", "file:")) else None


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
    """Whether somebody else has just made the same tables, rows or version of the schema."""
    return bool(re.search("already exists|unique|duplicate|expected to match one row", str(error), re.IGNORECASE))


def is_locked(error: BaseException) -> bool:
    """Whether the patience with a lock has come to its end."""
    return any("database is locked" in str(one) for one in (error, error.__cause__))


def locked(url: str) -> str:
    """Return the line about a database that stays locked."""
    return (
        f"{url} has been locked by another process for {patience():g} seconds;"
        " end whatever holds it, then run again: what was finished is kept"
    )
