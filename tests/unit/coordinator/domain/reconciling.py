"""What hosts say to a vault that may have been restored."""

from typing import Any

from coordinator.domain.hello import HeldProtection, HostHello
from coordinator.domain.hosts import HostFacts
from coordinator.domain.identifiers import HostId
from coordinator.domain.protections import Protection
from tests.unit.coordinator.examples import SOURCE

FACTS = HostFacts("gold", "simulated", "0.1", "a:1", SOURCE.minimum_copy_interval)


def digest(name: str) -> bytes:
    """Return the digest of a history that has a name here."""
    return name.encode().ljust(32, b".")


def hello(
    *held: HeldProtection, number: int = 0, history: str = "", deny_list_version: int = 0
) -> HostHello:
    """Return a host's words; of `history` it has obeyed line `number`, none where it has no name."""
    anchor = (number, digest(history) if history else b"")
    return HostHello(FACTS, "a1", anchor, 1, "run", deny_list_version, held)


def holds(protection: Protection, host_id: HostId, **more: Any) -> HeldProtection:
    """Return the claim of a member that agrees with the vault, but for `more`."""
    is_source = host_id == protection.source_host_id
    values: dict[str, Any] = {
        "protection_id": protection.id,
        "epoch_number": protection.epoch_number,
        "generation": protection.generation,
        "is_source": is_source,
        "machine_id": protection.machine_id,
        "machine_name": protection.machine_name,
        "peer_host_id": protection.target_host_id if is_source else protection.source_host_id,
        "grant_version": protection.grant_version,
    }
    return HeldProtection(**values | more)
