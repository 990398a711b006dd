from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pipeline.training.batches import BatchOrder


@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize("seed", [0, 42])
def test_order_equals_dataloader(seed: int, monitored: bool) -> None:
    """Epoch for epoch, rows come in the order of the real DataLoader(shuffle=True) under the same seed."""
    rows = TensorDataset(torch.arange(50))
    loader = DataLoader(rows, batch_size=16, shuffle=True)
    monitored_loader = DataLoader(rows, batch_size=16)
    torch.manual_seed(seed)
    order = BatchOrder(seed, 50, monitored=monitored)
    for _ in range(3):
        drawn = torch.cat([batch for (batch,) in loader])
        if monitored:
            list(monitored_loader)
        assert torch.equal(order.next_epoch(), drawn)
