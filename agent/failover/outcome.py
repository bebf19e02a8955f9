"""What a rehearsal is asked for, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agent.hypervisor.interface import GuestHealth


class RehearsalError(Exception):
    """A test failover cannot be started or removed; `remedy` says what an operator can do."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class RehearsalRequest:
    """One point to recover beside the replica and to start. `networks`: adapter id -> network, empty for none.

    `created_networks` are made for it, isolated, and removed with it.
    """

    rehearsal_id: str
    order_id: str
    protection_id: str
    generation: str
    sequence: int
    machine_name: str
    networks: Mapping[str, str]
    guest_timeout: timedelta
    created_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveredDisk:
    """A recovered disk as the machine uses it; `size` as its guest sees it."""

    disk_id: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long one step took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RehearsalStarted:
    """A machine that runs in isolation and whose guest answered. `networks` as read back before power-on."""

    machine_id: str
    disks: tuple[RecoveredDisk, ...]
    steps: tuple[StepTime, ...]
    guest: GuestHealth
    networks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RehearsalCleanedUp:
    """Nothing of the rehearsal is left; `removed` names what was there."""

    removed: tuple[str, ...]
