"""A Dask cluster of real processes on loopback, and what tests have it do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.cluster import end_if_unwanted
from tests.components import free_port
from tests.conftest import REPOSITORY


class DaskCluster:
    """`dask scheduler` and some `dask worker`, which end with the block; settings are environment variables."""

    def __init__(self, workers: int, host: str = "127.0.0.1", **settings: str) -> None:
        self.port = free_port(host)
        self.host = host
        self.address = f"tcp://{host}:{self.port}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._count = workers
        self._environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **settings}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the scheduler and its workers, always at the same address, and wait until all have found each other."""
        from distributed import Client

        # Which needs no photofinish; the working directory is no place to find it either.
        alone = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
        self._scheduler = self._start("scheduler", "--host", self.host, "--port", str(self.port), "--no-show", **alone)
        self.workers = [self.start_worker("--nthreads", "1") for _ in range(self._count)]
        with Client(self.address, timeout=60, set_as_default=False) as client:
            if self._count:
                client.wait_for_workers(self._count, timeout=60)

    def start_worker(self, *options: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny: what is killed stays dead."""
        return self._start("worker", self.address, "--no-nanny", "--host", self.host, *options, **settings)

    def kill(self) -> None:
        """End all of it by SIGKILL."""
        for process in (self._scheduler, *self.workers):
            if process is not None:
                end(process)

    def _start(self, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "dask"), *command, "--no-dashboard"],
            env={**self._environment, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process by SIGKILL."""
    process.kill()
    process.wait(10)


@dataclass(frozen=True)
class Beat:
    """A task that notes that it began, goes on until a file is there, and returns a number."""

    folder: Path
    number: int
    array: np.ndarray | None = None


def beat(task: Beat) -> int:
    """Do such a task."""
    (task.folder / f"{task.number} began {os.getpid()}").touch()
    while not (task.folder / "go").exists():
        end_if_unwanted()
        time.sleep(0.05)
    return task.number


def begun(folder: Path, number: int) -> list[int]:
    """Numbers of the processes in which a task began."""
    return [int(path.name.split()[-1]) for path in folder.glob(f"{number} began *")]


def die(_: np.ndarray) -> None:
    """Take the worker along."""
    os._exit(1)


def total(task: tuple[int, np.ndarray]) -> float:
    """Return a number of a task's and the sum of an array."""
    number, array = task
    return number + float(array.sum())


def fail(text: str) -> None:
    """Raise what a task may raise, an error of the operating system's that is none of the cluster's."""
    raise FileNotFoundError(text)
