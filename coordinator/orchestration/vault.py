"""The vault as its commands see it: identity, store, authority, trust, presence, clock."""

from dataclasses import dataclass

from coordinator.authority.authority import Authority
from coordinator.orchestration.backup import Backups
from coordinator.orchestration.deny_lists import DenyLists
from coordinator.orchestration.presence import Presence
from coordinator.orchestration.reconciliation import Reconciliation
from coordinator.orchestration.soft_state import JobProgress, Replacements, ReplicationReports
from coordinator.store.database import Store
from coordinator.store.records import VaultRecord
from replikera.denials import Denials
from replikera.identity import CredentialsHolder
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where hosts reach the vault, each "host:port"."""

    enrolment: str
    session: str


@dataclass(frozen=True, slots=True)
class Vault:
    """Everything that commands and reactions work on.

    `server` has the certificate that the listeners show; `denials` is what the vault itself obeys, `deny_lists` what
    it tells its hosts.
    """

    record: VaultRecord
    addresses: Addresses
    store: Store
    authority: Authority
    server: CredentialsHolder
    denials: Denials
    deny_lists: DenyLists
    reconciliation: Reconciliation
    backups: Backups
    presence: Presence
    reports: ReplicationReports
    progress: JobProgress
    replacements: Replacements
    clock: Clock
    randomness: Randomness
