from __future__ import annotations

import pytest
import torch

from pipeline.training import reference
from pipeline.training.losses import count_right
from pipeline.training.networks import ACTIVATIONS, initial_stack
from pipeline.training.passes import Batch, Pass
from tests.training.test_population import LOSSES, n_outputs


def make_batch(loss: str, n_rows: int, members: int, seed: int, *, weighted: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(members, 3, n_rows, generator=generator, dtype=torch.float64)
    if loss == "cross_entropy":
        target = torch.randint(0, 3, (members, n_rows), generator=generator)
    elif loss == "bce_with_logits":
        target = torch.randint(0, 2, (members, n_rows), generator=generator).double()
    else:
        target = torch.randn(members, n_rows, generator=generator, dtype=torch.float64)
    weights = (torch.arange(n_rows) < n_rows - 3).double()[None] / (n_rows - 3)
    if weighted:
        weights = weights * torch.rand(members, n_rows, generator=generator, dtype=torch.float64).add(0.1)
    return Batch(features, target, weights)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_closed_form_equals_autograd(activation: str, loss: str, depth: int, shared: bool, weighted: bool) -> None:
    """Loss, right rows and gradient written out in closed form are autograd's: padded, shared, weighted or not."""
    units = [(5, 2, 4)[:depth], (3, 6, 4)[:depth], (1, 1, 1)[:depth]]
    stack = initial_stack(activation, [0, 1, 2], units, 3, n_outputs(loss), dtype=torch.float64)
    batch = make_batch(loss, 20, 1 if shared else 3, seed=depth, weighted=weighted)
    gradient = torch.full_like(stack.flat, torch.nan)
    loss_p, right_p = Pass(stack, loss, 20, gradient).differentiate(batch, add=False)
    expected, expected_loss = reference.gradient(stack, loss, batch.features_pfn, batch.target_pn, batch.weights_pn)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(loss_p, expected_loss, rtol=1e-12, atol=1e-14)
    logits = reference.logits(stack, batch.features_pfn)
    expected_right = count_right(loss, logits, batch.target_pn, batch.weights_pn)
    torch.testing.assert_close(right_p, expected_right, equal_nan=True)


def test_gradients_of_blocks_add_up() -> None:
    """A second block adds its gradient to the first one's, in the same buffers."""
    stack = initial_stack("relu", [0, 1], [(4,), (3,)], 3, 1, dtype=torch.float64)
    batches = [make_batch("mse", 32, 1, seed) for seed in (0, 1)]
    gradient = torch.zeros_like(stack.flat)
    passing = Pass(stack, "mse", 32, gradient)
    for position, batch in enumerate(batches):
        passing.differentiate(batch, add=position > 0)
    parts = [reference.gradient(stack, "mse", b.features_pfn, b.target_pn, b.weights_pn)[0] for b in batches]
    torch.testing.assert_close(gradient, parts[0] + parts[1], rtol=1e-12, atol=1e-14)


def test_extreme_logits_keep_the_loss_finite() -> None:
    """Logits far out give the loss they should, 0 or the logit itself, rather than an infinity."""
    stack = initial_stack("identity", [0], [()], 1, 1)
    stack.weights_poi[0].fill_(1)
    stack.biases_po1[0].fill_(0)
    features = torch.tensor([[[-1e4, 1e4, -1e4, 1e4]]])
    batch = Batch(features, torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.full((1, 4), 0.25))
    loss_p, _ = Pass(stack, "bce_with_logits", 4, torch.zeros_like(stack.flat)).measure(batch)
    assert loss_p.item() == pytest.approx(5e3)
