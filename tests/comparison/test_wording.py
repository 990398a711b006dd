from __future__ import annotations

import pytest

from pipeline.comparison.wording import amounts, count, signed, with_unit


def test_amounts_that_belong_together_are_written_alike() -> None:
    """Shares are written in points with one decimal, other metrics with two digits of the largest."""
    assert amounts("accuracy", 0.0321, -0.01, 0.0744) == ["3.2", "−1.0", "7.4"]
    assert amounts("log_loss", 0.0321, -0.001, 0.0744) == ["0.032", "−0.001", "0.074"]
    assert amounts("mae", 12.34, -1.0) == ["12", "−1"]


@pytest.mark.parametrize(
    ("text", "written"), [("3.2", "+3.2"), ("−3.2", "−3.2"), ("0", "0"), ("0.0", "0.0"), ("0.000", "0.000")]
)
def test_gains_have_a_plus_and_nothing_has_no_sign(text: str, written: str) -> None:
    """A plus says more, a real minus sign less; what is written as nothing has neither."""
    assert signed(text) == written


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.01, "1.0 point"),
        ("f1", 0.005, "0.5 points"),
        ("roc_auc", 0.02, "2.0 points"),
        ("log_loss", 0.01, "0.010"),
        ("mse", 2.0, "2.0"),
    ],
)
def test_amounts_have_their_unit(metric: str, value: float, text: str) -> None:
    """One point, half a point's points, and metrics without a unit as they are."""
    assert with_unit(metric, value) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 seed"), (2, "2 seeds"), (0, "0 seeds"), (12_345, "12,345 seeds")])
def test_nouns_agree_with_their_number(number: int, text: str) -> None:
    """One seed, two seeds, and thousands that can be read."""
    assert count(number, "seed") == text
