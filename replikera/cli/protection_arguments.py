"""What people type for what is protected, and how."""

from dataclasses import dataclass
from enum import StrEnum

import typer


class Side(StrEnum):
    """A side of a protection."""

    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class DiskSeed:
    """A disk, and the file of the target's seed folder that it is filled from."""

    disk: str
    file: str


def parse_seed(text: str) -> DiskSeed:
    """Return the parts of "DISK=FILE"; a file's name may hold equals signs, a disk's not."""
    disk, _, file = text.partition("=")
    if not disk or not file or "/" in file or "\\" in file:
        raise typer.BadParameter(
            f"{text!r} does not name a disk and a file: write DISK=FILE, as in system.vhdx=system-copy.vhdx; the file "
            "lies in the seed folder of the target host, so it has no path."
        )
    return DiskSeed(disk, file)
