"""The plain way to a population's gradient: forward pass and loss as one would write them, the rest by autograd.

Training takes the closed form of `passes.py`, which is several times faster and tested against this; snapshots take
the forward pass alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.training.losses import mean_loss
from pipeline.training.networks import ACTIVATIONS, Stack
from pipeline.training.spec import LossName


def logits(stack: Stack, features_pfn: Tensor) -> Tensor:
    """Forward pass: (p, f, n), or (1, f, n) when every member sees the same rows, to (p, o, n)."""
    masks = stack.masks_po1()
    values = features_pfn.expand(len(stack.hidden_units), -1, -1)
    for layer, (weights, bias) in enumerate(zip(stack.weights_poi, stack.biases_po1, strict=True)):
        values = torch.baddbmm(bias, weights, values)
        if layer < len(stack.weights_poi) - 1:
            values = ACTIVATIONS[stack.activation].function(values)
            values = values if masks is None else values * masks[layer]
    return values


def gradient(
    stack: Stack, loss: LossName, features_pfn: Tensor, target_pn: Tensor, weights_pn: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient of every member's own loss, arranged like `stack.flat`, and the losses (p,).

    Members share no parameter, so the gradient of the sum of their losses is each one's own.
    """
    flat = stack.flat.detach().clone().requires_grad_()
    leaf = stack.select(range(len(stack.hidden_units)))
    leaf.weights_poi, leaf.biases_po1 = leaf.views(flat)
    loss_p = mean_loss(loss, logits(leaf, features_pfn), target_pn, weights_pn)
    (result,) = torch.autograd.grad(loss_p.sum(), flat)
    return result, loss_p.detach()
