"""SIGINT and SIGTERM as an exception, and how to keep it out of writes.

An exception raised in the midst of a database session leaves the session open and the database locked, and the
interrupted process can't even note that it was interrupted. So whoever writes to a store does it under `deferred`.

Who asks a second time wants the end at once, also where the main thread hears nothing: in a library's long calculation,
or waiting for a locked database. So signals are counted by a thread, which Python's C handler wakes through a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What comes within is the same request: Ctrl-C reaches us and `mlflow run`, which then sends us SIGTERM;
# `timeout` sends its signal to the process and to its group.
ONE_REQUEST = 0.5  # seconds

_depth = 0
_pending: int | None = None
_raised = False
_first: float | None = None  # when the first signal came, on the monotonic clock
_bell: int | None = None  # file descriptor


def install() -> None:
    """Have the first signal raise `Interrupted` in the main thread, at once or when a `deferred` block ends.

    A second one ends the process at once.
    """
    global _pending, _raised, _first
    _pending, _raised, _first = None, False, None
    # SIGINT too: after a plain KeyboardInterrupt Python may end the process by the signal instead of our exit code.
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.set_wakeup_fd(_listening(), warn_on_full_buffer=False)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold signals back while the block runs; also a decorator. For the main thread, and for work of a second or so."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        raise_pending()


def raise_pending() -> None:
    """Raise what was held back, unless an outer block still holds it."""
    global _pending, _raised
    if _pending is not None and not _depth:
        number, _pending = _pending, None
        _raised = True
        raise Interrupted(number)


def _handle(number: int, _: FrameType | None) -> None:
    global _pending
    if _raised or _pending is not None:
        return  # it ends already
    _pending = number
    raise_pending()


def _listening() -> int:
    """Return the end of a pipe at which a thread listens for signals; made once a process."""
    global _bell
    if _bell is None:
        ear, _bell = os.pipe()
        os.set_blocking(_bell, False)
        threading.Thread(target=_listen, args=(ear,), daemon=True).start()
    return _bell


def _listen(ear: int) -> None:
    global _first
    while heard := os.read(ear, 64):
        for number in heard:
            if number not in SIGNALS:
                continue
            now = time.monotonic()
            if _first is None:
                _first = now
            elif now - _first > ONE_REQUEST:
                _end_at_once(number)


def _end_at_once(number: int) -> None:
    """End without another word to any store; workers notice within a second that they are alone."""
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")  # progress bars hide the cursor
    os.write(2, b"photofinish: interrupted again, and ended at once; the next run closes what is left open\n")
    os._exit(128 + number)
