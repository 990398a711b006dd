"""Other processes of this machine: whether one is still there, and ending together with one."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 1.0
GONE = ("Z", "X")  # states of processes that have ended, and that only nobody has asked about yet
GENERATIONS = 4  # between `mlflow run` and its command there may be shells


@dataclass(frozen=True)
class Process:
    """A process that is there."""

    parent: int
    started: str  # tells it from a later one of the same number
    words: tuple[str, ...]  # of its command line


def look(pid: int) -> Process | None:
    """Return the process of that number on this machine; None when it is gone, or where nobody can tell."""
    return _look_in_proc(pid) if Path("/proc/self/stat").exists() else _ask_ps(pid)


def place() -> str:
    """Name the set of processes that `look` sees: the host, and in a container the container."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # no path, but a name like pid:[4026531836]
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def ancestor(program: str) -> int | None:
    """Return the nearest process above this one that runs a program; None where there is none."""
    pid = os.getppid()
    for _ in range(GENERATIONS):
        found = look(pid)
        if found is None:
            return None
        if any(Path(word).name == program for word in found.words):
            return pid
        pid = found.parent
    return None


def follow(pid: int, then: Callable[[], None]) -> None:
    """Call something, from a thread, when a process has gone."""
    threading.Thread(target=_wait_and_call, args=(pid, look(pid), then), daemon=True).start()


def end_with(pid: int) -> None:
    """End this process when another one has gone: a worker nobody waits for any more."""
    follow(pid, partial(os._exit, 1))


def _wait_and_call(pid: int, process: Process | None, then: Callable[[], None]) -> None:
    while process is not None and (found := look(pid)) is not None and found.started == process.started:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    then()


def _look_in_proc(pid: int) -> Process | None:
    """Read /proc, as proc(5) describes it."""
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    # The second field, the program's name in brackets, may hold spaces; after it: state, parent, …, and 22nd the start.
    return None if fields[0] in GONE else Process(int(fields[1]), fields[19], tuple(words))


def _ask_ps(pid: int) -> Process | None:
    """Ask `ps`, where there is no /proc."""
    columns = [word for column in ("state", "ppid", "lstart", "command") for word in ("-o", f"{column}=")]
    try:
        done = subprocess.run(
            ["ps", *columns, "-p", str(pid)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    state, parent, *rest = done.stdout.split()
    return None if state[0] in GONE else Process(int(parent), " ".join(rest[:5]), tuple(rest[5:]))
