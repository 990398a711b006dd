"""Processes for tests of faults: started together, told what to do, looked for when they should be gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.starting import REPOSITORY, Process, Started

ENDLESS = "models.endless={hidden_units: [4], training: {lr: 0.000001, epochs: 10000000}}"


def start(folder: Path, *arguments: str, own_group: bool = False, **environment: str) -> Started:
    """`photofinish …` in a folder of its own; in a group of its own it can be sent what a terminal's Ctrl-C sends."""
    return Started(folder, arguments, environment, own_group=own_group)


def start_anew(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`python -m pipeline …` in an interpreter of its own."""
    return _popen([sys.executable, "-m", "pipeline", *arguments], folder, environment)


def start_script(folder: Path, text: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A Python script that is told what to do by lines on its standard input."""
    return _popen([sys.executable, "-c", text, *arguments], folder, environment)


def _popen(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hear(process: subprocess.Popen[str]) -> str:
    """The next line that a script prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return line.rstrip("\n")


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Give a script its next line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def finish(process: Process, seconds: float = 120) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
