from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from pipeline.figures.activations import FORMULAS, activation_frame, draw_activations
from pipeline.training.networks import ACTIVATIONS
from pipeline.training.spec import ActivationName
from tests.figures.making import assert_legible, words


@pytest.mark.parametrize("name", get_args(ActivationName))
def test_formulas_equal_those_of_torch(name: ActivationName) -> None:
    """Every activation that a model can name is drawn as what torch computes."""
    frame = activation_frame([name])
    expected = ACTIVATIONS[name].function(torch.tensor(frame["x"].to_numpy()))
    assert np.allclose(frame["y"], expected.numpy(), rtol=1e-12, atol=1e-15)


def test_sigmoid_far_left_is_small_but_not_nought() -> None:
    """The sigmoid of -10 is 4.5398e-05."""
    frame = activation_frame(["sigmoid"]).set_index("x")
    assert frame.loc[-10.0, "y"] == pytest.approx(4.5398e-05, rel=1e-5)


def test_whole_numbers_are_marked() -> None:
    """Dots stand on the whole numbers from -10 to 9."""
    frame = activation_frame(["relu"])
    assert frame.loc[frame["whole"], "x"].tolist() == list(range(-10, 10))


def test_each_function_has_its_own_panel() -> None:
    """A panel for each function, headed by its name, in which all texts can be read."""
    figure = draw_activations()
    assert len(figure.axes) == len(FORMULAS)
    assert set(FORMULAS) <= {text.strip() for text in words(figure)}
    assert_legible(figure)


def test_unknown_names_are_refused() -> None:
    """A name that no model could have raises."""
    with pytest.raises(KeyError, match="softsign"):
        activation_frame(["softsign"])
