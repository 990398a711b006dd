from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import History, Snapshots
from pipeline.errors import StoreError
from pipeline.training.storage import CURVES, load_history, load_snapshots, save_history, save_snapshots


def make_snapshots() -> Snapshots:
    codes = np.random.default_rng(0).integers(0, 256, size=(3, 4, 5), dtype=np.uint8)
    return Snapshots(np.array([1, 10, 25]), np.linspace(-0.1, 7, 5), np.linspace(1e-9, 1e9, 4), codes)


def test_snapshots_come_back_to_the_bit(tmp_path: Path) -> None:
    """What was written is read back with the same values and types."""
    written = make_snapshots()
    save_snapshots(written, tmp_path)
    back = load_snapshots(tmp_path)
    assert back is not None
    for name in ("epochs", "x", "y", "codes"):
        before, after = getattr(written, name), getattr(back, name)
        assert (before.dtype, before.shape, before.tobytes()) == (after.dtype, after.shape, after.tobytes())


def test_a_network_without_snapshots_has_none(tmp_path: Path) -> None:
    """A folder without the file is one of an older store, or of data outside the plane: no mistake."""
    assert load_snapshots(tmp_path) is None


@pytest.mark.parametrize("kept", [100, 0, -1])
def test_damaged_snapshots_are_refused(tmp_path: Path, kept: int) -> None:
    """A file that is cut short is told with its path."""
    save_snapshots(make_snapshots(), tmp_path)
    file = tmp_path / "snapshots.npz"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(StoreError, match=r"snapshots\.npz holds no snapshots that can be read"):
        load_snapshots(tmp_path)


def test_whole_curves_come_back_to_the_bit(tmp_path: Path) -> None:
    """Curves are read back with the values and types that they had, missing ones too."""
    written = History(*np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32), np.full(7, np.nan))
    save_history(written, tmp_path)
    back = load_history(tmp_path)
    for name in CURVES:
        before, after = getattr(written, name), getattr(back, name)
        assert (before.dtype, before.tobytes()) == (after.dtype, after.tobytes())


@pytest.mark.parametrize("kept", [100, 0, -1])
def test_damaged_curves_are_refused(tmp_path: Path, kept: int) -> None:
    """A file that is cut short is told with its path, and so is one that isn't there."""
    with pytest.raises(StoreError, match=r"history\.npz holds no learning curves"):
        load_history(tmp_path)
    save_history(History(*np.zeros((4, 50))), tmp_path)
    file = tmp_path / "history.npz"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(StoreError, match=r"history\.npz holds no learning curves that can be read"):
        load_history(tmp_path)
