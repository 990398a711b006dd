"""The order of mini-batches, equal to that of PyTorch's `DataLoader(shuffle=True)`."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor


@final
class BatchOrder:
    """Row orders, an epoch at a time, under one seed.

    Each time a DataLoader is iterated it draws from its generator one int64 for the iterator's base seed; a shuffling
    one draws a second, which seeds the generator of its sampler, and that gives the order by one `randperm`. A loader
    of monitored rows, iterated once an epoch and not shuffled, draws the base seed alone.
    """

    def __init__(self, seed: int, n_rows: int, *, monitored: bool) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._n_rows = n_rows
        self._monitored = monitored

    def next_epoch(self) -> Tensor:
        """Row positions in the order of the next epoch, shape (n_rows,)."""
        self._draw()
        sampler = torch.Generator().manual_seed(self._draw())
        order = torch.randperm(self._n_rows, generator=sampler)
        if self._monitored:
            self._draw()
        return order

    def _draw(self) -> int:
        return int(torch.empty((), dtype=torch.int64).random_(generator=self._generator).item())

    @property
    def state(self) -> Tensor:
        """The generator's state, for a checkpoint."""
        return self._generator.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._generator.set_state(state)
