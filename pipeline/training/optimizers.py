"""SGD, Adam and AdamW for stacks: torch.optim's update rules with a learning rate (momentum, weight decay) a member.

torch.optim takes one learning rate for a whole tensor; here each slice of a tensor is another network with its own.
The rules are those of the torch 2.13 documentation; tests hold each against torch.optim.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor

from pipeline.training.spec import OptimizerName

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # torch's defaults for Adam and AdamW


class Optimizer(ABC):
    """Updates the flat parameters of a stack from their gradient.

    `lr`, `momentum` and `weight_decay` are arranged like the parameters, and so are the running averages in `buffers`.
    All members of a stack have made the same number of steps.
    """

    buffer_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, lr: Tensor, momentum: Tensor, weight_decay: Tensor) -> None:
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.steps = 0
        self.buffers = {name: torch.zeros_like(lr) for name in self.buffer_names}
        self._has_momentum = bool(momentum.any())
        self._has_decay = bool(weight_decay.any())

    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        """Move the parameters in place by one step; the gradient is used up."""
        self.steps += 1
        self._update(parameters, gradient)

    @abstractmethod
    def _update(self, parameters: Tensor, gradient: Tensor) -> None: ...

    def select(self, choose: Callable[[Tensor], Tensor]) -> None:
        """Keep some members alone; `choose` takes their part of a tensor arranged like the parameters."""
        self.lr, self.momentum, self.weight_decay = map(choose, (self.lr, self.momentum, self.weight_decay))
        self.buffers = {name: choose(buffer) for name, buffer in self.buffers.items()}


@final
class SGD(Optimizer):
    """Stochastic gradient descent with momentum (no dampening, not Nesterov's)."""

    buffer_names = ("momentum",)

    def _update(self, parameters: Tensor, gradient: Tensor) -> None:
        if self._has_decay:
            gradient.addcmul_(self.weight_decay, parameters)
        if self._has_momentum:
            gradient = self.buffers["momentum"].mul_(self.momentum).add_(gradient)
        parameters.addcmul_(self.lr, gradient, value=-1)


class _AdaptiveMoments(Optimizer):
    buffer_names = ("mean", "square")

    def _adapt(self, parameters: Tensor, gradient: Tensor) -> None:
        """Adam's step (Kingma & Ba 2015) in the order of operations that torch uses."""
        mean, square = self.buffers["mean"], self.buffers["square"]
        mean.lerp_(gradient, 1 - BETA_1)
        square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        denominator = square.sqrt().div_((1 - BETA_2**self.steps) ** 0.5).add_(EPSILON)
        step = torch.div(mean, denominator, out=denominator).mul_(self.lr)
        parameters.sub_(step, alpha=1 / (1 - BETA_1**self.steps))


@final
class Adam(_AdaptiveMoments):
    """Adam; weight decay is added to the gradient."""

    def _update(self, parameters: Tensor, gradient: Tensor) -> None:
        if self._has_decay:
            gradient.addcmul_(self.weight_decay, parameters)
        self._adapt(parameters, gradient)


@final
class AdamW(_AdaptiveMoments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def _update(self, parameters: Tensor, gradient: Tensor) -> None:
        if self._has_decay:
            parameters.mul_(1 - self.lr * self.weight_decay)
        self._adapt(parameters, gradient)


OPTIMIZERS: dict[OptimizerName, type[Optimizer]] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
