"""Forward and backward pass of a population, written out: every buffer is made once and used again.

Small networks spend their time in calls and in fresh memory rather than in arithmetic, so the gradient of the fixed
graph (linear layers, one elementwise activation, a mean loss) is written out in closed form, and each step works in
place. The kernels are those that autograd calls; `reference.py` is the plain version that this one is tested against.

Shape legend: p members, o outputs of a layer, i its inputs, f features, n rows. Values are feature-major, (p, o, n).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from pipeline.training.losses import count_right, weighted_sum
from pipeline.training.networks import Stack
from pipeline.training.spec import ActivationName, LossName

aten: Any = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of one optimizer step, or all of them.

    A row's weight in the loss is its own (1 unless rows are weighted) over the number of rows of the whole step; rows
    that only fill a block have weight 0.
    """

    features_pfn: Tensor  # p is 1 when every member sees the same rows
    target_pn: Tensor
    weights_pn: Tensor  # p is 1 when every member sees the same rows, or all rows weigh the same


@dataclass(frozen=True)
class _Elementwise:
    """An activation in place, and a gradient times its derivative in place.

    `backward` is given the gradient and the activation's output, or its input where `from_input` says so.
    """

    forward: Callable[[Tensor], Any]
    backward: Callable[[Tensor, Tensor], Any]
    from_input: bool = False


# The identity has nothing to do.
ELEMENTWISE: dict[ActivationName, _Elementwise] = {
    "relu": _Elementwise(torch.relu_, lambda g, a: aten.threshold_backward.grad_input(g, a, 0, grad_input=g)),
    "tanh": _Elementwise(torch.tanh_, lambda g, a: aten.tanh_backward.grad_input(g, a, grad_input=g)),
    "sigmoid": _Elementwise(torch.sigmoid_, lambda g, a: aten.sigmoid_backward.grad_input(g, a, grad_input=g)),
    "leaky_relu": _Elementwise(
        aten.leaky_relu_, lambda g, a: aten.leaky_relu_backward.grad_input(g, a, 0.01, True, grad_input=g)
    ),
    "elu": _Elementwise(aten.elu_, lambda g, a: aten.elu_backward.grad_input(g, 1, 1, 1, True, a, grad_input=g)),
    "silu": _Elementwise(aten.silu_, lambda g, z: aten.silu_backward.grad_input(g, z, grad_input=g), from_input=True),
    "gelu": _Elementwise(aten.gelu_, lambda g, z: aten.gelu_backward.grad_input(g, z, grad_input=g), from_input=True),
}


