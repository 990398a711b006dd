"""Processes for tests of faults: started together, told what to do, looked for when they should be gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import TINY
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


# All processes wait, with everything imported, and come upon the empty databases at one moment. On a server's, each has
# a folder of its own for temporary files, as on a machine of its own: MLflow has processes of one machine wait for each
# other.
STARTERS = """
import os, sys, tempfile
import pipeline.tracking.opening
from pipeline.cli import main
from pipeline.stages.tuning.storage import Storage
storage = os.environ.get("PHOTOFINISH_STORAGE")
ear, mouth = os.pipe()
children = []
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        if storage:
            tempfile.tempdir = tempfile.mkdtemp()
        os.close(mouth)
        os.read(ear, 1)
        Storage(storage or "sqlite:///optuna.db")
        os._exit(main(["run", f"{name}.yaml", "--until", "split"]))
    children.append(child)
os.close(mouth)
print([os.waitpid(child, 0)[1] for child in children])
"""


def start_many(folder: Path, number: int, **environment: str) -> tuple[subprocess.Popen[str], set[str]]:
    """Begin experiments in as many processes at one moment; gives also their names. The exit codes are printed."""
    names = [f"e{place}" for place in range(number)]
    for name in names:
        (folder / f"{name}.yaml").write_text(TINY.replace("name: tiny", f"name: {name}"), encoding="utf-8")
    return start_script(folder, STARTERS, *names, **environment), set(names)


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
