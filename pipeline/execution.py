"""Where work runs: in this process, in local workers, or on a cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pipeline.cluster import Cluster
from pipeline.errors import BadInput
from pipeline.processes import end_with

Task = TypeVar("Task")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

# Set before a worker imports torch; small networks gain nothing from threads.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Pending(Protocol[Result_co]):
    """Work that was handed in."""

    def result(self) -> Result_co:
        """Wait until it is done, and return what came out."""


class Submit(Protocol):
    """Hands work in."""

    def __call__(self, function: Callable[[Task], Result], task: Task, /) -> Pending[Result]:
        """Have a function applied to a task."""


@contextmanager
def workers(jobs: int, cluster: Cluster | None = None) -> Iterator[Submit]:
    """Give a function that hands work in: to a cluster, to worker processes, or with one job to this process.

    What is handed in to this process is done when it is asked for.
    Workers are joblib's (loky): they outlive the block for the next one, and are killed when it ends by an exception,
    such as an interrupt. When this process dies, they end by themselves.
    """
    if cluster is not None:
        yield cluster.submit
        return
    if jobs == 1:
        yield _Later
        return
    from joblib.externals.loky import get_reusable_executor

    # A worker that was idle for ten seconds quits, maybe at the very moment when there is work again. Another one takes
    # its place, which is nothing to warn of; and where warnings are errors, this one would end the thread that waits
    # for results.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")
    executor = get_reusable_executor(max_workers=jobs, env=ONE_THREAD, initializer=end_with, initargs=(os.getpid(),))
    try:
        yield executor.submit
    except BaseException:
        executor.shutdown(wait=True, kill_workers=True)
        raise


def map_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int, cluster: Cluster | None = None
) -> Iterator[Result]:
    """Give each task's result as soon as it is there, in any order where there are several workers."""
    with workers(jobs, cluster) as submit:
        pending: list[Any] = [submit(function, task) for task in tasks]
        if cluster is not None:
            yield from (one.result() for one in cluster.as_done(pending))
        elif jobs > 1:
            from concurrent.futures import as_completed

            yield from (one.result() for one in as_completed(pending))
        else:
            yield from (one.result() for one in pending)


@dataclass(frozen=True)
class _Later(Generic[Task, Result]):
    """Work that is done when its result is asked for."""

    function: Callable[[Any], Any]
    task: Any

    def result(self) -> Any:
        return self.function(self.task)


def choose_device(asked: str) -> str:
    """Resolve `auto` to CUDA where there is a device, else to the processor.

    Raises
    ------
    BadInput
        When CUDA is asked for and there is none.
    """
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise BadInput("no CUDA device is available", field="device", remedy="give cpu or auto")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked
