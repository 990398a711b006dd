"""Pictures: a frame (data) first, then frame to matplotlib Figure; nothing here saves or touches global state.

A module holds what belongs together: a function `…_frame` makes a table of what will be seen, mostly from one dataset's
rows of the ledger, and `draw_…` draws that. Where a picture needs more than tables, its docstring says what.

>>> import pandas as pd
>>> from pipeline.figures import confusion
>>> ledger = pd.DataFrame(
...     {
...         "model": "mine",
...         "seed": 0,
...         "split": "test",
...         "label": [0, 0, 1, 1],
...         "p_0": [0.9, 0.4, 0.2, 0.1],
...         "p_1": [0.1, 0.6, 0.8, 0.9],
...         "threshold": 0.5,
...     }
... )
>>> frame = confusion.confusion_frame(ledger, ["healthy", "ill"], "test")
>>> frame["count"].tolist()
[1, 1, 0, 2]
>>> figure = confusion.draw_confusion(frame, ["mine"], ["healthy", "ill"], seeds={"mine": 0}, part="test")
>>> figure.savefig("confusion.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.figures import (
        activations,
        boundaries,
        calibration,
        classes,
        confusion,
        curves,
        disagreement,
        forest,
        importance,
        noise,
        parallel,
        ranks,
        regression,
        roc,
        slices,
        thresholds,
        tuning,
    )

__all__ = [
    "activations",
    "boundaries",
    "calibration",
    "classes",
    "confusion",
    "curves",
    "disagreement",
    "forest",
    "importance",
    "noise",
    "parallel",
    "ranks",
    "regression",
    "roc",
    "slices",
    "thresholds",
    "tuning",
]


def __getattr__(name: str) -> Any:
    """Import a module when it is asked for: seaborn and scikit-learn take a while that not every picture needs."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
