"""Storage mappings: which folder of the secondary host keeps replicas of disks of one primary storage class.

A disk without a storage class has the empty one, which is mapped like any other. A mapping decides where a replica is
made; one that exists stays where it is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import MAX_NAME_LENGTH, HostId, StorageMappingId
from coordinator.domain.inventory import Machine

DEFAULT_FOLDER = ""
"""Stands for the folder that the host itself takes where none is named."""


@dataclass(frozen=True, slots=True)
class StorageMapping(Aggregate):
    """One storage class of a primary host, and the folder of a secondary host that stands for it."""

    id: StorageMappingId
    primary_host_id: HostId
    storage_class: str
    secondary_host_id: HostId
    folder: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StorageMappingRequest:
    """What an operator asks to map."""

    primary: Host
    storage_class: str
    secondary: Host
    folder: str


@dataclass(frozen=True, slots=True)
class StorageChoice:
    """Where a replica is kept: a folder of the target, `DEFAULT_FOLDER` for its own choice; `reason` in words."""

    folder: str
    reason: str


def create(
    mapping_id: StorageMappingId, request: StorageMappingRequest, now: datetime
) -> tuple[StorageMapping, Decision]:
    """Decide that a folder stands for a storage class. Raises `DomainError`."""
    _check(request)
    mapping = StorageMapping(
        mapping_id,
        request.primary.id,
        request.storage_class,
        request.secondary.id,
        request.folder,
        now,
    )
    detail = (
        f"{request.primary.name}, {told_class(request.storage_class)}, to "
        f"{request.folder} of {request.secondary.name}"
    )
    event = Event(now, EventKind.STORAGE_MAPPED, mapping_id, detail)
    return mapping, Decision(aggregates=(mapping,), events=(event,))


def delete(mapping: StorageMapping, primary: Host, secondary: Host, now: datetime) -> Decision:
    """Decide that a mapping is no more. Replicas stay where they are."""
    detail = (
        f"{primary.name}, {told_class(mapping.storage_class)}, to "
        f"{mapping.folder} of {secondary.name}"
    )
    event = Event(now, EventKind.STORAGE_UNMAPPED, mapping.id, detail)
    return Decision(events=(event,), removed=(mapping,))


def choose_folder(
    machine: Machine,
    source_host_id: HostId,
    target_host: Host,
    mappings: Iterable[StorageMapping],
    *,
    excluded_disk_ids: Collection[str] = (),
) -> StorageChoice:
    """Return the folder of the target that a machine's replica is made in, and why.

    All disks of a replica are in one folder: the one that the class of the first disk is mapped to; where disks are
    mapped to several, the one that most bytes are mapped to, the earlier disk's if equal. Mappings between other hosts
    do not count, nor folders that the target does not offer any more.
    """
    between = {
        mapping.storage_class: mapping.folder
        for mapping in mappings
        if (mapping.primary_host_id, mapping.secondary_host_id) == (source_host_id, target_host.id)
    }
    sizes = _bytes_by_class(machine, excluded_disk_ids)
    mapped = {name: between[name] for name in sizes if name in between}
    usable = {
        name: folder for name, folder in mapped.items() if folder in target_host.replica_folders
    }
    if usable:
        return _most(sizes, usable)
    return StorageChoice(
        DEFAULT_FOLDER, f"default path, because {_why(sizes, mapped, target_host)}"
    )


def told_class(storage_class: str) -> str:
    """Return a storage class in words."""
    return f"class {storage_class}" if storage_class else "disks without a class"


def _bytes_by_class(machine: Machine, excluded: Collection[str]) -> dict[str, int]:
    """Return how many bytes each class holds, in the order of the first disks of each."""
    sizes: dict[str, int] = {}
    for disk in machine.description.disks:
        if disk.disk_id not in excluded:
            sizes[disk.storage_class] = sizes.get(disk.storage_class, 0) + disk.size
    return sizes


def _most(sizes: Mapping[str, int], usable: Mapping[str, str]) -> StorageChoice:
    totals: dict[str, int] = {}
    for storage_class, folder in usable.items():
        totals[folder] = totals.get(folder, 0) + sizes[storage_class]
    chosen = max(totals, key=totals.__getitem__)  # the first of equals
    followed = [name for name, folder in usable.items() if folder == chosen]
    reason = f"storage mapping for {_listed(followed)}"
    if len(totals) > 1:
        reason += ", to whose folder most bytes are mapped"
    others = [name for name in sizes if name not in followed]
    if others:
        reason += f"; {_listed(others)} go there too"
    return StorageChoice(chosen, reason)


def _why(sizes: Mapping[str, int], mapped: Mapping[str, str], target: Host) -> str:
    """Return why none of the classes has a folder."""
    if not sizes:
        return "the machine has no disk"
    if not mapped:
        return f"no storage mapping for {_listed(sizes)}"
    gone = ", ".join(dict.fromkeys(mapped.values()))
    return f"host {target.name} offers no folder {gone}, mapped for {_listed(mapped)}"


def _listed(classes: Iterable[str]) -> str:
    return ", ".join(map(told_class, classes))


def _check(request: StorageMappingRequest) -> None:
    if request.primary.id == request.secondary.id:
        raise InvalidValueError(
            "same-host",
            f"Storage of host {request.primary.name} cannot be mapped to the same host.",
            "Name a host of the other site.",
            field="secondary_host",
        )
    name = request.storage_class
    if len(name) > MAX_NAME_LENGTH or name != name.strip() or not name.isprintable():
        raise InvalidValueError(
            "invalid-storage-class",
            f"{name[:MAX_NAME_LENGTH]!r} cannot be the name of a storage class.",
            f"Use at most {MAX_NAME_LENGTH} printable characters without blanks at the ends; "
            "none at all stands for disks without a storage class.",
            field="storage_class",
        )
    offered = request.secondary.replica_folders
    if request.folder not in offered:
        raise UnknownObjectError(
            "unknown-folder",
            f"Host {request.secondary.name} offers no folder {request.folder} for replicas.",
            f"Choose one that it offers ({', '.join(offered) or 'it has told of none'}), or add it to the "
            "settings of its agent.",
        )
