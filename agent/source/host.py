"""What the replications of one host share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta, tzinfo

from agent.budget import ByteBudget
from agent.grants import GrantReader
from agent.hypervisor.interface import Hypervisor
from agent.source.grants import GrantFolder
from agent.source.state_folder import StateFolder
from agent.source.status import ReplicationStatus
from replikera.denials import Denials
from replikera.identity import CredentialsHolder
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness
from replikera.ports.streams import Dialler
from replikera.ports.workers import Worker

READ_AHEAD_BYTES = 64 << 20
"""For the whole agent: with 20 streams it still fits its 256 MiB. As many more may be on their way."""


@dataclass(frozen=True, slots=True)
class ViewLimits:
    """How old a view may become, and what it may hold beyond the live disks: it must never fill their storage."""

    max_age: timedelta = timedelta(hours=1)
    max_growth_bytes: int = 10 << 30


@dataclass(frozen=True, slots=True)
class SourceHost:
    """`worker` reads views and writes state files. `holder` has what `dialler` proves this host by.

    `zone` is where throttle windows are at home; None: where this machine is.
    """

    hypervisor: Hypervisor
    dialler: Dialler
    worker: Worker
    clock: Clock
    randomness: Randomness
    budget: ByteBudget
    folder: StateFolder
    grants: GrantFolder
    reader: GrantReader
    holder: CredentialsHolder
    denials: Denials
    observer: Callable[[ReplicationStatus], None]
    view_limits: ViewLimits = ViewLimits()
    zone: tzinfo | None = None
