"""Signals set the event and are given back."""

import asyncio
import os
import signal

import pytest

from replikera.stopping import stopping_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_the_event_and_the_old_handler_returns(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping_on_signals() as stopping:
        assert not stopping.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stopping.wait()
    assert signal.getsignal(number) is before
