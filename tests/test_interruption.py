from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pipeline import interruption
from pipeline.errors import Interrupted


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interruption.install()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_interrupts_at_once(number: signal.Signals) -> None:
    """Outside a deferred block a signal interrupts where it arrives."""
    with pytest.raises(Interrupted, match=number.name):
        os.kill(os.getpid(), number)


def test_deferred_signal_is_raised_when_the_outermost_block_ends() -> None:
    """Within deferred blocks nothing is cut short; afterwards the signal interrupts once."""
    done = []

    @interruption.deferred()
    def work(depth: int) -> None:
        if depth:
            work(depth - 1)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        done.append(depth)

    with pytest.raises(Interrupted):
        work(1)
    assert done == [0, 1]
    with interruption.deferred():
        pass


def test_deferred_block_that_fails_still_lets_the_signal_through() -> None:
    """A signal outweighs the error of the block it arrived in, which stays as its context."""

    @interruption.deferred()
    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("from the block")

    with pytest.raises(Interrupted) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)
