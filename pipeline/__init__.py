"""Photofinish: compare models, and say whether the difference is real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.estimators import NetworkClassifier, NetworkRegressor

__all__ = ["NetworkClassifier", "NetworkRegressor"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the estimators when they are asked for: torch and scikit-learn take seconds that `--help` shouldn't."""
    if name in __all__:
        from pipeline import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
