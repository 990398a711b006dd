"""Files that are whole or not there: arrays and a JSON under a SHA-256, written aside, synced and renamed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.errors import StoreError
from pipeline.whole_files import set_aside

FORMAT = "photofinish-sealed-1"
SUFFIX = ".sealed"
ABOUT = "about"  # name of the array that holds the JSON


def write_sealed(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], about: Mapping[str, Any]) -> None:
    """Write arrays, and what is to be known of them as JSON; its folder is made. A kill leaves what was there.

    Raises
    ------
    DiskError
        When it can't be written; what was there before is there still.
    """
    described = json.dumps({"format": FORMAT, **about}).encode()
    packed = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        | {ABOUT: np.frombuffer(described, np.uint8)}
    )
    with set_aside(path) as aside:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(_digest(packed) + packed)


def read_sealed(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """Read a file back, to the bit.

    Raises
    ------
    StoreError
        When it is missing, damaged, or of another version.
    """
    try:
        content = path.read_bytes()
        packed = content[len(_digest(b"")) :]
        if _digest(packed) + packed != content:
            raise StoreError(f"{path} is damaged")
        arrays = {name: array.copy() for name, array in load(packed).items()}  # which are read-only
        about: dict[str, Any] = json.loads(arrays.pop(ABOUT).tobytes())
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise StoreError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    if about["format"] != FORMAT:
        raise StoreError(f"{path} has format {about['format']}; this version reads {FORMAT}")
    return arrays, about


def discard_damaged(folder: Path) -> list[str]:
    """Delete the files of a folder that can't be used; returns why, a line each."""
    complaints = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            read_sealed(path)
        except StoreError as error:
            complaints.append(str(error))
            path.unlink(missing_ok=True)
    return complaints


def _digest(packed: bytes) -> bytes:
    return hashlib.sha256(packed).hexdigest().encode() + b"\n"
