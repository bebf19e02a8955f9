"""The durable record of a rehearsal: it exists before anything is made, and goes after its removal was read back."""

import json
import re
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from agent.failover.outcome import RecoveredDisk, RehearsalError
from replikera.durable import TEMPORARY_SUFFIX, remove_durably, write_durably
from replikera.ports.files import Files
from replikera.ports.workers import Worker

_MAX_RECORD_BYTES = 256 * 1024  # 64 disks of the longest path each
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SUFFIX = ".json"
_VERSION = 1


class RehearsalState(StrEnum):
    """How far a rehearsal got."""

    STARTING = "starting"
    RECOVERED = "recovered"
    """All its disks are whole: a run that was killed after this is gone on with."""

    STARTED = "started"
    FAILED = "failed"
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class DiskOnRecord:
    """A recovered disk: where it stands, and its size as a guest sees it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    disk_id: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class RehearsalRecord:
    """What one rehearsal is for. `failure` is empty unless it failed; `found` names what a removal met.

    `disks` are those that are whole, none before the last of them is.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    rehearsal_id: str
    order_id: str
    protection_id: str
    generation: str
    sequence: int
    machine_name: str
    state: RehearsalState
    started_at: str
    failure: str = ""
    found: tuple[str, ...] = ()
    disks: tuple[DiskOnRecord, ...] = ()
    version: int = _VERSION

    @property
    def recovered_disks(self) -> tuple[RecoveredDisk, ...]:
        """Return the disks that are whole."""
        return tuple(RecoveredDisk(disk.disk_id, Path(disk.path), disk.size) for disk in self.disks)

    def with_disks(
        self, disks: tuple[RecoveredDisk, ...], state: RehearsalState
    ) -> "RehearsalRecord":
        """Return the record with disks that are whole, and with how far it got."""
        noted = tuple(DiskOnRecord(disk.disk_id, str(disk.path), disk.size) for disk in disks)
        return replace(self, state=state, disks=noted)


_RECORD = TypeAdapter(RehearsalRecord)


class RehearsalRecords:
    """The records of this host, one file a rehearsal."""

    def __init__(self, files: Files, worker: Worker, folder: Path) -> None:
        self._files = files
        self._worker = worker
        self._folder = folder

    async def write(self, record: RehearsalRecord) -> None:
        """Make the record durable."""
        data = json.dumps(asdict(record), sort_keys=True).encode()
        await self._worker.run(self._write, self._path(record.rehearsal_id), data)

    async def get(self, rehearsal_id: str) -> RehearsalRecord | None:
        """Return the record of a rehearsal, None where there is none."""
        return await self._worker.run(self._read, self._path(rehearsal_id))

    async def all(self) -> tuple[RehearsalRecord, ...]:
        """Return every record. Raises `RehearsalError` for one that is damaged."""
        records, damaged = await self.survey()
        if damaged:
            raise damaged[0]
        return records

    async def survey(self) -> tuple[tuple[RehearsalRecord, ...], tuple[RehearsalError, ...]]:
        """Return every record that can be read, and what is wrong with each of the others."""
        return await self._worker.run(self._read_all)

    async def remove(self, rehearsal_id: str) -> None:
        """Remove the record; a missing one is no error."""
        await self._worker.run(self._remove, self._path(rehearsal_id))

    def _path(self, rehearsal_id: str) -> Path:
        if not _ID.fullmatch(rehearsal_id):
            raise RehearsalError(
                "bad-order",
                f"The rehearsal id {rehearsal_id!r} is not a UUID.",
                "Update coordinator and agent to the same version.",
            )
        return self._folder / (rehearsal_id + _SUFFIX)

    def _write(self, path: Path, data: bytes) -> None:
        self._files.make_directory(self._folder)
        self._files.sync_directory(self._folder.parent)
        write_durably(self._files, path, data)

    def _remove(self, path: Path) -> None:
        if self._files.status(path) is not None:
            remove_durably(self._files, path)

    def _read_all(self) -> tuple[tuple[RehearsalRecord, ...], tuple[RehearsalError, ...]]:
        records: list[RehearsalRecord] = []
        damaged: list[RehearsalError] = []
        for name in self._files.list_directory(self._folder):
            if name.endswith(TEMPORARY_SUFFIX):
                continue
            try:
                record = self._read(self._folder / name)
            except RehearsalError as error:
                damaged.append(error)
                continue
            if record is not None:
                records.append(record)
        return tuple(records), tuple(damaged)

    def _read(self, path: Path) -> RehearsalRecord | None:
        try:
            data = self._files.read_bytes(path, limit=_MAX_RECORD_BYTES)
            record = _RECORD.validate_json(data)
        except FileNotFoundError:
            return None
        except (ValueError, ValidationError) as error:
            raise _damaged(path, "its content is damaged") from error
        if record.version != _VERSION or self._path(record.rehearsal_id) != path:
            raise _damaged(path, f"version {record.version}, rehearsal {record.rehearsal_id}")
        return record


def _damaged(path: Path, problem: str) -> RehearsalError:
    return RehearsalError(
        "damaged-record",
        f"{path} is not a record of a test failover: {problem}.",
        "Move the file away and clean up the test failover again: what it made is found by its tag.",
    )
