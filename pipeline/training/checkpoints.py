"""Populations kept in a folder while they train: training goes on from there as if it had never stopped.

A file holds arrays (parameters, the optimizer's running averages, learning curves, the states of the batch orders,
networks of members that are done, what was recorded of them) and a JSON that names shape, members and progress.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.artifacts import Bytes, Network
from pipeline.errors import StoreError
from pipeline.training.population import Member, Outcome, Population, Rows, Shape, finish_population, stacks
from pipeline.training.sealed import SUFFIX, read_sealed, write_sealed
from pipeline.training.snapshots import Frames, Recorder

SECONDS_BETWEEN = 60.0  # what a killed training loses at most; saving takes a few milliseconds

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(eq=False)
class Training:
    """A population on its way."""

    population: Population
    started_at: float  # seconds since 1970
    seconds: float = 0.0  # that it has trained by now, over all its beginnings
    frames: Frames = field(default_factory=dict)  # what was recorded of it


@dataclass(frozen=True, eq=False)
class Ended:
    """What became of one member, and what it took."""

    outcome: Outcome
    started_at: float  # of its stack, seconds since 1970
    seconds: float  # its share of its stack's training time


def train_kept(
    shape: Shape,
    members: Sequence[Member],
    train: Rows,
    monitored: Rows,
    folder: Path | None,
    *,
    recorder: Recorder | None = None,
    memory: int | None = None,
    announce: Callable[[Population], None] | None = None,
) -> list[Ended]:
    """Train as `train_population` does, keeping each stack in a folder: once a minute, and when it is done.

    What the folder holds already is gone on with. It belongs to one population: to these rows, and to members that
    differ in their seeds alone. Which seeds are asked for may change from one time to the next.

    Parameters
    ----------
    folder:
        Need not be there yet; None keeps nothing.
    recorder:
        Kept along with the networks.
    memory, announce:
        As of `train_population`; a stack that was done before is announced once.

    Raises
    ------
    BadInput
        When a single member needs more than `memory`.
    StoreError
        When the folder can't be written, or holds a damaged file.
    """
    ended: dict[int, Ended] = {}
    for training in _kept(folder, shape, members, train, monitored):
        if training.population.active and ended.keys() & {member.seed for member in training.population.members}:
            continue
        ended |= _finish(training, folder, recorder, announce)
    left = [member for member in members if member.seed not in ended]
    for chosen in stacks(shape, left, len(train), len(monitored), memory):
        population = Population(shape, [left[index] for index in chosen], train, monitored)
        ended |= _finish(Training(population, time.time()), folder, recorder, announce)
    return [ended[member.seed] for member in members]


def _finish(
    training: Training, folder: Path | None, recorder: Recorder | None, announce: Callable[[Population], None] | None
) -> dict[int, Ended]:
    """Train a stack to its end; returns what became of its members, by their seeds."""
    population = training.population
    seeds = [member.seed for member in population.members]
    resumed, before = time.perf_counter(), training.seconds
    saved = resumed
    if recorder is not None:
        recorder.restore(training.frames)

    def tell(_: Population) -> None:
        nonlocal saved
        if recorder is not None:
            recorder(population)
        if announce is not None:
            announce(population)
        now = time.perf_counter()
        training.seconds = before + now - resumed
        if folder is not None and (not population.active or now - saved >= SECONDS_BETWEEN):
            training.frames = {} if recorder is None else recorder.frames(seeds)
            save_checkpoint(training, folder / _name(seeds))
            saved = now

    if not population.active and announce is not None:
        announce(population)
    outcomes = finish_population(population, announce=tell)
    share = training.seconds / len(outcomes)
    ended = [Ended(outcome, training.started_at, share) for outcome in outcomes]
    return dict(zip(seeds, ended, strict=True))


def _kept(
    folder: Path | None,
    shape: Shape,
    members: Sequence[Member],
    train: Rows,
    monitored: Rows,
) -> Iterator[Training]:
    """Go through what a folder holds for some members: stacks that are done, whole or in part, before those in work."""
    wanted = {member.seed: member for member in members}
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder is not None else []:
        training = load_checkpoint(path, train, monitored)
        population = training.population
        fits = [wanted.get(member.seed) == member for member in population.members]
        if population.shape == shape and (all(fits) if population.active else any(fits)):
            found.append(training)
    yield from sorted(found, key=lambda training: len(training.population.active))


def _name(seeds: Sequence[int]) -> str:
    """Name the file of a stack: the same whenever it is saved, and another for other members."""
    return hashlib.sha256(str(seeds).encode()).hexdigest()[:16] + SUFFIX


def save_checkpoint(training: Training, path: Path) -> None:
    """Write a population between two epochs.

    Raises
    ------
    StoreError
        When the file can't be written.
    """
    population = training.population
    population.flush()
    tensors = {"parameters": population.stack.flat}
    tensors |= {f"optimizer.{name}": buffer for name, buffer in population.optimizer.buffers.items()}
    tensors["curves"] = population.curves_cpe
    tensors["orders"] = torch.stack([order.state for order in population.orders])
    arrays: Arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    for index, network in population.networks.items():
        arrays |= _network_arrays(f"done.{index}", network)
    for seed, frames in training.frames.items():
        arrays |= {
            f"frames.{seed}.epochs": np.array(list(frames)),
            f"frames.{seed}.codes": np.stack(list(frames.values())),
        }
    state = {
        "shape": asdict(population.shape),
        "members": [asdict(member) for member in population.members],
        "epoch": population.epoch,
        "steps": population.optimizer.steps,
        "active": population.active,
        "done": {index: network.activation for index, network in population.networks.items()},
        "failures": population.failures,
        "ended": population.ended,
        "recorded": list(training.frames),
        "started_at": training.started_at,
        "seconds": training.seconds,
    }
    write_sealed(path, arrays, state)


def load_checkpoint(path: Path, train: Rows, monitored: Rows) -> Training:
    """Read a population back; `finish_population` then ends it with the bits of one that never stopped.

    Raises
    ------
    StoreError
        When the file is no checkpoint of this format, or is damaged.
    """
    arrays, state = read_sealed(path)
    try:
        members = [Member(**{**member, "hidden_units": tuple(member["hidden_units"])}) for member in state["members"]]
        population = Population(Shape(**state["shape"]), members, train, monitored)
        _restore(population, state, arrays)
        frames = {seed: _frames(f"frames.{seed}", arrays) for seed in state["recorded"]}
    except KeyError as error:
        raise StoreError(f"{path} is no checkpoint of a population: it has no {error}") from error
    return Training(population, state["started_at"], state["seconds"], frames)


def _restore(population: Population, state: dict[str, Any], arrays: Arrays) -> None:
    population.keep(state["active"])
    population.stack.flat.copy_(torch.from_numpy(arrays["parameters"]))
    for name, buffer in population.optimizer.buffers.items():
        buffer.copy_(torch.from_numpy(arrays[f"optimizer.{name}"]))
    population.curves_cpe = torch.from_numpy(arrays["curves"])
    for order, generator_state in zip(population.orders, arrays["orders"], strict=True):
        order.state = torch.from_numpy(generator_state.copy())
    population.epoch = state["epoch"]
    population.optimizer.steps = state["steps"]
    population.networks = {int(index): _network(f"done.{index}", kind, arrays) for index, kind in state["done"].items()}
    population.ended = {int(index): epochs for index, epochs in state["ended"].items()}
    population.failures = {int(index): reason for index, reason in state["failures"].items()}


def _frames(prefix: str, arrays: Arrays) -> dict[int, Bytes]:
    return dict(zip(arrays[f"{prefix}.epochs"].tolist(), arrays[f"{prefix}.codes"], strict=True))


def _network_arrays(prefix: str, network: Network) -> Arrays:
    arrays: Arrays = {f"{prefix}.weight.{i}": array for i, array in enumerate(network.weights)}
    return arrays | {f"{prefix}.bias.{i}": array for i, array in enumerate(network.biases)}


def _network(prefix: str, activation: str, arrays: Arrays) -> Network:
    layers = sum(name.startswith(f"{prefix}.weight.") for name in arrays)
    return Network(
        activation,
        tuple(arrays[f"{prefix}.weight.{i}"] for i in range(layers)),
        tuple(arrays[f"{prefix}.bias.{i}"] for i in range(layers)),
    )
