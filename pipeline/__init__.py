"""Photofinish: compare models, and say whether the difference is real."""

__version__ = "0.1.0"
