from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.training.optimizers import OPTIMIZERS
from pipeline.training.spec import OptimizerName

SIZE = 4  # parameters of a member
LR, MOMENTUM, WEIGHT_DECAY = (0.1, 0.01, 0.5), (0.9, 0.0, 0.5), (0.0, 0.1, 0.01)  # of three members
GRADIENTS = torch.randn(8, 3, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def begun() -> Tensor:
    return torch.arange(3.0 * SIZE, dtype=torch.float64).reshape(3, SIZE) - 5


def by_torch(name: OptimizerName, member: int, steps: int) -> Tensor:
    """One member's parameters after some steps of torch's own optimizer."""
    parameters = torch.nn.Parameter(begun()[member])
    momentum = {"momentum": MOMENTUM[member]} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)([parameters], LR[member], weight_decay=WEIGHT_DECAY[member], **momentum)
    for gradient in GRADIENTS[:steps, member]:
        parameters.grad = gradient.clone()
        optimizer.step()
    return parameters.detach()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_member_moves_as_by_torch(name: OptimizerName) -> None:
    """Members with hyperparameters of their own move as alone by torch.optim, also when another one has left."""
    spread = [
        torch.tensor(values, dtype=torch.float64)[:, None].repeat(1, SIZE) for values in (LR, MOMENTUM, WEIGHT_DECAY)
    ]
    optimizer, parameters = OPTIMIZERS[name](*spread), begun()
    for gradient in GRADIENTS[:5]:
        optimizer.step(parameters, gradient.clone())
    left = [0, 2]
    torch.testing.assert_close(parameters[1], by_torch(name, 1, 5), rtol=1e-12, atol=0)
    optimizer.select(lambda flat: flat[left])
    parameters = parameters[left]
    for gradient in GRADIENTS[5:]:
        optimizer.step(parameters, gradient[left])
    for position, member in enumerate(left):
        torch.testing.assert_close(parameters[position], by_torch(name, member, 8), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_members_without_decay_or_momentum_do_without(name: OptimizerName) -> None:
    """Where no member has any, the update is torch's without them."""
    nought = torch.zeros(3, SIZE, dtype=torch.float64)
    parameters = begun()
    optimizer = OPTIMIZERS[name](nought + 0.1, nought, nought)
    plain = torch.nn.Parameter(begun())
    reference = getattr(torch.optim, name)([plain], 0.1, weight_decay=0.0)
    for gradient in GRADIENTS:
        optimizer.step(parameters, gradient.clone())
        plain.grad = gradient.clone()
        reference.step()
    torch.testing.assert_close(parameters, plain.detach(), rtol=1e-12, atol=0)
