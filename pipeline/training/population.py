"""The training loop of a population: epochs, mini-batches, members that finish or diverge and leave the stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.artifacts import History, Integers, Network, Singles
from pipeline.errors import BadInput
from pipeline.training.batches import BatchOrder
from pipeline.training.losses import target_dtype
from pipeline.training.networks import initial_stack
from pipeline.training.optimizers import OPTIMIZERS
from pipeline.training.passes import Batch, Pass
from pipeline.training.spec import ActivationName, LossName, OptimizerName

CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")

# Rows are padded to whole blocks. Elementwise kernels treat the last few numbers of a tensor, those that fill no vector
# register, with other instructions than the rest; with whole blocks no number is among the last few, so that a member's
# bits don't depend on how many others stand before it.
ROW_BLOCK = 32

# Longer parts go through in pieces of this many rows: what they need of memory stays bounded, and in the cache. It is
# the same for every population, for the order of summation decides the last bit.
MOST_ROWS = 4096

# Buffers of one stack: about where the time per member is lowest for networks of width 10, 32 and 128, to rise again
# beyond it (benchmarks/training.py --stacks).
STACK_BYTES = 10 * 2**20

BUFFERS_PER_UNIT = 3  # before and after the activation, and the derivative

# How often the loop looks for members that diverged. Looking costs a synchronisation; a diverged member that stays
# a little longer costs only its own arithmetic, since no member's numbers enter another's.
EPOCHS_BETWEEN_CHECKS = 20


@dataclass(frozen=True)
class Member:
    """What one network of a population has for itself."""

    seed: int
    hidden_units: tuple[int, ...]
    lr: float
    epochs: int
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int | None = None  # None is the full batch


@dataclass(frozen=True)
class Shape:
    """What all networks of a population share; depth and batch size are shared too, and read off the members."""

    activation: ActivationName
    loss: LossName
    optimizer: OptimizerName
    n_outputs: int
    double: bool = False  # float64 instead of float32
    device: str = "cpu"

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of parameters and activations."""
        return torch.float64 if self.double else torch.float32


