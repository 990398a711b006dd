from __future__ import annotations

from joblib import cpu_count

from pipeline.walk import MOST_DRAWERS, PICTURES_A_DRAWER, drawers_that_pay


def test_few_pictures_are_drawn_here() -> None:
    """Workers draw only what outweighs their start: no more of them than cores, and a bounded number."""
    assert drawers_that_pay(1) == drawers_that_pay(2 * PICTURES_A_DRAWER - 1) == 1
    assert drawers_that_pay(10_000) == min(cpu_count(), MOST_DRAWERS)
