from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.whole_files import FORGOTTEN, folder_set_aside, set_aside


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def fail_in_a_folder(folder: Path) -> None:
    with folder_set_aside(folder) as aside:
        (aside / "figures").mkdir()
        (aside / "figures" / "new.png").write_text("new")
        raise KeyError


def fail_in_a_file(file: Path) -> None:
    with set_aside(file) as aside:
        aside.write_text("new")
        raise KeyError


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    """Until then the old one is there; afterwards only the new one is."""
    file = tmp_path / "a.txt"
    file.write_text("old")
    with set_aside(file) as aside:
        aside.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Old files and folders stay as they are, and what was set aside goes away."""
    (tmp_path / "reports" / "figures").mkdir(parents=True)
    (tmp_path / "reports" / "figures" / "old.png").write_text("old")
    with pytest.raises(KeyError):
        fail_in_a_folder(tmp_path / "reports")
    with pytest.raises(KeyError):
        fail_in_a_file(tmp_path / "a.txt")
    assert names(tmp_path) == ["reports"]
    assert names(tmp_path / "reports" / "figures") == ["old.png"]


def test_a_folders_own_folders_are_replaced_and_other_files_stay(tmp_path: Path) -> None:
    """Files of one name are replaced, and a folder of one name as a whole; what somebody laid beside them stays."""
    folder = tmp_path / "deep" / "reports"
    with folder_set_aside(folder) as aside:
        (aside / "figures").mkdir()
        (aside / "figures" / "first.png").write_text("1")
        (aside / "metrics.csv").write_text("1")
    (folder / "mine.txt").write_text("mine")
    with folder_set_aside(folder) as aside:
        (aside / "figures").mkdir()
        (aside / "figures" / "second.png").write_text("2")
        (aside / "metrics.csv").write_text("2")
    found = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}
    assert found == {"figures/second.png": "2", "metrics.csv": "2", "mine.txt": "mine"}
    assert names(folder.parent) == ["reports"]


def test_what_a_killed_process_left_is_swept_away_in_time(tmp_path: Path) -> None:
    """A folder set aside that nobody has touched for a day is removed; a younger one may be in work."""
    old, young = tmp_path / ".reports.1.partial", tmp_path / ".reports.2.partial"
    for folder in (old, young):
        folder.mkdir()
    long_ago = young.stat().st_mtime - FORGOTTEN - 1
    os.utime(old, (long_ago, long_ago))
    with folder_set_aside(tmp_path / "reports"):
        pass
    assert names(tmp_path) == [".reports.2.partial", "reports"]
