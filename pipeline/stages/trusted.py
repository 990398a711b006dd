"""Fitted objects of scikit-learn on disk: skops, which makes no types on reading but scikit-learn's and numpy's.

Functions aren't trusted, whoever's they are: an estimator that calls one may be made to run anything.
"""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError

TRUSTED = ("sklearn.", "numpy.")  # beyond those that skops itself takes for safe


def save_trusted(fitted: Any, file: Path) -> None:
    """Write a fitted object."""
    import skops.io

    skops.io.dump(fitted, file)


def load_trusted(file: Path) -> Any:
    """Read a fitted object back.

    Raises
    ------
    StoreError
        When the file is missing or damaged, or would make something that is neither scikit-learn's nor numpy's.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(file, trusted=trusted_types(file))
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ImportError,
        zipfile.BadZipFile,
        UntrustedTypesFoundException,
    ) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{file} can't be read: {' '.join(str(error).split())}") from error


def trusted_types(file: Path) -> list[str]:
    """Name the types in a file that may be made on reading it.

    Raises
    ------
    StoreError
        When the file holds others.
    """
    import skops.io

    found: list[str] = skops.io.get_untrusted_types(file=file)
    foreign = [name for name in found if not (name.startswith(TRUSTED) and _is_class(name))]
    if foreign:
        raise StoreError(f"{file} would make {', '.join(foreign)}, which is neither scikit-learn's nor numpy's")
    return found


def _is_class(name: str) -> bool:
    """Whether a name of scikit-learn's or numpy's is that of a class."""
    module, _, name = name.rpartition(".")
    if "__" in module:  # importing such a module may run a program
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), name, None), type)
    except ImportError:
        return False
