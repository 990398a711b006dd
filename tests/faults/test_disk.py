"""A full disk, and folders that nobody may write to: one line, exit code 1, and what was there before stays whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, own_store
from tests.faults.making import finish, start
from tests.faults.test_damage import SMALL

posix = pytest.mark.skipif(os.name != "posix", reason="modes, limits and mounts of POSIX systems")


def photofinish(folder: Path, *arguments: str) -> tuple[int, str]:
    """A command in a folder that is also its home; returns exit code and standard error."""
    code, _, errors = finish(start(folder, *arguments, HOME=str(folder)))
    return code, errors


def only_line(code: int, errors: str) -> str:
    """The one line that a command ended in, with exit code 1."""
    assert code == 1, errors
    (line,) = errors.splitlines()
    assert line.startswith("photofinish: ")
    return line


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 40 MiB, with a finished comparison on it."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system takes root's rights")
    try:
        (folder / "tiny.yaml").write_text(SMALL, encoding="utf-8")
        with own_store(folder):
            code, errors = photofinish(folder, "run", "tiny.yaml")
        assert code == 0, errors
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(small_disk: Path) -> Iterator[Path]:
    yield small_disk
    (small_disk / "ballast").unlink(missing_ok=True)


def leave(folder: Path, room: int) -> None:
    """Fill a disk until so many bytes are left on it."""
    with (folder / "ballast").open("wb") as ballast:
        ballast.write(bytes(shutil.disk_usage(folder).free - room))


def contents(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_report_that_does_not_fit_leaves_the_old_one_whole(disk: Path) -> None:
    """When the disk fills up while a report is written, the one before is there to the byte, and nothing beside it."""
    before = contents(disk / "reports")
    assert len(before) > 20
    leave(disk, 100_000)
    line = only_line(*photofinish(disk, "report", "tiny.yaml"))
    assert line == (
        "photofinish: reports/tiny can't be written: No space left on device; free some space, and run it again"
    )
    assert contents(disk / "reports") == before
    assert [file.name for file in (disk / "reports").iterdir()] == ["tiny"]


@pytest.mark.slow
def test_a_run_on_a_full_disk_ends_in_one_line(disk: Path) -> None:
    """Whether the store has no room, or an artifact: our lines that say so, exit code 1; with room again, it runs."""
    before = contents(disk / "reports")
    for room in (0, 300_000):
        leave(disk, room)
        code, errors = photofinish(disk, "run", "tiny.yaml", "--fresh")
        assert code == 1
        *notes, line = errors.splitlines()
        assert all(note.startswith("photofinish: ") for note in (*notes, line))
        assert "No space left on device" in line or "disk is full" in line
        assert contents(disk / "reports") == before
    (disk / "ballast").unlink()
    assert photofinish(disk, "run", "tiny.yaml", "--fresh", "--until", "evaluate")[0] == 0


def bound_by_modes() -> tuple[str, ...]:
    """What to put before a command so that modes count: root may write everywhere."""
    if os.geteuid():
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv to take that right away")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@posix
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    """A read-only folder for reports is named in one line, exit code 1, and stays as it is."""
    (tmp_path / "tiny.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "reports").mkdir(mode=0o555)
    (tmp_path / "reports").chmod(0o555)
    done = subprocess.run(
        [*bound_by_modes(), sys.executable, "-m", "pipeline", "run", "tiny.yaml", "--seeds", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    line = only_line(done.returncode, done.stderr)
    assert line == (
        "photofinish: reports/tiny can't be written: Permission denied;"
        " write elsewhere, or have the right to write there"
    )
    assert not list((tmp_path / "reports").iterdir())


LIMITED = """
import resource, sys
from pathlib import Path
from pipeline.errors import DiskError
from pipeline.whole_files import set_aside

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with set_aside(Path("kept.txt")) as aside:
        aside.write_bytes(b"new" * 1000)
except DiskError as error:
    print(error)
"""


@posix
def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    """Where a file may not become as large as it would, the old one stays, and nothing half-written lies beside it."""
    (tmp_path / "kept.txt").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "kept.txt can't be written: File too large; free some space, and run it again\n"
    assert contents(tmp_path) == {Path("kept.txt"): b"old"}
