"""The vault as its commands see it: identity, store, authority, presence, clock."""

from dataclasses import dataclass

from coordinator.authority.authority import Authority
from coordinator.orchestration.presence import Presence
from coordinator.orchestration.soft_state import JobProgress, ReplicationReports
from coordinator.store.database import Store
from coordinator.store.records import VaultRecord
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where hosts reach the vault, each "host:port"."""

    enrolment: str
    session: str


@dataclass(frozen=True, slots=True)
class Vault:
    """Everything that commands and reactions work on."""

    record: VaultRecord
    addresses: Addresses
    store: Store
    authority: Authority
    presence: Presence
    reports: ReplicationReports
    progress: JobProgress
    clock: Clock
    randomness: Randomness
