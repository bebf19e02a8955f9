"""Takes views of a machine, opens their disks, and asks what changed; doubts become errors, never silence."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from blake3 import blake3

from agent.hypervisor.interface import Consistency, Hypervisor, HypervisorError, Mark, View
from agent.source.assignment import Assignment
from agent.source.batching import CapturedDisk
from agent.source.errors import DisksChangedError, ResyncRequiredError, shown
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.blocks.segment.geometry import encode_disks
from replikera.machine import MAX_DESCRIPTION_BYTES, MachineDescription
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker


@dataclass(frozen=True, slots=True)
class Capture:
    """One view with its disks open. `machine` is the canonical description without excluded disks."""

    view: View
    started_at: datetime
    disks: tuple[CapturedDisk, ...]
    machine: bytes
    machine_digest: bytes
    opened: AsyncExitStack

    @property
    def geometries(self) -> tuple[DiskGeometry, ...]:
        """Return the disks as segments name them."""
        return tuple(disk.geometry for disk in self.disks)

    async def close(self) -> None:
        """Close the disks; the view stays. Idempotent."""
        await self.opened.aclose()


class Capturer:
    """Captures machines of one hypervisor."""

    def __init__(self, hypervisor: Hypervisor, worker: Worker, clock: Clock) -> None:
        self._hypervisor = hypervisor
        self._worker = worker
        self._clock = clock

    async def freeze(
        self,
        assignment: Assignment,
        known: tuple[DiskGeometry, ...],
        consistency: Consistency = Consistency.CRASH,
    ) -> Capture:
        """Take a view, and open its disks in the order of the known ones.

        Raises `HypervisorError`, `SegmentFormatError` and `DisksChangedError`; the view stays then.
        """
        before = self._clock.now()
        view = await self._hypervisor.freeze(
            assignment.machine_id, assignment.protection_id, consistency
        )
        # A wall clock that was set back in between must not make a point look younger than it is.
        return await self.adopt(view, min(before, view.taken_at), assignment, known)

    async def adopt(
        self,
        view: View,
        started_at: datetime,
        assignment: Assignment,
        known: tuple[DiskGeometry, ...],
    ) -> Capture:
        """Open the disks of a view that was taken before; see `freeze`."""
        if (view.machine_id, view.tag) != (assignment.machine_id, assignment.protection_id):
            raise ResyncRequiredError(
                "view-foreign", f"View {view.view_id} is one of machine {shown(view.machine_id)}."
            )
        machine = _replicated(view.description, assignment)
        geometries = ordered_disks(machine, known)
        # Before anything of it is recorded: no segment can name other disks than these.
        encode_disks(geometries)
        async with AsyncExitStack() as stack:
            disks = [
                await self._open(stack, view, number, geometry)
                for number, geometry in enumerate(geometries)
            ]
            encoded = _encoded(machine)
            return Capture(
                view, started_at, tuple(disks), encoded, blake3(encoded).digest(), stack.pop_all()
            )
        raise AssertionError("the stack swallows nothing")

    async def changes(self, capture: Capture, mark: Mark) -> tuple[Extents, ...]:
        """Return by disk what was written between mark and view, as whole sectors.

        Raises `TrackingLostError`, and `ResyncRequiredError` for what cannot be true.
        """
        changed = await self._hypervisor.changed_ranges(capture.view, mark)
        return tuple(_changes(changed, disk.geometry) for disk in capture.disks)

    async def _open(
        self, stack: AsyncExitStack, view: View, number: int, geometry: DiskGeometry
    ) -> CapturedDisk:
        reader = await self._hypervisor.open_disk(view, geometry.disk_id)
        stack.push_async_callback(self._worker.run, reader.close)
        if reader.size != geometry.size:
            raise HypervisorError(
                "view-inconsistent",
                f"Disk {shown(geometry.name)} has {reader.size} bytes in the view, not {geometry.size}.",
                "Replication tries again with a newer view.",
            )
        allocated = await self._worker.run(reader.data_extents)
        sectors = allocated.align(geometry.logical_sector_size, geometry.size)
        return CapturedDisk(number, geometry, reader, sectors)


def ordered_disks(
    machine: MachineDescription, known: tuple[DiskGeometry, ...]
) -> tuple[DiskGeometry, ...]:
    """Return the machine's disks in the order of the known ones. Raises `DisksChangedError` where they are others."""
    present = tuple(
        DiskGeometry(disk.disk_id, disk.name, disk.size, disk.logical_sector_size)
        for disk in machine.disks
    )
    if not known:
        return present
    problem = _difference(present, known)
    if problem:
        raise DisksChangedError(
            f"The disks of machine {shown(machine.name)} are not those of its last recovery point: {problem}."
        )
    return known


def check_disks(
    machine: MachineDescription, assignment: Assignment, known: tuple[DiskGeometry, ...]
) -> None:
    """Raise `DisksChangedError` where the machine's replicated disks are not the known ones."""
    ordered_disks(_replicated(machine, assignment), known)


def _replicated(machine: MachineDescription, assignment: Assignment) -> MachineDescription:
    excluded = frozenset(assignment.excluded_disk_ids)
    if not excluded:
        return machine
    disks = tuple(disk for disk in machine.disks if disk.disk_id not in excluded)
    return replace(machine, disks=disks)


def _difference(present: Sequence[DiskGeometry], known: Sequence[DiskGeometry]) -> str:
    now, then = ({disk.disk_id: disk for disk in disks} for disks in (present, known))
    problems = [f"{shown(now[key].name)} is new" for key in now if key not in then]
    problems += [f"{shown(then[key].name)} is gone" for key in then if key not in now]
    problems += [
        f"{shown(disk.name)} has {disk.size} bytes in sectors of {disk.logical_sector_size} now, "
        f"{then[key].size} in sectors of {then[key].logical_sector_size} then"
        for key, disk in now.items()
        if key in then and _shape(disk) != _shape(then[key])
    ]
    return "; ".join(problems)


def _shape(disk: DiskGeometry) -> tuple[int, int]:
    return disk.size, disk.logical_sector_size


def _encoded(machine: MachineDescription) -> bytes:
    try:
        encoded = machine.to_json()
    except UnicodeEncodeError as error:
        raise SegmentFormatError(f"its description is no text: {error.reason}") from error
    if len(encoded) > MAX_DESCRIPTION_BYTES:
        raise SegmentFormatError(
            f"its description has {len(encoded)} bytes, {MAX_DESCRIPTION_BYTES} at most"
        )
    return encoded


def _changes(changed: Mapping[str, Extents], disk: DiskGeometry) -> Extents:
    extents = changed.get(disk.disk_id)
    if extents is None:
        raise ResyncRequiredError(
            "changes-incomplete", f"What changed in disk {shown(disk.name)} is unknown."
        )
    if len(extents) and int(extents.ends[-1]) > disk.size:
        raise ResyncRequiredError(
            "changes-out-of-bounds",
            f"Changes of disk {shown(disk.name)} are reported beyond its {disk.size} bytes.",
        )
    return extents.align(disk.logical_sector_size, disk.size)
