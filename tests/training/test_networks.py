from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.training import reference
from pipeline.training.networks import ACTIVATIONS, build_module, initial_stack, predict_logits, probabilities


def test_initialisation_is_torchs() -> None:
    """Under seed s a member starts with the weights of `torch.manual_seed(s)` and `nn.Linear` layer by layer."""
    stack = initial_stack("relu", [42, 7], [(10, 3), (4, 12)], 2, 5)
    for position, (seed, units) in enumerate([(42, (10, 3)), (7, (4, 12))]):
        torch.manual_seed(seed)
        layers = [nn.Linear(2, units[0]), nn.Linear(units[0], units[1]), nn.Linear(units[1], 5)]
        network = stack.network(position)
        assert network.hidden_units == units
        for layer, weight, bias in zip(layers, network.weights, network.biases, strict=True):
            assert weight.tobytes() == layer.weight.detach().numpy().tobytes()
            assert bias.tobytes() == layer.bias.detach().numpy().tobytes()


def test_initialisation_leaves_the_global_generator_alone() -> None:
    """Randomness is handed in: nothing is drawn from torch's global generator."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    initial_stack("relu", [1], [(3,)], 2, 1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_zero_at_zero_is_declared_rightly(activation: str) -> None:
    """Padding relies on f(0) = 0: the activations that say so keep it, with a finite slope, and the rest are masked."""
    zero = torch.zeros(1, requires_grad=True)
    value = ACTIVATIONS[activation].function(zero)
    assert (value.item() == 0) == ACTIVATIONS[activation].zero_at_zero
    assert torch.autograd.grad(value, zero)[0].isfinite()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_padding_passes_nothing_on(activation: str) -> None:
    """A narrow member's logits are the same in a wide stack and as a plain module."""
    stack = initial_stack(activation, [0, 1], [(2, 9), (8, 3)], 3, 2)
    features = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    stacked = reference.logits(stack, torch.from_numpy(features).T[None]).numpy()
    for position in range(2):
        own = predict_logits(stack.network(position), features)
        np.testing.assert_allclose(stacked[position].T, own, atol=1e-6)


def test_built_module_is_plain_sequential() -> None:
    """What is served is a plain `nn.Sequential` in evaluation mode and single precision, with the network's weights.

    So it is when it was trained in double precision.
    """
    network = initial_stack("tanh", [3], [(4,)], 2, 1, dtype=torch.float64).network(0)
    assert {array.dtype for array in (*network.weights, *network.biases)} == {np.dtype(np.float32)}
    module = build_module(network)
    assert [type(layer) for layer in module] == [nn.Linear, nn.Tanh, nn.Linear]
    assert not module.training
    assert module[0].weight.detach().numpy().tobytes() == network.weights[0].tobytes()


def test_a_rows_logits_in_double_precision_are_its_own() -> None:
    """Logits come in the precision of the features; in double they don't depend on the rows that come along."""
    network = initial_stack("tanh", [3], [(10, 10)], 3, 2).network(0)
    features = np.random.default_rng(0).normal(size=(20, 3))
    assert predict_logits(network, features.astype(np.float32)).dtype == np.float32
    alone = np.concatenate([predict_logits(network, features[row : row + 1]) for row in range(20)])
    np.testing.assert_allclose(predict_logits(network, features), alone, rtol=1e-12)
    np.testing.assert_allclose(predict_logits(network, features.astype(np.float32)), alone, atol=1e-6)


def test_probabilities_of_a_large_logit() -> None:
    """sigmoid(11.6267) = 0.99999, as the course prints it, and each row sums to 1 for any number of classes."""
    table = probabilities(np.array([[11.6267], [-800.0]], dtype=np.float32), "binary")
    assert table[0, 1] == pytest.approx(0.99999, abs=5e-6)
    assert table[1].tolist() == [1.0, 0.0]
    rows = probabilities(np.array([[1000.0, 0.0, -1000.0]], dtype=np.float32), "multiclass")
    assert rows.tolist() == [[1.0, 0.0, 0.0]]