@dataclass(frozen=True, eq=False)
class Rows:
    """Scaled features (rows, features) and target (rows,) of one part of a split.

    `weights` (rows,), all above 0, say how much each row counts in the loss that is minimised, and so in `train_loss`:
    a row's loss is multiplied by its weight before the mean over the rows of a step is taken. They are 1 on average
    where the learning rate is to mean what it means without them. Accuracy counts every row once.
    """

    features: Singles
    target: Singles | Integers
    weights: Singles | None = None  # None: all rows count the same

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one member."""

    network: Network
    history: History
    failure: str | None


class Population:
    """Networks in training; `run_epoch` until `active` is empty, or `train_population` for all of it.

    `active` lists the members that are in the stack, by their position in `members`. A member leaves when its own
    number of epochs is done or its loss is no longer finite; the others don't notice.
    """

    def __init__(self, shape: Shape, members: Sequence[Member], train: Rows, monitored: Rows) -> None:
        self.shape = shape
        self.members = tuple(members)
        self.epoch = 0
        self.active = list(range(len(members)))
        self.networks: dict[int, Network] = {}
        self.failures: dict[int, str] = {}
        self.ended: dict[int, int] = {}  # epochs of those that have left
        self._train = _Part(train, shape)
        self._monitored = _Part(monitored, shape)
        self.stack = initial_stack(
            shape.activation,
            [member.seed for member in members],
            [member.hidden_units for member in members],
            train.features.shape[1],
            shape.n_outputs,
            dtype=shape.dtype,
            device=shape.device,
        )
        self.optimizer = OPTIMIZERS[shape.optimizer](
            self.stack.spread([member.lr for member in members]),
            self.stack.spread([member.momentum for member in members]),
            self.stack.spread([member.weight_decay for member in members]),
        )
        self._passes: dict[int, Pass] = {}
        self._gradient = torch.zeros_like(self.stack.flat)
        self._recent: list[tuple[int, Tensor, Tensor]] = []
        self.orders = [BatchOrder(member.seed, len(train), monitored=len(monitored) > 0) for member in members]
        longest = max(member.epochs for member in members)
        self.curves_cpe = torch.full((len(CURVES), len(members), longest), torch.nan, dtype=torch.float64)

    def run_epoch(self) -> None:
        """Train every active member for one epoch, then let those leave that are done or have diverged."""
        self._record(0, *self._update())
        if len(self._monitored):
            self._record(2, *self._measure())
        self.epoch += 1
        self._let_go()

    def outcome(self, index: int) -> Outcome:
        """What became of one member that has left; curves end before the first value that isn't finite."""
        history = History(*self.curves_cpe[:, index, : self.ended[index]].numpy().copy())
        return Outcome(self.networks[index], history, self.failures.get(index))

    def last_monitored_loss(self, index: int) -> float:
        """Mean loss of a member on the monitored rows after its last epoch so far."""
        self.flush()
        return float(self.curves_cpe[2, index, self.ended.get(index, self.epoch) - 1])

    def release(self, leaving: Collection[int]) -> None:
        """Let members leave after this epoch, by their positions in `members`: pruned, done, or diverged.

        Each keeps the network and the curves that it has by now.
        """
        self.flush()
        for position, index in enumerate(self.active):
            if index in leaving:
                self.networks[index] = self.stack.network(position)
                self.ended[index] = self._finite_epochs(index)
                if self.ended[index] < self.epoch or not self.stack.is_finite(position):
                    self.failures[index] = self._failure(index)
        self.keep([position for position, index in enumerate(self.active) if index not in leaving])

    def free_buffers(self) -> None:
        """Give back the memory of the passes; the next epoch takes it again."""
        self._passes.clear()

    def keep(self, positions: Sequence[int]) -> None:
        """Take every member out of the stack but those at some positions of it."""
        before = self.stack
        self.active = [self.active[position] for position in positions]
        self.stack = before.select(positions)
        self.optimizer.select(lambda flat: before.select_flat(flat, positions))
        self._passes.clear()
        self._gradient = torch.zeros_like(self.stack.flat)

    def _update(self) -> tuple[Tensor, Tensor]:
        """One pass over the training rows; returns mean loss and number of right rows before each update, both (p,)."""
        batch_size = self.members[0].batch_size
        if batch_size is None:
            return self._step(self._train.blocks)
        order_pn = torch.stack([self.orders[index].next_epoch() for index in self.active])
        measured = []
        for batch_pn in torch.split(order_pn.to(self.shape.device), batch_size, dim=1):
            loss_p, right_p = self._step(self._train.batch(batch_pn))
            measured.append((loss_p * (batch_pn.shape[1] / len(self._train)), right_p))
        return _add_up(measured)

    def _step(self, blocks: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """One optimizer step on the rows of some blocks; returns mean loss and number of right rows before it."""
        measured = [self._pass(block).differentiate(block, add=position > 0) for position, block in enumerate(blocks)]
        self.optimizer.step(self.stack.flat, self._gradient)
        return _add_up(measured)

    def _measure(self) -> tuple[Tensor, Tensor]:
        """Mean loss and number of right rows among the monitored ones, both (p,)."""
        return _add_up([self._pass(block).measure(block) for block in self._monitored.blocks])

    def _pass(self, block: Batch) -> Pass:
        """Return the buffers for blocks of this size; all write to one gradient."""
        n_rows = block.weights_pn.shape[1]
        if n_rows not in self._passes:
            self._passes[n_rows] = Pass(self.stack, self.shape.loss, n_rows, self._gradient)
        return self._passes[n_rows]

    def _record(self, curve: int, loss_p: Tensor, right_p: Tensor) -> None:
        self._recent.append((curve, loss_p, right_p))

    def flush(self) -> None:
        """Bring `curves_cpe` up to date: values go there a few epochs at once, since one by one they cost too much."""
        count = sum(curve == 0 for curve, _, _ in self._recent)
        for curve, n_rows in ((0, len(self._train)), (2, len(self._monitored))):
            recent = [torch.stack(pair) for of, *pair in self._recent if of == curve]
            if recent:
                values = torch.stack(recent, dim=2).to("cpu", torch.float64)
                values[1] /= n_rows  # a share of right rows, exactly 1 when all of them are
                self.curves_cpe[curve : curve + 2, self.active, self.epoch - count : self.epoch] = values
        self._recent.clear()

    def _let_go(self) -> None:
        done = [index for index in self.active if self.members[index].epochs == self.epoch]
        if done or not self.epoch % EPOCHS_BETWEEN_CHECKS:
            self.release_diverged(done)

    def release_diverged(self, others: Sequence[int] = ()) -> None:
        """Let members leave that have diverged by now, and some others with them."""
        self.flush()
        diverged = [index for index in self.active if self._finite_epochs(index) < self.epoch]
        if others or diverged:
            self.release({*others, *diverged})

    def _losses(self, index: int) -> Tensor:
        """Loss curves that are followed, (1 or 2, epochs so far)."""
        curves = [0, 2] if len(self._monitored) else [0]
        return self.curves_cpe[curves, index, : self.epoch]

    def _finite_epochs(self, index: int) -> int:
        """Epochs before the first whose loss isn't finite."""
        finite = self._losses(index).isfinite().all(dim=0)
        return int(finite.logical_not().nonzero()[0]) if not finite.all() else self.epoch

    def _failure(self, index: int) -> str:
        epoch = self._finite_epochs(index)
        if epoch == self.epoch:
            return f"weights are no longer finite after epoch {epoch - 1}"
        for name, value in zip(("train/loss", "validation/loss"), self._losses(index)[:, epoch].tolist(), strict=False):
            if not np.isfinite(value):
                return f"{name} became {value} in epoch {epoch}"
        raise AssertionError("a diverged member has a loss that is not finite")


def _add_up(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Add up what the parts of a whole contribute to its mean loss and its number of right rows."""
    loss_p, right_p = parts[0]
    for further_loss_p, further_right_p in parts[1:]:
        loss_p, right_p = loss_p + further_loss_p, right_p + further_right_p
    return loss_p, right_p


class _Part:
    """One part of a split as tensors, feature-major, in blocks of at most `MOST_ROWS`."""

    def __init__(self, rows: Rows, shape: Shape) -> None:
        self._n_rows = len(rows)
        self._features_fn = torch.from_numpy(rows.features).to(shape.device, shape.dtype).T.contiguous()
        self._target_n = torch.from_numpy(rows.target).to(shape.device, target_dtype(shape.loss, shape.dtype))
        self._weights_n = None if rows.weights is None else torch.from_numpy(rows.weights).to(shape.device, shape.dtype)

    def __len__(self) -> int:
        return self._n_rows

    @cached_property
    def blocks(self) -> list[Batch]:
        """All rows, the same for every member."""
        return self.batch(torch.arange(self._n_rows, device=self._target_n.device)[None])

    def batch(self, rows_pn: Tensor) -> list[Batch]:
        """Each member's own rows (p, n), or one choice of rows for all of them (1, n)."""
        return [
            self._block(rows_pn[:, start : start + MOST_ROWS], rows_pn.shape[1])
            for start in range(0, rows_pn.shape[1], MOST_ROWS)
        ]

    def _block(self, rows_pn: Tensor, n_rows_of_step: int) -> Batch:
        n_rows = rows_pn.shape[1]
        filled_pn = functional.pad(rows_pn, (0, -n_rows % ROW_BLOCK))
        features_pfn = self._features_fn[:, filled_pn].transpose(0, 1).contiguous()
        if self._weights_n is None:
            weights_pn = torch.zeros_like(features_pfn[:1, 0])
            weights_pn[:, :n_rows] = 1 / n_rows_of_step
        else:
            weights_pn = self._weights_n[filled_pn] / n_rows_of_step
            weights_pn[:, n_rows:] = 0
        return Batch(features_pfn, self._target_n[filled_pn], weights_pn)


def train_population(
    shape: Shape,
    members: Sequence[Member],
    train: Rows,
    monitored: Rows,
    *,
    memory: int | None = None,
    announce: Callable[[Population], None] | None = None,
) -> list[Outcome]:
    """Train any number of members to their ends; outcomes come in the order of `members`.

    Members that are much alike are stacked, as many as fit the processor's cache, stack after stack; so memory depends
    on the size of one member, and not on their number.

    Parameters
    ----------
    train, monitored:
        Rows to train on, and rows whose loss is followed (none: an empty part).
    memory:
        Bytes that the buffers of a stack may take; an eighth of what is free unless given. More than `STACK_BYTES` is
        never used, since training gets slower beyond it.
    announce:
        Called after every epoch of a stack; the one seam where progress, tracking and pruning listen.

    Raises
    ------
    BadInput
        When a single member needs more than `memory`.
    """
    outcomes: dict[int, Outcome] = {}
    for chosen in stacks(shape, members, len(train), len(monitored), memory):
        population = Population(shape, [members[index] for index in chosen], train, monitored)
        outcomes |= zip(chosen, finish_population(population, announce=announce), strict=True)
    return [outcomes[index] for index in range(len(members))]


def stacks(
    shape: Shape, members: Sequence[Member], n_train: int, n_monitored: int, memory: int | None = None
) -> list[list[int]]:
    """Choose which members share a stack, by their positions.

    They have one depth and one batch size, and their widest layers differ by less than a factor of two, so that little
    is padded; and the buffers of a stack stay within `STACK_BYTES` and within `memory`, in bytes, which is an eighth of
    what is free unless given.
    """
    budget = free_memory() // 8 if memory is None else memory

    def likeness(index: int) -> tuple[int, int, int]:
        units = members[index].hidden_units
        return members[index].batch_size or 0, len(units), max(units, default=0).bit_length()

    chosen: list[list[int]] = []
    for (batch_size, *_), alike in groupby(sorted(range(len(members)), key=likeness), key=likeness):
        group = list(alike)
        units = int(np.max([members[index].hidden_units for index in group], axis=0).sum()) + shape.n_outputs
        rows = sum(min(n + -n % ROW_BLOCK, MOST_ROWS) for n in (batch_size or n_train, n_monitored))
        need = units * rows * BUFFERS_PER_UNIT * shape.dtype.itemsize
        if need > budget:
            raise BadInput(
                f"{budget / 2**20:.0f} MiB are too few for one network of {units} units",
                field="memory",
                remedy=f"allow at least {-(-need // 2**20)} MiB",
            )
        most = max(1, min(STACK_BYTES, budget) // need)
        chosen += [group[start : start + most] for start in range(0, len(group), most)]
    return chosen


def free_memory() -> int:
    """Return the bytes of memory that are free; where the system doesn't tell, as if nothing were short."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on every system
        return sys.maxsize


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one intra-op thread.

    Small networks gain nothing from more, and lose much when other processes want the cores; and how a sum is shared
    out among threads would depend on the size of the population, and so would its last bit.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def finish_population(population: Population, *, announce: Callable[[Population], None] | None = None) -> list[Outcome]:
    """Train what is left of a population, new or loaded from a checkpoint."""
    with one_thread():
        while population.active:
            population.run_epoch()
            if announce is not None:
                announce(population)
    return [population.outcome(index) for index in range(len(population.members))]
