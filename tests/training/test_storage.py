from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.artifacts import History, Snapshots
from pipeline.errors import StoreError
from pipeline.training.networks import build_module, initial_stack
from pipeline.training.storage import (
    CURVES,
    load_history,
    load_network,
    load_snapshots,
    save_history,
    save_network,
    save_snapshots,
)


def test_a_network_comes_back_to_the_bit(tmp_path: Path) -> None:
    """Weights have the names that `nn.Sequential` gives them, and the values; the description says what they are."""
    network = initial_stack("tanh", [3], [(4, 5)], 2, 3).network(0)
    save_network(network, tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    expected = {name: tensor.numpy() for name, tensor in build_module(network).state_dict().items()}
    assert {name: array.tobytes() for name, array in stored.items()} == {
        name: array.tobytes() for name, array in expected.items()
    }
    assert json.loads((tmp_path / "network.json").read_text(encoding="utf-8")) == {
        "n_features": 2,
        "hidden_units": [4, 5],
        "n_outputs": 3,
        "activation": "tanh",
        "parameters": 2 * 4 + 4 + 4 * 5 + 5 + 5 * 3 + 3,
        "input": "scaled features",
        "output": "logits, or the scaled prediction of a regression",
    }
    back = load_network(tmp_path)
    assert back.activation == "tanh"
    for mine, theirs in zip((*network.weights, *network.biases), (*back.weights, *back.biases), strict=True):
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["network.json", "weights.safetensors"])
@pytest.mark.parametrize("kept", [None, 0, -20])
def test_damaged_networks_are_refused(tmp_path: Path, name: str, kept: int | None) -> None:
    """A file that is missing or cut short is told with the folder."""
    save_network(initial_stack("relu", [3], [()], 2, 1).network(0), tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink() if kept is None else (tmp_path / name).write_bytes(content[:kept])
    with pytest.raises(StoreError, match="holds no network that can be read") as raised:
        load_network(tmp_path)
    assert str(tmp_path) in str(raised.value)


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
