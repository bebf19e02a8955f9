"""Signals set the event and are given back; a second Ctrl-C ends the process."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from replikera.stopping import stopping_on_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals to itself")

STUBBORN = """
import asyncio, sys
from replikera.stopping import stopping_on_signals

async def main():
    with stopping_on_signals() as stopping:
        print("ready", flush=True)
        await stopping.wait()
        print("stopping", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
"""Never finishes to stop."""


async def signalled(*numbers: int) -> None:
    with stopping_on_signals() as stopping:
        assert not stopping.is_set()
        for number in numbers:
            os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stopping.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_the_event_and_the_old_handler_returns(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    await signalled(number)
    assert signal.getsignal(number) is before


async def test_a_signal_that_only_windows_has_is_heard_where_it_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    await signalled(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


async def test_a_loop_without_signal_handlers_of_its_own_will_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(type(asyncio.get_running_loop()), "add_signal_handler", none)
    await signalled(signal.SIGTERM)


async def test_sigterm_may_be_repeated() -> None:
    await signalled(signal.SIGTERM, signal.SIGTERM)


@pytest.mark.parametrize(
    ("second", "ended_by"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGKILL)],
)
def test_a_second_ctrl_c_ends_a_daemon_that_does_not_finish_and_sigterm_does_not(
    second: signal.Signals, ended_by: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(second)
        if ended_by == signal.SIGKILL:
            process.kill()
        assert process.wait(timeout=30) == -ended_by
