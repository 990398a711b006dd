"""Everything that Photofinish raises on purpose.

PhotofinishError            failed: exit code 1
├── BadInput                the user's file, flag or environment is wrong: exit code 2 (also a ValueError)
├── StoreError              a tracking store that doesn't hold what was asked for (also a LookupError)
├── AllMembersFailed        training produced not one usable network
├── Occupied                another process runs the same experiment
└── Refused                 what was asked for was looked into, and decided against
Interrupted                 SIGINT or SIGTERM: exit code 130 or 143 (also a KeyboardInterrupt)
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class PhotofinishError(Exception):
    """Base of the tree: a failure that is reported in one line."""

    exit_code = 1


class BadInput(PhotofinishError, ValueError):
    """Input that can't be used: says where it stands, what it is and how to mend it.

    Parameters
    ----------
    problem:
        What is wrong, as the middle of a sentence: ``"-0.1 is not greater than 0"``.
    field:
        Dotted path of the key or flag, ``"training.lr"``; empty when the whole file is meant.
    remedy:
        What to type instead.
    file:
        The file that holds the field; may be added later by whoever knows it.
    """

    exit_code = 2

    def __init__(self, problem: str, *, field: str = "", remedy: str = "", file: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.field = field
        self.remedy = remedy
        self.file = file

    def within(self, *, file: str = "", field: str = "") -> BadInput:
        """Return the same complaint with the place it stands in put in front."""
        path = ".".join(part for part in (field, self.field) if part)
        return BadInput(self.problem, field=path, remedy=self.remedy, file=self.file or file)

    def __str__(self) -> str:
        complaint = ": ".join(part for part in (self.file, self.field, self.problem) if part)
        line = f"{complaint}; {self.remedy}" if self.remedy else complaint
        return " ".join(line.split())  # one line, whatever stands in the input


class StoreError(PhotofinishError, LookupError):
    """The tracking store lacks a run or an artifact that was asked for."""


class AllMembersFailed(PhotofinishError):
    """Every network of an experiment diverged, so there is nothing to compare."""


class Occupied(PhotofinishError):
    """Another process runs the same experiment in the same tracking store; nothing was done."""


class Refused(PhotofinishError):
    """What was asked for is possible, and the numbers speak against it; nothing was done."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to stop; what is whole is kept, the rest is marked KILLED."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(f"signal {signal.Signals(number).name}")
        self.exit_code = 128 + number  # as shells report it


@contextmanager
def naming_field(field: str) -> Iterator[None]:
    """Put the place that a block is about in front of its complaints."""
    try:
        yield
    except BadInput as error:
        raise error.within(field=field) from error
