from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.training.losses import count_right, mean_loss


def test_bce_by_hand() -> None:
    """Labels [1, 0] and predictions [0.9, 0.2]: -(log 0.9 + log 0.8) / 2 = 0.1643, as the course computes it."""
    predictions, labels = np.array([0.9, 0.2]), np.array([1.0, 0.0])
    by_hand = -np.mean(labels * np.log(predictions) + (1 - labels) * np.log(1 - predictions))
    assert by_hand == pytest.approx(0.1643, abs=1e-4)
    logits = torch.logit(torch.from_numpy(predictions))[None, None]
    ours = mean_loss("bce_with_logits", logits, torch.from_numpy(labels)[None], torch.full((1, 2), 0.5).double())
    assert ours.item() == pytest.approx(by_hand)


def test_bce_with_arguments_swapped() -> None:
    """Swapped, the same numbers give 15: torch bounds log 0 at -100, so the mistake is large rather than infinite."""
    predictions, labels = torch.tensor([0.9, 0.2]), torch.tensor([1.0, 0.0])
    assert functional.binary_cross_entropy(labels, predictions).item() == pytest.approx(15.0, abs=1e-4)


@pytest.mark.parametrize("n_rows", [1, 31, 40])
def test_weight_zero_is_no_row(n_rows: int) -> None:
    """Rows of weight 0 are padding: loss and right rows are those of the others, as torch computes them."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 64, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (1, 64), generator=generator)
    weights = (torch.arange(64) < n_rows).double()[None] / n_rows
    expected = torch.stack([functional.cross_entropy(own[:, :n_rows].T, target[0, :n_rows]) for own in logits])
    torch.testing.assert_close(mean_loss("cross_entropy", logits, target, weights), expected)
    right = (logits.argmax(1) == target)[:, :n_rows].double().sum(1)
    torch.testing.assert_close(count_right("cross_entropy", logits, target, weights), right)


def test_a_logit_of_zero_is_class_0() -> None:
    """A probability of exactly one half is not above one half."""
    logits = torch.tensor([[[0.0, 1e-6, -1e-6]]])
    right = count_right("bce_with_logits", logits, torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1, 3) / 3)
    assert right.item() == 3


@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_a_regression_has_no_right_answers(loss: str) -> None:
    """Neither none nor all rows of it are right: the number of right ones isn't one."""
    right = count_right(loss, torch.zeros(2, 1, 3), torch.zeros(1, 3), torch.ones(1, 3) / 3)
    assert right.shape == (2,)
    assert right.isnan().all()
