"""Whoever started the daemon as a service and watches it, as the code sees it."""

from typing import Protocol


class ServiceManager(Protocol):
    """Is told how the daemon is. Telling never fails: a manager that does not hear acts by itself, after its time."""

    @property
    def patience_s(self) -> float | None:
        """Return after how many seconds without a sign of life it ends the daemon; None where it does not watch."""

    def tell_ready(self) -> None:
        """Say that the daemon serves."""

    def tell_alive(self) -> None:
        """Give a sign of life."""

    def tell_stopping(self) -> None:
        """Say that the daemon begins to stop."""
