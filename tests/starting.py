"""`photofinish` as a process of its own that begins with everything imported: a new interpreter needs seconds for that.

It is a real process, with a working directory, an environment, signals and an exit code; only that it was forked from
one that waits, and not begun anew. `python -m pipeline` itself is started where it is what a test is about.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


class Started:
    """Such a process, to be used like one of `subprocess.Popen`, with its output kept until it has ended.

    Parameters
    ----------
    module:
        Whose `main` is called with the arguments, as `python -m module` would.
    own_group:
        Whether it can be sent what a terminal's Ctrl-C sends.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        module: str = "pipeline.cli",
        own_group: bool = False,
    ) -> None:
        self.args = [module, *arguments]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.imported"])
        said = Path(tempfile.mkdtemp(prefix="said-", dir=folder.parent))
        self._said = [said / "out", said / "errors"]
        settings = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        work = (module, [*arguments], folder, settings, own_group, self._said)
        self._process = context.Process(target=_work, args=work)
        with contextlib.chdir("/"):  # what forks stays where it began, and would keep a test's folder in use
            self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, or the number of the signal that ended it, less than zero; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; returns what it wrote to standard output and standard error."""
        self.wait(timeout)
        out, errors = (file.read_text(encoding="utf-8") for file in self._said)
        return out, errors

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = Started | subprocess.Popen[str]


def _work(
    module: str,
    arguments: list[str],
    folder: Path,
    settings: Mapping[str, str],
    own_group: bool,
    said: Sequence[Path],
) -> None:
    """Become what a new interpreter would be, and end as it would."""
    if own_group:
        os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(settings)
    for number, file in enumerate(said, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
    sys.argv = [module, *arguments]
    code = importlib.import_module(module).main(arguments)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
