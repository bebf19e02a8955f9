"""One way to ask a daemon to stop, whatever asked for it."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FROM_A_KEYBOARD = ("SIGINT", "SIGBREAK")
"""SIGBREAK is Windows' own: Ctrl-Break, and a console that is closed."""

_FROM_A_PROGRAM = ("SIGTERM",)


@contextmanager
def stopping_on_signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM, Ctrl-C and Ctrl-Break set, instead of ending the process.

    Works on every platform: the loop's own `add_signal_handler` does not exist on Windows. Enter it on the main
    thread, inside the running loop.

    Whoever presses Ctrl-C a second time does not want to wait: the system's own handling is back from the first time
    on, and ends the process at once. Nothing is lost by that, since everything here survives a kill. SIGTERM may be
    repeated: service managers and wrappers send it again while they wait, and have SIGKILL for the rest.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if number in keyboard:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stopping.set)

    keyboard = _existing(_FROM_A_KEYBOARD)
    before = {
        number: signal.signal(number, stop) for number in (*keyboard, *_existing(_FROM_A_PROGRAM))
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _existing(names: tuple[str, ...]) -> tuple[signal.Signals, ...]:
    """Return those signals that this platform has."""
    found = (getattr(signal, name, None) for name in names)
    return tuple(number for number in found if number is not None)
