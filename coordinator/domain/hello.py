"""What a host says of itself when it opens a session. Who it is, its certificate alone tells."""

from dataclasses import dataclass, field

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hosts import AgentRun, HostFacts
from coordinator.domain.identifiers import (
    MAX_NAME_LENGTH,
    Generation,
    HostId,
    MachineId,
    ProtectionId,
    RehearsalId,
)

MAX_HELD = 4_096
"""Protections of one host: every machine that it may list, once."""

MAX_ID_LENGTH = 64
DIGEST_BYTES = 32
MAX_NUMBER = (1 << 63) - 1
"""What a column holds."""


@dataclass(frozen=True, slots=True)
class HeldProtection:
    """A protection that a host takes part in, as its own files tell. `peer_host_id` is the other side."""

    protection_id: ProtectionId
    epoch_number: int
    generation: Generation
    is_source: bool
    machine_id: MachineId
    machine_name: str
    peer_host_id: HostId
    grant_version: int


@dataclass(frozen=True, slots=True)
class HeldRehearsal:
    """A test failover that a host has a record of: it may have made something, and is not cleaned up."""

    rehearsal_id: RehearsalId
    protection_id: ProtectionId
    generation: Generation
    sequence: int
    machine_name: str


@dataclass(frozen=True, slots=True)
class HostHello:
    """The first message of a session.

    `anchor` is the newest control state that the host obeyed: a number of the history and the digest there, (0, b"")
    for none; a digest may be missing. `start_count` and `run_id` tell apart what has the same certificate.
    """

    facts: HostFacts
    name: str = ""
    anchor: tuple[int, bytes] = (0, b"")
    start_count: int = 0
    run_id: str = ""
    deny_list_version: int = 0
    held: tuple[HeldProtection, ...] = field(default=())
    rehearsals: tuple[HeldRehearsal, ...] = field(default=())

    def __post_init__(self) -> None:
        numbers = [self.anchor[0], self.start_count, self.deny_list_version]
        numbers += [held.epoch_number for held in self.held]
        numbers += [held.grant_version for held in self.held]
        numbers += [held.sequence for held in self.rehearsals]
        if any(not 0 <= number <= MAX_NUMBER for number in numbers):
            raise _invalid("has a number that nothing can be")
        if len(self.anchor[1]) > DIGEST_BYTES:
            raise _invalid(f"has a digest of {len(self.anchor[1])} bytes")
        if len(self.held) > MAX_HELD:
            raise _invalid(f"lists {len(self.held)} protections, the limit is {MAX_HELD}")
        if len(self.rehearsals) > MAX_HELD:
            raise _invalid(f"lists {len(self.rehearsals)} test failovers, the limit is {MAX_HELD}")
        if any(len(held.machine_name) > MAX_NAME_LENGTH for held in self.rehearsals):
            raise _invalid("has a name that is too long")
        if not all(held.rehearsal_id for held in self.rehearsals):
            raise _invalid("has a test failover without an id")
        if not all(map(_is_id, self._ids())):
            raise _invalid("has an id that is none")

    @property
    def run(self) -> AgentRun:
        """Return which run of the agent speaks."""
        return AgentRun(self.start_count, self.run_id)

    def _ids(self) -> list[str]:
        ids: list[str] = [self.run_id]
        for held in self.held:
            ids += (held.protection_id, held.generation, held.machine_id, held.peer_host_id)
        for rehearsal in self.rehearsals:
            ids += (rehearsal.rehearsal_id, rehearsal.protection_id, rehearsal.generation)
        return ids


def _is_id(text: str) -> bool:
    return len(text) <= MAX_ID_LENGTH and (not text or (text.isascii() and text.isprintable()))


def _invalid(what: str) -> InvalidValueError:
    return InvalidValueError(
        "invalid-hello",
        f"The host's Hello {what}.",
        "Update its agent to the version of the vault.",
        field="hello",
    )
