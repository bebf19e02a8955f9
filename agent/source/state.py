"""What a source must still know after a crash: one durable file for every protection.

The order of writes carries the promises. An attempt is recorded before its first message leaves, so that no number
is given twice. The digest is recorded before the trailer leaves, so that a lost acknowledgement can be recognised.
The head is advanced before the mark moves, so that the mark is never ahead of what the target acknowledged; the
view that still has to become the mark is remembered with it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from agent.source.errors import AssignmentError, StateFileError
from agent.source.status import Failure
from replikera.blocks.segment import NO_POINT, DiskGeometry
from replikera.durable import TEMPORARY_SUFFIX, write_durably
from replikera.ports.files import Files

MAX_STATE_BYTES = 256 * 1024
"""Two lists of 64 disks with long names need 100 KiB."""

_VERSION = 1
_SUFFIX = ".json"
_CONFIG = ConfigDict(extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")

Digest: TypeAlias = Annotated[bytes, Field(min_length=32, max_length=32)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
Uuid: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the vault ordered: replicate this machine to that host. `epoch` is the number."""

    __pydantic_config__ = _CONFIG

    protection_id: Uuid
    epoch: Count
    generation: Uuid
    machine_id: Text
    target_host_id: Text
    target_address: Text
    copy_frequency: Annotated[timedelta, Field(gt=timedelta())]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest point that the target acknowledged as sealed; sequence 0 is "none yet"."""

    __pydantic_config__ = _CONFIG

    sequence: Count
    digest: Digest
    capture_started_at: datetime | None
    machine_digest: Digest
    disks: tuple[DiskGeometry, ...]


NO_HEAD = Head(0, NO_POINT, None, NO_POINT, ())


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt at the next sequence, neither acknowledged nor abandoned.

    `digest` is None as long as the trailer cannot have left.
    """

    __pydantic_config__ = _CONFIG

    sequence: Count
    attempt: Count
    view_id: Text
    capture_started_at: datetime
    machine_digest: Digest
    disks: tuple[DiskGeometry, ...]
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class SourceState:
    """One protection. `attempt` is the highest number ever given to an attempt.

    `unsettled_view_id` names the view of the head that may not have become the mark yet, empty where it did.
    """

    __pydantic_config__ = _CONFIG

    assignment: Assignment
    head: Head = NO_HEAD
    attempt: Count = 0
    open: OpenAttempt | None = None
    unsettled_view_id: str = ""
    mark_id: str = ""
    resync: Failure | None = None
    version: int = _VERSION

    def with_attempt_floor(self, floor: int) -> "SourceState":
        """Return the state in which the next attempt is above the target's floor too."""
        return replace(self, attempt=max(self.attempt, floor))

    def issued(
        self,
        view_id: str,
        capture_started_at: datetime,
        machine_digest: bytes,
        disks: tuple[DiskGeometry, ...],
    ) -> "SourceState":
        """Return the state in which a new attempt at the next sequence may begin."""
        if self.open is not None or self.resync is not None:
            raise AssertionError("an attempt is open, or none may be")
        attempt = self.attempt + 1
        sequence = self.head.sequence + 1
        opened = OpenAttempt(sequence, attempt, view_id, capture_started_at, machine_digest, disks)
        return replace(self, attempt=attempt, open=opened)

    def with_digest(self, digest: bytes) -> "SourceState":
        """Return the state in which the trailer may leave."""
        return replace(self, open=replace(self._opened(), digest=digest))

    def acknowledged(self) -> "SourceState":
        """Return the state in which the open attempt is the head."""
        opened = self._opened()
        if opened.digest is None:
            raise AssertionError("a segment without trailer cannot be acknowledged")
        head = Head(
            opened.sequence,
            opened.digest,
            opened.capture_started_at,
            opened.machine_digest,
            opened.disks,
        )
        return replace(self, head=head, open=None, unsettled_view_id=opened.view_id)

    def abandoned(self) -> "SourceState":
        """Return the state in which no attempt is open."""
        return replace(self, open=None)

    def settled(self, mark_id: str) -> "SourceState":
        """Return the state in which the mark stands where it can."""
        return replace(self, unsettled_view_id="", mark_id=mark_id)

    def resync_required(self, failure: Failure) -> "SourceState":
        """Return the state in which nothing is sent any more."""
        return replace(self, resync=failure)

    def _opened(self) -> OpenAttempt:
        if self.open is None:
            raise AssertionError("no attempt is open")
        return self.open


_ADAPTER = TypeAdapter(SourceState)
_ASSIGNMENT = TypeAdapter(Assignment)


def check_assignment(assignment: Assignment) -> None:
    """Raise `AssignmentError` for an order that no vault gives."""
    try:
        _ASSIGNMENT.validate_json(_ASSIGNMENT.dump_json(assignment), strict=True)
    except ValidationError as error:
        raise AssignmentError(
            "bad-order",
            f"The order to replicate cannot be followed: {_first_problem(error)}.",
            "Install the same version on the vault and the host.",
        ) from error


class StateFolder:
    """The state files of all protections of this host. All calls block."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def prepare(self) -> None:
        """Create the folder where it is missing."""
        self._files.make_directory(self._folder)
        self._files.sync_directory(self._folder.parent)

    def protection_ids(self) -> list[str]:
        """Return the protections that have a file; what a crash left half-written is not one."""
        names = self._files.list_directory(self._folder)
        return [
            name.removesuffix(_SUFFIX)
            for name in names
            if name.endswith(_SUFFIX) and not name.endswith(TEMPORARY_SUFFIX)
        ]

    def save(self, state: SourceState) -> None:
        """Replace a protection's state, atomically and durably."""
        data = _ADAPTER.dump_json(state, indent=1)
        if len(data) > MAX_STATE_BYTES:
            raise AssertionError(f"a state of {len(data)} bytes")
        write_durably(self._files, self._path(state.assignment.protection_id), data)

    def load(self, protection_id: str) -> SourceState | None:
        """Return a protection's state, None where it has none. Raises `StateFileError`."""
        path = self._path(protection_id)
        if self._files.status(path) is None:
            return None
        try:
            state = _ADAPTER.validate_json(
                self._files.read_bytes(path, limit=MAX_STATE_BYTES), strict=True
            )
        except (ValidationError, ValueError, OSError) as error:
            raise _damaged(path, _first_problem(error)) from error
        problem = _contradiction(state, protection_id)
        if problem:
            raise _damaged(path, problem)
        return state

    def _path(self, protection_id: str) -> Path:
        return self._folder / (protection_id + _SUFFIX)


def _contradiction(state: SourceState, protection_id: str) -> str:
    if state.version != _VERSION:
        return f"version {state.version}, this agent knows {_VERSION}"
    if state.assignment.protection_id != protection_id:
        return f"it is about protection {state.assignment.protection_id}"
    if (state.head.sequence == 0) != (state.head.digest == NO_POINT):
        return "the acknowledged sequence does not fit its digest"
    if state.open is not None and (
        state.open.sequence != state.head.sequence + 1 or state.open.attempt > state.attempt
    ):
        return "the open attempt does not follow the acknowledged point"
    return ""


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        return f"{place}: {first['msg']}"
    return str(error)


def _damaged(path: Path, problem: str) -> StateFileError:
    return StateFileError(
        "bad-state-file",
        f"{path} is not the state of a replication: {problem}.",
        "Restore the file and restart the agent, or disable and enable the protection.",
    )
