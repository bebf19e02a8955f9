"""One way to ask a daemon to stop, whatever asked for it."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping_on_signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM and Ctrl-C set, instead of ending the process.

    Works on every platform: the loop's own `add_signal_handler` does not exist on Windows. Enter it on the main
    thread, inside the running loop.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in signals]
    try:
        yield stopping
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
