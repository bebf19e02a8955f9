"""An ordered, reliable, authenticated conversation with one peer, as the code sees it."""

from typing import Protocol


class StreamClosedError(Exception):
    """The conversation ended: by the peer, by the network, or because the peer was refused."""


class MessageStream(Protocol):
    """Whole messages in both directions. One sender and one receiver at a time."""

    @property
    def peer(self) -> str:
        """Return the host id that the peer's certificate proves."""

    async def send(self, message: bytes) -> None:
        """Send one message, waiting while the peer does not read. Raises `StreamClosedError`."""

    async def receive(self) -> bytes:
        """Return the next message. Raises `StreamClosedError` at the end of the conversation."""


class Dialler(Protocol):
    """Opens replication conversations with other hosts."""

    async def dial(self, host_id: str, address: str) -> "OpenStream":
        """Connect to the agent of `host_id` at "host:port" and to no other identity.

        Raises `StreamClosedError` when it cannot be reached or is not that host.
        """


class OpenStream(MessageStream, Protocol):
    """A conversation that this side opened and therefore closes."""

    async def close(self) -> None:
        """End the conversation; idempotent."""
