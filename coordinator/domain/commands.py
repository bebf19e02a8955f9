"""Who asks the vault for a change, and how a repeated request is recognised."""

from dataclasses import dataclass

from coordinator.domain.identifiers import HostId


@dataclass(frozen=True, slots=True)
class Command:
    """The origin of one change.

    `actor` is "operator/<name>", "host/<id>" or "vault". `key` is the idempotency key of an operator's request, with
    `digest`, the SHA-256 of what was asked: the same key with another digest is refused.
    """

    actor: str
    key: str | None = None
    digest: bytes = b""


BY_VAULT = Command("vault")
"""What the vault does of itself."""


def by_host(host_id: HostId) -> Command:
    """Return the origin of what a host says."""
    return Command(f"host/{host_id}")


def by_operator(name: str, key: str | None = None, digest: bytes = b"") -> Command:
    """Return the origin of an operator's request."""
    return Command(f"operator/{name}", key, digest)
