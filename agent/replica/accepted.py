"""Whose replica a folder is: what the vault ordered the host to accept."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from agent.replica.documents import read_document, write_document
from agent.replica.layout import Layout
from replikera.blocks.segment import SegmentFormatError
from replikera.blocks.segment.canonical import Json, number_of, object_of, text_of
from replikera.ports.files import Files

_KEYS = frozenset(
    {
        "epoch",
        "generation",
        "machine_id",
        "machine_name",
        "protection_id",
        "retention_s",
        "source_host_id",
    }
)
_MAX_TEXT = 1024
_MAX_NUMBER = (1 << 63) - 1
_MAX_RETENTION_S = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class AcceptedReplica:
    """A protection's replica: only this source host writes it, in this epoch and generation."""

    protection_id: str
    epoch: int
    generation: str
    source_host_id: str
    machine_id: str
    machine_name: str
    retention: timedelta

    def problem(self) -> str | None:
        """Say why a replica could not be kept under these terms, None where it can."""
        for name, value in (("protection", self.protection_id), ("generation", self.generation)):
            if not _is_canonical_uuid(value):
                return f"{name} {value!r} is not a lower-case UUID"
        if not 0 < self.epoch <= _MAX_NUMBER:
            return f"epoch {self.epoch} is out of range"
        if not timedelta(0) <= self.retention <= timedelta(seconds=_MAX_RETENTION_S):
            return f"a retention of {self.retention} is out of range"
        return None

    def is_same_lineage(self, other: "AcceptedReplica") -> bool:
        """Tell whether the other is about the same points; retention and machine name may change."""
        return self.identity == other.identity

    @property
    def identity(self) -> tuple[str, int, str, str, str]:
        """Return what must never change."""
        return (
            self.protection_id,
            self.epoch,
            self.generation,
            self.source_host_id,
            self.machine_id,
        )


def write_accepted(files: Files, layout: Layout, accepted: AcceptedReplica) -> None:
    """Make the terms durable."""
    fields: dict[str, Json] = {
        "epoch": accepted.epoch,
        "generation": accepted.generation,
        "machine_id": accepted.machine_id,
        "machine_name": accepted.machine_name,
        "protection_id": accepted.protection_id,
        "retention_s": int(accepted.retention.total_seconds()),
        "source_host_id": accepted.source_host_id,
    }
    write_document(files, layout.accepted, fields)


def read_accepted(files: Files, layout: Layout) -> AcceptedReplica:
    """Return the terms. Raises `SegmentFormatError`, `FileNotFoundError`."""
    fields = object_of(read_document(files, layout.accepted), _KEYS, "the terms of a replica")
    accepted = AcceptedReplica(
        protection_id=text_of(fields, "protection_id", _MAX_TEXT),
        epoch=number_of(fields, "epoch", _MAX_NUMBER),
        generation=text_of(fields, "generation", _MAX_TEXT),
        source_host_id=text_of(fields, "source_host_id", _MAX_TEXT),
        machine_id=text_of(fields, "machine_id", _MAX_TEXT),
        machine_name=text_of(fields, "machine_name", _MAX_TEXT),
        retention=timedelta(seconds=number_of(fields, "retention_s", _MAX_RETENTION_S)),
    )
    if problem := accepted.problem():
        raise SegmentFormatError(f"{layout.accepted.name}: {problem}")
    if accepted.protection_id != layout.folder.name:
        raise SegmentFormatError(f"{layout.accepted.name} is of another protection")
    return accepted


def _is_canonical_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
