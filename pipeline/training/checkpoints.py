"""A population on disk, as safetensors: training goes on from it as if it had never stopped.

The file holds tensors (parameters, the optimizer's running averages, learning curves, the states of the batch
orders, networks of members that are done) and, as its metadata, JSON that names shape, members and progress.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.artifacts import Network
from pipeline.errors import StoreError
from pipeline.training.population import Member, Population, Rows, Shape

FORMAT = "photofinish-population-1"


def save_checkpoint(population: Population, path: Path) -> None:
    """Write a population between two epochs."""
    population.flush()
    tensors = {"parameters": population.stack.flat}
    tensors |= {f"optimizer.{name}": buffer for name, buffer in population.optimizer.buffers.items()}
    tensors["curves"] = population.curves_cpe
    tensors["orders"] = torch.stack([order.state for order in population.orders])
    for index, network in population.networks.items():
        tensors |= _network_tensors(f"done.{index}", network)
    state = {
        "format": FORMAT,
        "shape": asdict(population.shape),
        "members": [asdict(member) for member in population.members],
        "epoch": population.epoch,
        "steps": population.optimizer.steps,
        "active": population.active,
        "done": {index: network.activation for index, network in population.networks.items()},
        "failures": population.failures,
        "ended": population.ended,
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, path, metadata={"photofinish": json.dumps(state)})


def load_checkpoint(path: Path, train: Rows, monitored: Rows) -> Population:
    """Read a population back; `finish_population` then ends it with the bits of one that never stopped.

    Raises
    ------
    StoreError
        When the file is no checkpoint of this format, or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["photofinish"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, json.JSONDecodeError, FileNotFoundError) as error:
        raise StoreError(f"{path} is not a checkpoint that can be read: {error}") from error
    if state["format"] != FORMAT:
        raise StoreError(f"{path} has format {state['format']}; this version reads {FORMAT}")
    members = [Member(**{**member, "hidden_units": tuple(member["hidden_units"])}) for member in state["members"]]
    population = Population(Shape(**state["shape"]), members, train, monitored)
    _restore(population, state, tensors)
    return population


def _restore(population: Population, state: dict[str, object], tensors: dict[str, Tensor]) -> None:
    population.keep([int(index) for index in state["active"]])  # type: ignore[attr-defined]
    population.stack.flat.copy_(tensors["parameters"])
    for name, buffer in population.optimizer.buffers.items():
        buffer.copy_(tensors[f"optimizer.{name}"])
    population.curves_cpe = tensors["curves"]
    for order, generator_state in zip(population.orders, tensors["orders"], strict=True):
        order.state = generator_state.clone()
    population.epoch = int(state["epoch"])  # type: ignore[call-overload]
    population.optimizer.steps = int(state["steps"])  # type: ignore[call-overload]
    done: dict[str, str] = state["done"]  # type: ignore[assignment]
    population.networks = {int(index): _network(f"done.{index}", kind, tensors) for index, kind in done.items()}
    ended: dict[str, int] = state["ended"]  # type: ignore[assignment]
    population.ended = {int(index): epochs for index, epochs in ended.items()}
    failures: dict[str, str] = state["failures"]  # type: ignore[assignment]
    population.failures = {int(index): reason for index, reason in failures.items()}


def _network_tensors(prefix: str, network: Network) -> dict[str, Tensor]:
    arrays = {f"{prefix}.weight.{i}": array for i, array in enumerate(network.weights)}
    arrays |= {f"{prefix}.bias.{i}": array for i, array in enumerate(network.biases)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _network(prefix: str, activation: str, tensors: dict[str, Tensor]) -> Network:
    layers = sum(name.startswith(f"{prefix}.weight.") for name in tensors)
    return Network(
        activation,
        tuple(tensors[f"{prefix}.weight.{i}"].numpy() for i in range(layers)),
        tuple(tensors[f"{prefix}.bias.{i}"].numpy() for i in range(layers)),
    )
