"""Losses and right answers of a whole population: one number a member.

Logits are (p, o, n): members, outputs, rows. Targets are (p, n), or (1, n) when every member sees the same rows.
Rows are weighted by weights_pn, (1, n) or each member's own (p, n), and weighted values are summed up: weights of one
over the number of rows give means, also when the rows of one mean come in several blocks; padding has weight 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.training.spec import LossName


def mean_loss(loss: LossName, logits_pon: Tensor, target: Tensor, weights_pn: Tensor) -> Tensor:
    """Weighted mean loss over the rows, shape (p,), by torch's own definitions."""
    target_pn = target.expand(logits_pon.shape[0], -1)
    if loss == "cross_entropy":
        return weighted_sum(functional.cross_entropy(logits_pon, target_pn, reduction="none"), weights_pn)
    output_pn = logits_pon[:, 0]
    if loss == "bce_with_logits":
        rows_pn = functional.binary_cross_entropy_with_logits(output_pn, target_pn, reduction="none")
    elif loss == "l1":
        rows_pn = (output_pn - target_pn).abs()
    else:
        rows_pn = (output_pn - target_pn).square()
    return weighted_sum(rows_pn, weights_pn)


def count_right(loss: LossName, logits_pon: Tensor, target_pn: Tensor, weights_pn: Tensor) -> Tensor:
    """Number of rows, padding left out, whose label is right, shape (p,): NaN for a regression.

    Every row counts once, whatever its weight is. A label is 1 from a probability above 0.5 on (a logit above 0), or
    the class with the largest logit.
    """
    if loss == "bce_with_logits":
        right_pn = (logits_pon[:, 0] > 0) == (target_pn > 0.5)
    elif loss == "cross_entropy":
        right_pn = logits_pon.argmax(dim=1) == target_pn
    else:
        return torch.full_like(logits_pon[:, 0, 0], torch.nan)
    return right_pn.logical_and_(weights_pn > 0).sum(dim=1).to(logits_pon.dtype)


def target_dtype(loss: LossName, dtype: torch.dtype) -> torch.dtype:
    """Dtype a loss wants its target in: class indices for cross-entropy, real values for the rest."""
    return torch.int64 if loss == "cross_entropy" else dtype


def weighted_sum(values_pn: Tensor, weights_pn: Tensor) -> Tensor:
    """Weighted sum over the rows, shape (p,)."""
    # Not a matrix product: its order of summation, and so the last bit, would depend on the number of members.
    return (values_pn * weights_pn).sum(dim=1)
