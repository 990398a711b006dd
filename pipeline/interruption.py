"""SIGINT and SIGTERM as an exception, and how to keep it out of writes.

An exception raised in the midst of a database session leaves the session open and the database locked, and the
interrupted process can't even note that it was interrupted. So whoever writes to a store does it under `deferred`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import Interrupted

_depth = 0
_pending: int | None = None


def install() -> None:
    """Have both signals raise `Interrupted` in the main thread, at once or when a `deferred` block ends."""
    # SIGINT too: after a plain KeyboardInterrupt Python may end the process by the signal instead of our exit code.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


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
    global _pending
    if _pending is not None and not _depth:
        number, _pending = _pending, None
        raise Interrupted(f"signal {signal.Signals(number).name}")


def _handle(number: int, _: FrameType | None) -> None:
    global _pending
    _pending = number
    raise_pending()
