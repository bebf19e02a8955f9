"""The disks that a segment is about: identity, name and size, in the order its records count them."""

from collections.abc import Sequence
from dataclasses import dataclass

from replikera.blocks.segment.canonical import (
    Json,
    SegmentFormatError,
    decode_canonical,
    encode_canonical,
    number_of,
    object_of,
    text_of,
)

MAX_DISKS = 64
"""A Hyper-V machine of generation 2 takes 4 controllers of 64; 64 in all is what machines have."""

MAX_DISK_BYTES = 64 << 40
"""The limit of the VHDX format."""

MAX_NAME_CHARACTERS = 255
_SECTOR_SIZES = (512, 4096)
_KEYS = frozenset({"disk_id", "logical_sector_size", "name", "size"})


@dataclass(frozen=True, slots=True)
class DiskGeometry:
    """One disk: the hypervisor's stable identity, its file name without a folder, and sizes in bytes."""

    disk_id: str
    name: str
    size: int
    logical_sector_size: int

    def to_json(self) -> Json:
        """Return the value that headers and trailers carry."""
        return {
            "disk_id": self.disk_id,
            "name": self.name,
            "size": self.size,
            "logical_sector_size": self.logical_sector_size,
        }


def encode_disks(disks: Sequence[DiskGeometry]) -> bytes:
    """Return the canonical list. Raises `SegmentFormatError` for what `decode_disks` would refuse."""
    data = encode_canonical([disk.to_json() for disk in disks])
    decode_disks(data)
    return data


def decode_disks(data: bytes) -> tuple[DiskGeometry, ...]:
    """Return the disks of a canonical list."""
    return parse_disks(decode_canonical(data, "the list of disks"))


def parse_disks(value: Json) -> tuple[DiskGeometry, ...]:
    """Return the disks of a decoded list."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_DISKS:
        raise SegmentFormatError(f"the list of disks does not hold 1 to {MAX_DISKS} disks")
    disks = tuple(_parse_disk(entry) for entry in value)
    if len({disk.disk_id for disk in disks}) != len(disks):
        raise SegmentFormatError("two disks have the same disk_id")
    return disks


def _parse_disk(value: Json) -> DiskGeometry:
    fields = object_of(value, _KEYS, "a disk")
    disk = DiskGeometry(
        disk_id=text_of(fields, "disk_id", MAX_NAME_CHARACTERS),
        name=text_of(fields, "name", MAX_NAME_CHARACTERS),
        size=number_of(fields, "size", MAX_DISK_BYTES),
        logical_sector_size=number_of(fields, "logical_sector_size", 4096),
    )
    if not disk.disk_id:
        raise SegmentFormatError("a disk has an empty disk_id")
    if not _is_file_name(disk.name):
        raise SegmentFormatError(f"disk name {disk.name!r} is not a file name without a folder")
    if disk.logical_sector_size not in _SECTOR_SIZES:
        raise SegmentFormatError(
            f"disk {disk.name} has sectors of {disk.logical_sector_size} bytes"
        )
    if disk.size == 0 or disk.size % disk.logical_sector_size:
        raise SegmentFormatError(f"disk {disk.name} has {disk.size} bytes, not whole sectors")
    return disk


def _is_file_name(name: str) -> bool:
    # The name of a peer's disk becomes the name of a file here: it must not leave its folder.
    return (
        name not in {"", ".", ".."}
        and name.isprintable()
        and not any(character in name for character in '/\\:*?"<>|')
    )
