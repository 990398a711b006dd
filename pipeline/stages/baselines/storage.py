"""A fitted estimator on disk: skops, a JSON that says what it is, and no pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from pipeline.artifacts import FittedEstimator
from pipeline.errors import StoreError

FILE = "estimator.skops"
DESCRIPTION = "estimator.json"
TRUSTED = ("sklearn.", "numpy.")  # whose types are made on reading, beyond those that skops itself takes for safe


def save_estimator(fitted: FittedEstimator, folder: Path) -> None:
    """Write `estimator.skops`, unless fitting failed, and `estimator.json`."""
    import skops.io

    description = {
        "sklearn": fitted.name,
        "arguments": dict(fitted.arguments),
        "version": fitted.version,
        "notes": list(fitted.notes),
        "input": "scaled features, in double precision",
        "output": "class probabilities, or the scaled prediction of a regression",
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    if fitted.estimator is not None:
        skops.io.dump(fitted.estimator, folder / FILE)


def load_estimator(folder: Path) -> FittedEstimator:
    """Read a fitted estimator back.

    Raises
    ------
    StoreError
        When a file is missing or damaged, or would make something that is neither scikit-learn's nor numpy's.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        estimator = skops.io.load(folder / FILE, trusted=trusted_types(folder / FILE))
        return FittedEstimator(
            description["sklearn"],
            description["arguments"],
            description["version"],
            estimator,
            tuple(description["notes"]),
        )
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
        reason = " ".join(str(error).split())
        raise StoreError(f"{folder} holds no estimator that can be read: {reason}") from error


def trusted_types(file: Path) -> list[str]:
    """Name the types in a file that may be made on reading it.

    Raises
    ------
    StoreError
        When the file holds others.
    """
    import skops.io

    found: list[str] = skops.io.get_untrusted_types(file=file)
    foreign = [name for name in found if not name.startswith(TRUSTED)]
    if foreign:
        raise StoreError(f"{file} would make {', '.join(foreign)}, which is neither scikit-learn's nor numpy's")
    return found
