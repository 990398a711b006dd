"""Networks as stacked tensors, and as the plain modules they are equal to.

Shape legend: p members of the population, o outputs of a layer, i its inputs, f features, n rows.
Activations are feature-major, (p, f, n): the rows lie next to one another in memory, which keeps the products of
small layers long.

Members of different widths share a stack by padding with zeros. Padding is exact: a padded unit has zero incoming
and outgoing weights and a zero bias, so it passes nothing on, gets no gradient, and stays zero under every optimizer
here. An activation with f(0) ≠ 0 (sigmoid) would break that, so its padded units are masked.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.artifacts import Floats, Network, Singles, Task
from pipeline.training.spec import ActivationName

Precision = TypeVar("Precision", Singles, Floats)


@dataclass(frozen=True)
class Activation:
    """An activation as function and as module, and whether it maps zero to zero."""

    function: Callable[[Tensor], Tensor]
    module: Callable[[], nn.Module]
    zero_at_zero: bool = True


def _identity(values: Tensor) -> Tensor:
    return values


ACTIVATIONS: dict[ActivationName, Activation] = {
    "identity": Activation(_identity, nn.Identity),
    "relu": Activation(torch.relu, nn.ReLU),
    "tanh": Activation(torch.tanh, nn.Tanh),
    "sigmoid": Activation(torch.sigmoid, nn.Sigmoid, zero_at_zero=False),
    "gelu": Activation(functional.gelu, nn.GELU),
    "leaky_relu": Activation(functional.leaky_relu, nn.LeakyReLU),
    "elu": Activation(functional.elu, nn.ELU),
    "silu": Activation(functional.silu, nn.SiLU),
}


class Stack:
    """Parameters of a population in one flat tensor, so that an optimizer moves all of them in one operation.

    `flat` holds, layer by layer, every member's weights and then every member's biases; `weights_poi` and
    `biases_po1` are views of it. `spread` brings one number a member into the same arrangement.
    """

    def __init__(
        self,
        activation: ActivationName,
        hidden_units: Sequence[tuple[int, ...]],
        n_features: int,
        n_outputs: int,
        *,
        dtype: torch.dtype,
        device: str,
    ) -> None:
        self.activation = activation
        self.hidden_units = [tuple(units) for units in hidden_units]  # per member, without padding
        depth = len(self.hidden_units[0])
        widest = [max(units[layer] for units in self.hidden_units) for layer in range(depth)]
        self.sizes = [n_features, *widest, n_outputs]
        self.flat = torch.zeros(self._length(), dtype=dtype, device=device)
        self.weights_poi, self.biases_po1 = self.views(self.flat)

    def _length(self) -> int:
        members = len(self.hidden_units)
        return sum(members * out * (into + 1) for into, out in pairwise(self.sizes))

    def views(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """View a tensor arranged like `flat` as weights (p, o, i) and biases (p, o, 1), a tensor a layer."""
        members, start = len(self.hidden_units), 0
        weights, biases = [], []
        for into, out in pairwise(self.sizes):
            middle, end = start + members * out * into, start + members * out * (into + 1)
            weights.append(flat[start:middle].view(members, out, into))
            biases.append(flat[middle:end].view(members, out, 1))
            start = end
        return weights, biases

    def spread(self, values: Sequence[float]) -> Tensor:
        """Arrange one number a member like `flat`."""
        spread = torch.zeros_like(self.flat)
        values_p = torch.tensor(values, dtype=spread.dtype, device=spread.device)[:, None, None]
        for views in self.views(spread):
            for view in views:
                view.copy_(values_p.expand_as(view))
        return spread

    def select(self, keep: Sequence[int]) -> Stack:
        """Return the stack of some members alone, with a copy of their parameters; padding stays."""
        kept = copy.copy(self)
        kept.hidden_units = [self.hidden_units[position] for position in keep]
        kept.flat = self.select_flat(self.flat, keep)
        kept.weights_poi, kept.biases_po1 = kept.views(kept.flat)
        return kept

    def select_flat(self, flat: Tensor, keep: Sequence[int]) -> Tensor:
        """Return what a tensor arranged like `flat` holds of some members."""
        index = torch.tensor(keep, dtype=torch.int64, device=flat.device)
        weights, biases = self.views(flat)
        parts = [view[index].reshape(-1) for pair in zip(weights, biases, strict=True) for view in pair]
        return torch.cat(parts)

    def masks_po1(self) -> list[Tensor] | None:
        """Per hidden layer (p, o, 1), one for real units; None where padding needs no mask."""
        is_padded = any(list(units) != self.sizes[1:-1] for units in self.hidden_units)
        if ACTIVATIONS[self.activation].zero_at_zero or not is_padded:
            return None
        masks = []
        for layer, bias in enumerate(self.biases_po1[:-1]):
            widths = torch.tensor([units[layer] for units in self.hidden_units], device=bias.device)
            units_o = torch.arange(bias.shape[1], device=bias.device)
            masks.append((units_o < widths[:, None]).to(bias.dtype)[:, :, None])
        return masks

    def network(self, position: int) -> Network:
        """One member's network, unpadded, as single-precision arrays on the host."""
        widths = [self.sizes[0], *self.hidden_units[position], self.sizes[-1]]
        weights, biases = [], []
        for layer, (into, out) in enumerate(pairwise(widths)):
            weights.append(_array(self.weights_poi[layer][position, :out, :into]))
            biases.append(_array(self.biases_po1[layer][position, :out, 0]))
        return Network(self.activation, tuple(weights), tuple(biases))

    def is_finite(self, position: int) -> bool:
        """Whether every parameter of a member is finite."""
        return all(bool(view[position].isfinite().all()) for view in (*self.weights_poi, *self.biases_po1))


