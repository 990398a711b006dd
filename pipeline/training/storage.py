"""A trained network on disk: weights as safetensors, a JSON that says what they are, and how it learned as npz."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pipeline.artifacts import Network, Snapshots
from pipeline.errors import StoreError

DESCRIPTION = "network.json"
SNAPSHOTS = "snapshots.npz"


def save_network(network: Network, folder: Path) -> None:
    """Write `weights.safetensors`, with the names `nn.Sequential` gives them, and `network.json`."""
    tensors = {}
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        tensors[f"{2 * layer}.weight"] = weight
        tensors[f"{2 * layer}.bias"] = bias
    save_file(tensors, folder / "weights.safetensors")
    description = {
        "n_features": network.weights[0].shape[1],
        "hidden_units": list(network.hidden_units),
        "n_outputs": len(network.biases[-1]),
        "activation": network.activation,
        "parameters": network.parameter_count,
        "input": "scaled features",
        "output": "logits, or the scaled prediction of a regression",
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_network(folder: Path) -> Network:
    """Read a network back.

    Raises
    ------
    StoreError
        When a file is missing or damaged.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = load_file(folder / "weights.safetensors")
        layers = range(len(description["hidden_units"]) + 1)
        return Network(
            description["activation"],
            tuple(tensors[f"{2 * layer}.weight"] for layer in layers),
            tuple(tensors[f"{2 * layer}.bias"] for layer in layers),
        )
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise StoreError(f"{folder} holds no network that can be read: {error}") from error


def save_snapshots(snapshots: Snapshots, folder: Path) -> None:
    """Write `snapshots.npz`, beside the network that they are of."""
    np.savez_compressed(
        folder / SNAPSHOTS, epochs=snapshots.epochs, x=snapshots.x, y=snapshots.y, codes=snapshots.codes
    )


def load_snapshots(folder: Path) -> Snapshots | None:
    """Read snapshots back; None where there are none, as of data outside the plane and in older stores.

    Raises
    ------
    StoreError
        When the file is damaged.
    """
    file = folder / SNAPSHOTS
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return Snapshots(**{name: arrays[name] for name in ("epochs", "x", "y", "codes")})
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"{file} holds no snapshots that can be read: {error}") from error
