from __future__ import annotations

import warnings

from pipeline.execution import map_tasks, workers


def test_a_worker_that_quits_at_the_wrong_moment_harms_nobody() -> None:
    """What joblib warns of then is no error, not even where warnings are: the thread it is in must go on."""
    with workers(2) as submit:
        warnings.warn("A worker stopped while some jobs were given to the executor. …", UserWarning, stacklevel=1)
        assert submit(abs, -3).result() == 3


def test_results_come_from_workers_as_from_here() -> None:
    """One process or two give the same results, in any order."""
    tasks = [-1, 2, -3]
    assert sorted(map_tasks(abs, tasks, 2)) == sorted(map_tasks(abs, tasks, 1)) == [1, 2, 3]
