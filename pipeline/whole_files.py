"""Files that are whole or aren't there: written aside, flushed to the disk, and renamed.

What stood in their place before stays until then, and stays when something goes wrong.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import DiskError

FORGOTTEN = 86_400.0  # seconds after which what was set aside is taken for that of a killed process


@contextmanager
def set_aside(file: Path) -> Iterator[Path]:
    """Return a path that takes the place of `file` when the block ends well, and goes away otherwise.

    Raises
    ------
    DiskError
        When the disk is full, or nothing may be written there.
    """
    aside = _beside(file)
    try:
        _sweep(file)
        yield aside
        _flush(aside)
        aside.replace(file)
        _flush_folder(file.parent)
    except OSError as error:
        raise DiskError.of(error, file) from error
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_set_aside(folder: Path) -> Iterator[Path]:
    """Return an empty folder whose files and folders take their places in `folder` when the block ends well.

    A folder in it replaces the one of its name; whatever else lies in `folder` stays.

    Raises
    ------
    DiskError
        When the disk is full, or nothing may be written there; `folder` is then as it was.
    """
    aside = _beside(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        aside.mkdir()
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                _flush(file)
        folder.mkdir(exist_ok=True)
        for new in sorted(aside.iterdir()):
            _replace(new, folder / new.name)
        _flush_folder(folder)
    except OSError as error:
        raise DiskError.of(error, folder) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return a hidden name on the same disk, of this process alone."""
    return path.with_name(f"{_start(path)}{os.getpid()}.partial")


def _start(path: Path) -> str:
    return f".{path.name[:60]}."  # cut, lest a name that is just short enough becomes too long


def _sweep(path: Path) -> None:
    """Remove what killed processes left here."""
    for left in path.parent.glob(f"{_start(path)}*.partial"):
        with suppress(OSError):  # gone already, or somebody else's
            if time.time() - left.stat().st_mtime < FORGOTTEN:
                continue
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _replace(new: Path, old: Path) -> None:
    if new.is_dir() and old.is_dir():
        former = new.with_name(f".{new.name}.former")  # goes away with what was set aside
        old.rename(former)
    new.replace(old)


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Have the new names on the disk too, where folders can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
