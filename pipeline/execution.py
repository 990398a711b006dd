"""Where work runs: in this process, or in local workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
    """Give each task's result as soon as it is there, in any order when `jobs` is more than 1.

    Workers are processes (joblib's loky), one thread each.
    """
    if jobs == 1:
        yield from map(function, tasks)
        return
    import joblib

    # After an interrupt joblib would explain that some work was for nothing, which whoever interrupted knows.
    warnings.filterwarnings("ignore", message=".*tasks (have been successfully|which were still)")
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        yield from parallel(joblib.delayed(function)(task) for task in tasks)
