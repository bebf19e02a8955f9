"""What a run proves: a disk is what its source was, by the digests of who read them; an outage was not noticed."""

import asyncio
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from replikera.lab.machine import Machine
from replikera.lab.qemu import QEMU_IMG, are_equal
from replikera.lab.witness import digest, open_disk
from replikera.ports.files import Files

WITNESS = "witness"

LEAST_POINTS = 3
"""Of an outage of ten seconds, which five belong to: a busy machine may be late, and the edges do not count."""


@dataclass(frozen=True, slots=True)
class Point:
    """A recovery point's name."""

    generation: str
    sequence: int


@dataclass(frozen=True, slots=True)
class DiskEvidence:
    """One recovered disk beside its source at the same point. `problem` is empty unless the readers disagree."""

    machine: str
    disk: str
    point: Point
    source_sha256: str
    recovered_sha256: str
    readers: tuple[str, ...]
    problem: str

    @property
    def is_equal(self) -> bool:
        """Tell whether the disks are equal by the word of every reader."""
        return self.source_sha256 == self.recovered_sha256 and not self.problem


@dataclass(frozen=True, slots=True)
class Outage:
    """How long there was no coordinator, and the points that were captured in that time, by sequence."""

    killed_at: datetime
    restarted_at: datetime
    points: tuple[int, ...]

    @property
    def is_unnoticed(self) -> bool:
        """Tell whether points went on."""
        return len(self.points) >= LEAST_POINTS


@dataclass(frozen=True, slots=True)
class DiskPair:
    """Two files that should look the same to a guest."""

    machine: str
    disk: str
    source: Path
    recovered: Path


async def compare(machine: Machine, pair: DiskPair, point: Point) -> DiskEvidence:
    """Read both disks by every reader that understands them. Raises `WitnessError` and `LabError`."""
    source, recovered = await asyncio.gather(
        machine.worker.run(digest, machine.files, pair.source),
        machine.worker.run(digest, machine.files, pair.recovered),
    )
    is_plain = await machine.worker.run(_are_plain, machine.files, pair)
    opinion = await are_equal(machine.processes, pair.source, pair.recovered) if is_plain else None
    return DiskEvidence(
        machine=pair.machine,
        disk=pair.disk,
        point=point,
        source_sha256=source,
        recovered_sha256=recovered,
        readers=(WITNESS,) if opinion is None else (WITNESS, QEMU_IMG),
        problem=_problem(opinion, is_equal=source == recovered),
    )


def _are_plain(files: Files, pair: DiskPair) -> bool:
    """Tell whether `qemu-img` reads both right: it knows no parents, and no log of a file that it only reads."""
    for path in (pair.source, pair.recovered):
        with closing(open_disk(files, path)) as disk:
            if not disk.is_plain:
                return False
    return True


def _problem(opinion: bool | None, *, is_equal: bool) -> str:
    if opinion is None or opinion == is_equal:
        return ""
    found = {True: "equal", False: "different"}
    return f"{WITNESS} finds the disks {found[is_equal]}, {QEMU_IMG} finds them {found[opinion]}"
