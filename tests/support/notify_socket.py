"""The socket of a service manager that writes down what it is told."""

import os
import socket
from pathlib import Path
from typing import Self


class NotifySocketBed:
    """Listens at a path, or at an abstract address ("@name"). Messages come in the order they were sent."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    @classmethod
    def abstract(cls) -> Self:
        """Listen at an address that no other process of this machine has."""
        return cls(f"@replikera-test-{os.getpid()}-{os.urandom(4).hex()}")

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Listen at a path."""
        return cls(str(folder / "notify"))

    def receive(self, timeout: float) -> str:
        """Return the next message. Raises `TimeoutError`."""
        self._socket.settimeout(timeout)
        return self._socket.recv(4096).decode()

    def pending(self) -> list[str]:
        """Return what has come and was not received yet."""
        self._socket.setblocking(False)
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
