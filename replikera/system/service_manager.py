"""The service manager that started this process: systemd, or nobody who wants to know."""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

from replikera.ports.service_manager import ServiceManager

_SEND_S = 1.0
"""How long a message may wait for a manager that does not read; the event loop waits too."""


class NotifySocket:
    """systemd, told by datagrams to the socket that it named (sd_notify)."""

    def __init__(self, address: str, patience_s: float | None) -> None:
        # A leading @ stands for the zero byte of an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._patience_s = patience_s

    @property
    def patience_s(self) -> float | None:
        """Return WatchdogSec, None without one."""
        return self._patience_s

    def tell_ready(self) -> None:
        """Say that the daemon serves."""
        self._send(b"READY=1")

    def tell_alive(self) -> None:
        """Give a sign of life."""
        self._send(b"WATCHDOG=1")

    def tell_stopping(self) -> None:
        """Say that the daemon begins to stop."""
        self._send(b"STOPPING=1")

    def _send(self, message: bytes) -> None:
        # The manager ends and restarts a daemon that it does not hear of; the daemon has nothing better to do.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_S)
            sender.connect(self._address)
            sender.send(message)


class NoServiceManager:
    """Nobody watches: a daemon started by hand, or by a manager that only looks at the process."""

    @property
    def patience_s(self) -> float | None:
        """Return None."""
        return None

    def tell_ready(self) -> None:
        """Do nothing."""

    def tell_alive(self) -> None:
        """Do nothing."""

    def tell_stopping(self) -> None:
        """Do nothing."""


def service_manager(environment: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """Return who started this process, and take from the environment what children must not speak in its name with."""
    address = environment.pop("NOTIFY_SOCKET", "")
    interval_us = environment.pop("WATCHDOG_USEC", "")
    watched = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
    if not address.startswith(("/", "@")):
        return NoServiceManager()
    is_watched = watched == str(os.getpid()) and interval_us.isascii() and interval_us.isdigit()
    patience_s = int(interval_us) / 1_000_000 if is_watched and int(interval_us) else None
    return NotifySocket(address, patience_s)
