"""A trained network as two files: weights as safetensors, and a JSON that says what they are."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pipeline.artifacts import Network
from pipeline.errors import StoreError


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
    (folder / "network.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_network(folder: Path) -> Network:
    """Read a network back.

    Raises
    ------
    StoreError
        When a file is missing or damaged.
    """
    try:
        description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "weights.safetensors")
        layers = range(len(description["hidden_units"]) + 1)
        return Network(
            description["activation"],
            tuple(tensors[f"{2 * layer}.weight"] for layer in layers),
            tuple(tensors[f"{2 * layer}.bias"] for layer in layers),
        )
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise StoreError(f"{folder} holds no network that can be read: {error}") from error