def _array(tensor: Tensor) -> Singles:
    array: Singles = tensor.detach().to("cpu", torch.float32).numpy().copy()
    return array


def initial_stack(
    activation: ActivationName,
    seeds: Sequence[int],
    hidden_units: Sequence[tuple[int, ...]],
    n_features: int,
    n_outputs: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Stack:
    """Initialise a stack: each member as `torch.manual_seed(seed)` and then `nn.Linear` layer by layer would.

    Members must have the same depth. Numbers are drawn in single precision whatever `dtype` is, as
    `nn.Linear(…).double()` would, so that a seed means the same network in both.
    """
    stack = Stack(activation, hidden_units, n_features, n_outputs, dtype=dtype, device=device)
    for position, (seed, units) in enumerate(zip(seeds, hidden_units, strict=True)):
        generator = torch.Generator().manual_seed(seed)
        for layer, (into, out) in enumerate(pairwise([n_features, *units, n_outputs])):
            weight, bias = _initial_linear(into, out, generator)
            stack.weights_poi[layer][position, :out, :into] = weight
            stack.biases_po1[layer][position, :out, 0] = bias
    return stack


def _initial_linear(into: int, out: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw what `nn.Linear.reset_parameters` draws: Kaiming-uniform weights (a = √5), then a uniform bias."""
    weight = torch.empty(out, into)
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    bound = 1 / math.sqrt(into)
    bias = torch.empty(out).uniform_(-bound, bound, generator=generator)
    return weight, bias


def build_module(network: Network) -> nn.Sequential:
    """Return the same network as a plain `nn.Sequential` in evaluation mode, single precision."""
    layers: list[nn.Module] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        if layers:
            layers.append(ACTIVATIONS[network.activation].module())  # type: ignore[index]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        layers.append(linear)
    return nn.Sequential(*layers).eval()


def predict_logits(network: Network, scaled_features: Precision) -> Precision:
    """Logits of one network (a prediction, for a regression), shape (rows, outputs), in the features' precision."""
    features = torch.from_numpy(np.ascontiguousarray(scaled_features))
    with torch.inference_mode():
        logits: Precision = build_module(network).to(features.dtype)(features).numpy()
    return logits


def probabilities(logits: Singles | Floats, task: Task) -> Floats:
    """Class probabilities, shape (rows, classes): sigmoid of one logit for two classes, softmax for more."""
    values = torch.from_numpy(logits).double()
    if task == "binary":
        positive = torch.sigmoid(values[:, 0])
        return torch.stack([1 - positive, positive], dim=1).numpy()
    return torch.softmax(values, dim=1).numpy()
