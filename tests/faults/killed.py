"""The command line, killed by SIGKILL at a moment that the tracking store can tell: `call:37 run tiny.yaml`.

`call:N` is just before the Nth call of MLflow's client, `mark:N` just before the Nth model run is marked complete, and
`verdict:1` just after the verdicts are logged.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from pipeline import cli
from pipeline.tracking import records


def has_verdicts(metrics: Sequence[Metric] = ()) -> bool:
    return any(metric.key.startswith("verdict/") for metric in metrics)


def kill_at(when: str) -> None:
    """Have MLflow's client count its calls, and kill this process in time."""
    kind, number = when.split(":")
    left = int(number)

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal left
            if kind == "call" or (kind == "mark" and method.__name__ == "set_tag" and records.STATUS in arguments):
                left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*arguments, **keywords)
            if kind == "verdict" and method.__name__ == "log_batch" and has_verdicts(*arguments[2:3]):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name, method in vars(MlflowClient).items():
        if callable(method) and not name.startswith("_"):
            setattr(MlflowClient, name, counted(method))


def main(arguments: Sequence[str]) -> int:
    kill_at(arguments[0])
    return cli.main(arguments[1:])
