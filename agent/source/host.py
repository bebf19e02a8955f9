"""What the replications of one host share."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.grants import GrantReader
from agent.hypervisor.interface import Hypervisor
from agent.source.budget import ReadAheadBudget
from agent.source.grants import GrantFolder
from agent.source.state import StateFolder
from agent.source.status import ReplicationStatus
from replikera.denials import Denials
from replikera.identity import CredentialsHolder
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness
from replikera.ports.streams import Dialler
from replikera.ports.workers import Worker


@dataclass(frozen=True, slots=True)
class SourceHost:
    """`worker` reads views and writes state files. `holder` has what `dialler` proves this host by."""

    hypervisor: Hypervisor
    dialler: Dialler
    worker: Worker
    clock: Clock
    randomness: Randomness
    budget: ReadAheadBudget
    folder: StateFolder
    grants: GrantFolder
    reader: GrantReader
    holder: CredentialsHolder
    denials: Denials
    observer: Callable[[ReplicationStatus], None]
