"""Photofinish: compare models, and say whether the difference is real.

The same from Python as from the command line, and parts of it by themselves:

- `run` walks an experiment: from a file, or from a mapping that holds what a file would.
- `verdict` holds two tables of predictions against each other, whoever made them.
- `NetworkClassifier` and `NetworkRegressor` are the networks as estimators for scikit-learn's tools.
- `figures` has the pictures of the reports: tables in, matplotlib figures out.
- `PhotofinishError` is what fails on purpose, with one line that says why; `BadInput` is what the caller can mend.

>>> import pipeline
>>> finished = pipeline.run(
...     {
...         "name": "moons",
...         "datasets": {"moons": {"make": "moons", "n_samples": 300, "noise": 0.2}},
...         "models": {"linear": {"hidden_units": []}, "relu": {"hidden_units": [16]}},
...         "training": {"optimizer": "Adam", "lr": 0.05, "epochs": 60},
...         "seeds": 3,
...     },
...     until="evaluate",
... )
>>> test = finished.ledger[finished.ledger["split"] == "test"]
>>> relu, linear = (test[test["model"] == name] for name in ("relu", "linear"))
>>> told = pipeline.verdict(relu, linear)
>>> told.rows, told.seeds
(60, (3, 3))
>>> told.sentence.startswith(f"{told.model} ")
True
>>> curves = pipeline.figures.curves.draw_curves(finished.history, ["linear", "relu"], "validation")
>>> curves.savefig("curves.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.errors import BadInput, PhotofinishError

if TYPE_CHECKING:
    from pipeline import figures
    from pipeline.api import run, verdict
    from pipeline.comparison.verdict import Verdict
    from pipeline.estimators import NetworkClassifier, NetworkRegressor
    from pipeline.runner import Finished

__all__ = [
    "BadInput",
    "Finished",
    "NetworkClassifier",
    "NetworkRegressor",
    "PhotofinishError",
    "Verdict",
    "figures",
    "run",
    "verdict",
]
__version__ = "0.1.0"

_HOMES = {
    "Finished": "pipeline.runner",
    "NetworkClassifier": "pipeline.estimators",
    "NetworkRegressor": "pipeline.estimators",
    "Verdict": "pipeline.comparison.verdict",
    "run": "pipeline.api",
    "verdict": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: torch and scikit-learn take seconds that `--help` shouldn't."""
    if name == "figures":
        return import_module("pipeline.figures")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
