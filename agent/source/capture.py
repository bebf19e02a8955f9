"""Takes a view of a machine and finds out what of it has to be sent; doubts become a resync, never silence."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from blake3 import blake3

from agent.hypervisor.interface import Hypervisor, Mark, View, ViewDisk
from agent.source.batching import CapturedDisk
from agent.source.errors import ResyncRequiredError
from agent.source.state import SourceState
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.machine import MachineDescription
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker


@dataclass(frozen=True, slots=True)
class Capture:
    """One view with its open disks. `machine` is None where the last point has the same description."""

    view: View
    started_at: datetime
    disks: tuple[CapturedDisk, ...]
    machine: bytes | None
    machine_digest: bytes

    @property
    def geometries(self) -> tuple[DiskGeometry, ...]:
        """Return the disks as the segment names them."""
        return tuple(disk.geometry for disk in self.disks)

    @property
    def total_bytes(self) -> int:
        """Return the bytes to read."""
        return sum(disk.extents.total() for disk in self.disks)


class Capturer:
    """Captures machines of one hypervisor."""

    def __init__(self, hypervisor: Hypervisor, worker: Worker, clock: Clock) -> None:
        self._hypervisor = hypervisor
        self._worker = worker
        self._clock = clock

    @asynccontextmanager
    async def capture(self, state: SourceState, mark: Mark | None) -> AsyncIterator[Capture]:
        """Freeze the machine and open what changed since `mark`; everything that holds data where it is None.

        Closes the disks at the end; the view stays. Raises `HypervisorError` and `ResyncRequiredError`.
        """
        if (mark is None) != (state.head.sequence == 0):
            raise AssertionError("only an initial segment is captured without a mark")
        before = self._clock.now()
        view = await self._hypervisor.freeze(
            state.assignment.machine_id, state.assignment.protection_id
        )
        _check_view(view, state)
        geometries = _geometries(view.description, state)
        changed = None if mark is None else await self._hypervisor.changed_ranges(view, mark)
        if changed is not None:
            _check_changed(changed, geometries)
        async with AsyncExitStack() as stack:
            disks = [
                await self._open(stack, view, number, geometry, changed)
                for number, geometry in enumerate(geometries)
            ]
            machine = view.description.to_json()
            digest = blake3(machine).digest()
            is_known = digest == state.head.machine_digest
            yield Capture(
                view,
                # A wall clock that was set back in between must not make a point look younger than it is.
                min(before, view.taken_at),
                tuple(disks),
                None if is_known else machine,
                digest,
            )

    async def _open(
        self,
        stack: AsyncExitStack,
        view: View,
        number: int,
        geometry: DiskGeometry,
        changed: Mapping[str, Extents] | None,
    ) -> CapturedDisk:
        reader = await self._hypervisor.open_disk(view, geometry.disk_id)
        stack.push_async_callback(self._worker.run, reader.close)
        extents = await self._extents(reader, geometry, changed)
        return CapturedDisk(number, geometry, reader, _sectors(extents, geometry))

    async def _extents(
        self, reader: ViewDisk, geometry: DiskGeometry, changed: Mapping[str, Extents] | None
    ) -> Extents:
        if reader.size != geometry.size:
            raise ResyncRequiredError(
                "disk-changed",
                f"Disk {geometry.name} has {reader.size} bytes in the view, not {geometry.size}.",
            )
        if changed is not None:
            return changed[geometry.disk_id]
        return (await self._worker.run(reader.data_extents)).clip(geometry.size)


def _sectors(extents: Extents, geometry: DiskGeometry) -> Extents:
    return extents.align(geometry.logical_sector_size, geometry.size)


def _check_view(view: View, state: SourceState) -> None:
    expected = (state.assignment.machine_id, state.assignment.protection_id)
    if (view.machine_id, view.tag) != expected:
        raise ResyncRequiredError(
            "view-foreign", f"View {view.view_id} is one of machine {view.machine_id}."
        )


def _geometries(machine: MachineDescription, state: SourceState) -> tuple[DiskGeometry, ...]:
    present = tuple(
        DiskGeometry(disk.disk_id, disk.name, disk.size, disk.logical_sector_size)
        for disk in machine.disks
    )
    known = state.head.disks
    if not known:
        return present
    if _shapes(present) != _shapes(known):
        raise ResyncRequiredError(
            "disks-changed",
            f"The disks of machine {machine.name} are not those of the last recovery point: "
            f"{_names(present)} now, {_names(known)} then.",
        )
    return known


def _shapes(disks: tuple[DiskGeometry, ...]) -> dict[str, tuple[int, int]]:
    return {disk.disk_id: (disk.size, disk.logical_sector_size) for disk in disks}


def _names(disks: tuple[DiskGeometry, ...]) -> str:
    return ", ".join(f"{disk.name} ({disk.size} bytes)" for disk in disks) or "none"


def _check_changed(changed: Mapping[str, Extents], geometries: tuple[DiskGeometry, ...]) -> None:
    for disk in geometries:
        extents = changed.get(disk.disk_id)
        if extents is None:
            raise ResyncRequiredError(
                "changes-incomplete", f"What changed in disk {disk.name} is unknown."
            )
        if len(extents) and int(extents.ends[-1]) > disk.size:
            raise ResyncRequiredError(
                "changes-out-of-bounds",
                f"Changes of disk {disk.name} are reported beyond its {disk.size} bytes.",
            )
