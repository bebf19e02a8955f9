"""Whose replica a folder is: what the vault ordered the host to accept."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from agent.replica.documents import read_document, write_document
from agent.replica.layout import Layout
from replikera.blocks.segment import MAX_DISKS, SegmentFormatError
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
        "seeds",
        "source_host_id",
    }
)
_SEED_KEYS = frozenset({"disk", "file"})
MAX_SEEDS = MAX_DISKS
_MAX_TEXT = 1024
_MAX_NAME = 255
_MAX_NUMBER = (1 << 63) - 1
_MAX_RETENTION_S = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Seed:
    """A disk, by its file name at the source, that is filled from a file of the seed folder first."""

    disk_name: str
    file_name: str

    def problem(self) -> str | None:
        """Say why this is no file inside the seed folder, None where it may be one."""
        for name in (self.disk_name, self.file_name):
            if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
                return f"{name[:_MAX_NAME]!r} of a seed is not a name"
        if set(self.file_name) & set("/\\:") or not self.file_name.strip(" ."):
            return f"the seed {self.file_name!r} is not inside the seed folder"
        return None


@dataclass(frozen=True, slots=True)
class AcceptedReplica:
    """A protection's replica: only this source host writes it, in this epoch and generation.

    `seeds` matter until the first point is sealed.
    """

    protection_id: str
    epoch: int
    generation: str
    source_host_id: str
    machine_id: str
    machine_name: str
    retention: timedelta
    seeds: tuple[Seed, ...] = ()

    def problem(self) -> str | None:
        """Say why a replica could not be kept under these terms, None where it can."""
        for name, value in (("protection", self.protection_id), ("generation", self.generation)):
            if not is_canonical_uuid(value):
                return f"{name} {value!r} is not a lower-case UUID"
        if not 0 < self.epoch <= _MAX_NUMBER:
            return f"epoch {self.epoch} is out of range"
        if not timedelta(0) <= self.retention <= timedelta(seconds=_MAX_RETENTION_S):
            return f"a retention of {self.retention} is out of range"
        return _problem_of(self.seeds)

    def is_same_lineage(self, other: "AcceptedReplica") -> bool:
        """Tell whether the other is about the same points; retention, machine name and seeds may change."""
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
        "seeds": [{"disk": seed.disk_name, "file": seed.file_name} for seed in accepted.seeds],
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
        seeds=_parse_seeds(fields["seeds"]),
    )
    if problem := accepted.problem():
        raise SegmentFormatError(f"{layout.accepted.name}: {problem}")
    if accepted.protection_id != layout.folder.name:
        raise SegmentFormatError(f"{layout.accepted.name} is of another protection")
    return accepted


def _problem_of(seeds: tuple[Seed, ...]) -> str | None:
    if len(seeds) > MAX_SEEDS:
        return f"{len(seeds)} seeds, the limit is {MAX_SEEDS}"
    if len({seed.disk_name for seed in seeds}) != len(seeds):
        return "a disk has two seeds"
    return next((problem for seed in seeds if (problem := seed.problem())), None)


def _parse_seeds(value: Json) -> tuple[Seed, ...]:
    if not isinstance(value, list):
        raise SegmentFormatError("seeds is not a list")
    found = [object_of(item, _SEED_KEYS, "a seed") for item in value]
    return tuple(
        Seed(text_of(item, "disk", _MAX_NAME), text_of(item, "file", _MAX_NAME)) for item in found
    )


def is_canonical_uuid(text: str) -> bool:
    """Tell whether a text is a UUID as identifiers are spelt."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
