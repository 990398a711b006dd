from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from pipeline import processes
from pipeline.processes import Process, ancestor, follow, look

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(look, id="look"),
        pytest.param(processes._ask_ps, marks=pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps")),
    ],
)
def test_process_is_found_until_it_has_ended(found: Callable[[int], Process | None]) -> None:
    """A process has its parent, its start and its words; ended it is gone, even as a zombie."""
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()  # it runs: while one program becomes another, there is no command line
            seen = found(process.pid)
            assert seen is not None
            assert seen == found(process.pid)
            assert seen.parent == os.getpid()
            assert seen.started
            assert sys.executable in seen.words
        finally:
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
        assert found(process.pid) is None
    assert found(process.pid) is None


def test_what_follows_a_process_is_called_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the process lives nothing is called; once it has ended, soon."""
    monkeypatch.setattr(processes, "SECONDS_BETWEEN_LOOKS", 0.05)
    called = threading.Event()
    process = subprocess.Popen(SLEEPER)
    try:
        follow(process.pid, called.set)
        assert not called.wait(0.3)
    finally:
        process.kill()
        process.wait()
    assert called.wait(5)


def test_ancestor_is_found_by_the_program_it_runs() -> None:
    """A program is known by the name of its file, among the processes above this one alone."""
    script = "from pipeline.processes import ancestor; print(ancestor('mark'), ancestor('mar'))"
    above = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    process = subprocess.Popen([sys.executable, "-c", above, script, "/bin/mark"], stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0] == f"{process.pid} None\n"
    assert ancestor("mark") is None
