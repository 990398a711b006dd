"""Checksums of what lies in the artifact store: a file that was truncated or changed there is refused, never read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import StoreError

CHECKSUMS = "checksums.json"  # at the top of a run's artifacts, or of a model's


def checksums_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder and below, by its path there."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != CHECKSUMS)
    return {file.relative_to(folder).as_posix(): _digest(file) for file in files}


def save_checksums(sums: Mapping[str, str], folder: Path) -> None:
    """Write `checksums.json`."""
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_checksums(file: Path, whose: str) -> dict[str, str]:
    """Read `checksums.json`; `whose` is what a complaint calls the run or model.

    Raises
    ------
    StoreError
        When it is damaged itself.
    """
    try:
        sums = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{whose}: {CHECKSUMS} can't be read: it was damaged since it was written") from error
    if not isinstance(sums, dict):
        raise StoreError(f"{whose}: {CHECKSUMS} holds no checksums: it was damaged since it was written")
    return {str(path): str(digest) for path, digest in sums.items()}


def verify(folder: Path, sums: Mapping[str, str], whose: str, below: str = "") -> None:
    """Hold files against their checksums.

    Parameters
    ----------
    folder:
        With the artifacts, or those below a path.
    sums:
        SHA-256 by path.
    whose:
        What a complaint calls the run or model.
    below:
        That path; empty when the folder holds all of them.

    Raises
    ------
    StoreError
        When a file is missing, or isn't what was written.
    """
    start = f"{below}/" if below else ""
    for path, digest in sums.items():
        if not path.startswith(start):
            continue
        file = folder / path.removeprefix(start)
        if not file.is_file():
            raise StoreError(f"{whose}: {path} is missing; run its experiment again")
        if _digest(file) != digest:
            raise StoreError(f"{whose}: {path} was damaged since it was written; run its experiment again")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