@final
class Pass:
    """Buffers for one stack and one number of rows, and the two passes over them.

    `measure` runs forward alone; `differentiate` goes on backward and sets every member's own gradient in the tensor
    that was given for it, arranged like `stack.flat`, or adds to what is there.
    """

    def __init__(self, stack: Stack, loss: LossName, n_rows: int, gradient: Tensor) -> None:
        self._stack = stack
        self._loss = loss
        self._elementwise = ELEMENTWISE.get(stack.activation)
        self._masks = stack.masks_po1()
        members = len(stack.hidden_units)
        widths = stack.sizes[1:]

        def buffers() -> list[Tensor]:
            return [stack.flat.new_empty(members, width, n_rows) for width in widths]

        # What each layer gives before its activation; the same memory as after it, unless the derivative needs both.
        self._inputs = buffers()
        needs_both = self._elementwise is not None and self._elementwise.from_input
        self._outputs = [*buffers()[:-1], self._inputs[-1]] if needs_both else self._inputs
        self._deltas = buffers()
        self._rows_pon = torch.empty_like(self._inputs[-1])
        self._weight_gradients, self._bias_gradients = stack.views(gradient)

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a batch's share of each member's mean loss, and how many rows it gets right, both (p,)."""
        self._forward(batch)
        return self._weighted_loss(batch), count_right(self._loss, self._inputs[-1], batch.target_pn, batch.weights_pn)

    def differentiate(self, batch: Batch, *, add: bool) -> tuple[Tensor, Tensor]:
        """Return the same, and set the losses' gradient or add to it."""
        measured = self.measure(batch)
        self._differentiate_loss(batch)
        self._backward(batch, add=add)
        return measured

    def _forward(self, batch: Batch) -> None:
        values = batch.features_pfn.expand(len(self._stack.hidden_units), -1, -1)
        last = len(self._inputs) - 1
        layers = zip(self._stack.weights_poi, self._stack.biases_po1, self._inputs, self._outputs, strict=True)
        for layer, (weights, bias, into, out) in enumerate(layers):
            torch.baddbmm(bias, weights, values, out=into)
            if layer < last and self._elementwise is not None:
                if out is not into:
                    out.copy_(into)
                self._elementwise.forward(out)
                if self._masks is not None:
                    out.mul_(self._masks[layer])
            values = out

    def _weighted_loss(self, batch: Batch) -> Tensor:
        """Weighted loss; what the gradient needs of it stays in the buffers."""
        logits, rows = self._inputs[-1], self._rows_pon
        if self._loss == "cross_entropy":
            aten._log_softmax.out(logits, 1, False, out=rows)
            labels = batch.target_pn.expand(len(logits), -1)[:, None]
            return weighted_sum(rows.gather(1, labels)[:, 0].neg_(), batch.weights_pn)
        target = batch.target_pn[:, None]
        if self._loss == "bce_with_logits":
            # -log of the probability of the label: softplus(z) - y z. Beyond a logit of 100 softplus(z) is z anyway.
            aten.softplus.out(logits, 1, 100, out=rows).addcmul_(logits, target.expand_as(logits), value=-1)
        elif self._loss == "l1":
            torch.sub(logits, target, out=rows).abs_()
        else:
            torch.sub(logits, target, out=rows).square_()
        return weighted_sum(rows[:, 0], batch.weights_pn)

    def _differentiate_loss(self, batch: Batch) -> None:
        """Write the derivative of each member's mean loss by its logits, (p, o, n)."""
        logits, delta = self._inputs[-1], self._deltas[-1]
        target = batch.target_pn[:, None]
        if self._loss == "cross_entropy":
            torch.exp(self._rows_pon, out=delta)
            labels = target.expand(len(logits), -1, -1)
            delta.scatter_add_(1, labels, delta.new_full((1, 1, 1), -1.0).expand_as(labels))
        elif self._loss == "bce_with_logits":
            torch.sigmoid(logits, out=delta).sub_(target)
        else:
            torch.sub(logits, target, out=delta)
            if self._loss == "l1":
                delta.sign_()
            else:
                delta.mul_(2)
        delta.mul_(batch.weights_pn[:, None])

    def _backward(self, batch: Batch, *, add: bool) -> None:
        for layer in range(len(self._inputs) - 1, -1, -1):
            delta = self._deltas[layer]
            below = self._outputs[layer - 1] if layer else batch.features_pfn.expand(len(delta), -1, -1)
            if add:
                self._weight_gradients[layer].baddbmm_(delta, below.transpose(1, 2))
                self._bias_gradients[layer].add_(delta.sum(dim=2, keepdim=True))
            else:
                torch.bmm(delta, below.transpose(1, 2), out=self._weight_gradients[layer])
                torch.sum(delta, dim=2, keepdim=True, out=self._bias_gradients[layer])
            if layer:
                self._push_down(layer)

    def _push_down(self, layer: int) -> None:
        """Carry the derivative by a layer's output to the one by the input of the activation below it."""
        weights, delta, below = self._stack.weights_poi[layer], self._deltas[layer], self._deltas[layer - 1]
        if delta.shape[1] == 1:
            # An outer product: quicker than as a product of matrices.
            torch.mul(weights.transpose(1, 2), delta, out=below)
        else:
            torch.bmm(weights.transpose(1, 2), delta, out=below)
        if self._elementwise is not None:
            self._elementwise.backward(below, self._inputs[layer - 1])  # where it needs the output, they hold that
