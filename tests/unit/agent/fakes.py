"""Stand-ins for the machine under the agent's control part, and a way to kill it at any moment."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import (
    Consistency,
    DiskCheck,
    GuestHealth,
    HypervisorError,
    Inventory,
    Machine,
    MachineDefinition,
    Mark,
    Network,
    View,
    ViewDisk,
)
from agent.replica.accepted import AcceptedReplica
from agent.replica.pins import Pin
from agent.replica.points import SealedPoint
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry, PointKind
from replikera.machine import Disk, MachineDescription, NetworkAdapter
from replikera.ports.files import Buffer, File, FileStatus
from replikera.system.files import SystemFiles

P = ParamSpec("P")
T = TypeVar("T")

START = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process ended here: nothing after this line happened."""


class Fuse:
    """Counts what happens, and kills at the chosen count."""

    def __init__(self, burns_at: int | None = None) -> None:
        self.ticks = 0
        self.burns_at = burns_at

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks == self.burns_at:
            raise Killed


class InlineWorker:
    """Runs the call at once."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)


class AutoClock:
    """Time passes only by sleeping, and then at once."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += max(0.0, seconds)
        await asyncio.sleep(0)


class ManualClock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.elapsed + max(0.0, seconds), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, waking sleepers in order and letting them act."""
        end = self.elapsed + seconds
        await settle()
        while due := [entry for entry in self._sleepers if entry[0] <= end]:
            entry = min(due, key=lambda item: item[0])
            self._sleepers.remove(entry)
            self.elapsed = max(self.elapsed, entry[0])
            if not entry[1].done():
                entry[1].set_result(None)
            await settle()
        self.elapsed = end


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


class FusedFile:
    """A file whose writes may be the last thing that happens."""

    def __init__(self, file: File, fuse: Fuse) -> None:
        self._file = file
        self._fuse = fuse

    @property
    def path(self) -> Path:
        return self._file.path

    def size(self) -> int:
        return self._file.size()

    def read(self, length: int, offset: int) -> bytes:
        return self._file.read(length, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        return self._file.read_into(buffer, offset)

    def write(self, data: Buffer, offset: int) -> None:
        self._fuse.tick()
        self._file.write(data, offset)

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        self._fuse.tick()
        self._file.write_many(parts, offset)

    def zero(self, offset: int, length: int) -> None:
        self._fuse.tick()
        self._file.zero(offset, length)

    def truncate(self, size: int) -> None:
        self._fuse.tick()
        self._file.truncate(size)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        return self._file.data_ranges()

    def sync(self) -> None:
        self._fuse.tick()
        self._file.sync()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class FusedFiles:
    """Real files; every change ticks the fuse first. `full` refuses new files with the given error."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        self._real = SystemFiles()
        self.fuse = fuse or Fuse()
        self.error: OSError | None = None
        self.free = 1 << 40

    def _change(self) -> None:
        self.fuse.tick()
        if self.error is not None:
            raise self.error

    def open_read(self, path: Path) -> File:
        return self._real.open_read(path)

    def open_write(self, path: Path) -> File:
        return FusedFile(self._real.open_write(path), self.fuse)

    def create(self, path: Path, *, mode: int = 0o600) -> File:
        self._change()
        return FusedFile(self._real.create(path, mode=mode), self.fuse)

    def read_bytes(self, path: Path, *, limit: int) -> bytes:
        return self._real.read_bytes(path, limit=limit)

    def append(self, path: Path, data: Buffer) -> None:
        self._change()
        self._real.append(path, data)

    def replace(self, source: Path, target: Path) -> None:
        self._change()
        self._real.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._change()
        self._real.link(source, target)

    def remove(self, path: Path) -> None:
        self._change()
        self._real.remove(path)

    def remove_tree(self, path: Path) -> None:
        self._change()
        self._real.remove_tree(path)

    def make_directory(self, path: Path) -> None:
        self._change()
        self._real.make_directory(path)

    def list_directory(self, path: Path) -> list[str]:
        return self._real.list_directory(path)

    def status(self, path: Path) -> FileStatus | None:
        return self._real.status(path)

    def sync_directory(self, path: Path) -> None:
        self._change()
        self._real.sync_directory(path)

    def free_space(self, path: Path) -> int:
        assert self._real.status(path) is not None
        return self.free

    def lock(self, path: Path) -> AbstractContextManager[None]:
        return self._real.lock(path)

    def is_locked(self, path: Path) -> bool:
        return self._real.is_locked(path)


HEALTHY = GuestHealth(is_answering=True, is_healthy=True, summary="7 records verified", records=7)
SILENT = GuestHealth(is_answering=False, is_healthy=False, summary="", records=0)


def description(
    name: str = "web01", machine_id: str = "source-web01", networks: Sequence[str] = ("LAN",)
) -> MachineDescription:
    """Return a machine of two disks and one adapter a network."""
    return MachineDescription(
        machine_id=machine_id,
        name=name,
        hardware_generation=2,
        processors=2,
        memory_bytes=1 << 30,
        firmware="uefi",
        disks=(
            Disk("disk-a", "system.vhdx", 1 << 20, 512, "scsi", 0, 0),
            Disk("disk-b", "data.vhdx", 2 << 20, 512, "scsi", 0, 1),
        ),
        nics=tuple(
            NetworkAdapter(f"nic-{number}", f"Adapter {number}", "00155d000001", network)
            for number, network in enumerate(networks)
        ),
    )


class FakeHypervisor:
    """Machines in memory; every change ticks the fuse before and after it happened."""

    def __init__(self, storage_path: Path, fuse: Fuse | None = None) -> None:
        self.storage_path = storage_path
        self.fuse = fuse or Fuse()
        self.kind = "fake"
        self.minimum_copy_interval_s = 1.0
        self.host_networks: tuple[Network, ...] = (
            Network("LAN", is_isolated=False, subnets=()),
            Network("Test", is_isolated=True, subnets=()),
        )
        self.machines: dict[str, Machine] = {}
        self.guests: list[GuestHealth] = [HEALTHY]
        self.definitions: list[MachineDefinition] = []
        self.started: list[str] = []
        self.connects_instead: str | None = None
        self.refuses_removal = False
        self.inventory_error: HypervisorError | None = None
        self.on_health: Callable[[], Awaitable[None]] | None = None

    def add_foreign(self, machine: Machine) -> None:
        self.machines[machine.description.machine_id] = machine

    def tagged(self, tag: str) -> list[Machine]:
        return [machine for machine in self.machines.values() if machine.tag == tag]

    async def inventory(self) -> Inventory:
        if self.inventory_error is not None:
            raise self.inventory_error
        return Inventory(tuple(self.machines.values()), self.host_networks)

    async def networks(self) -> tuple[Network, ...]:
        return self.host_networks

    async def describe(self, machine_id: str) -> Machine:
        return self.machines[machine_id]

    async def define_machine(self, definition: MachineDefinition) -> str:
        for machine_id, machine in self.machines.items():
            if machine.tag == definition.tag:
                return machine_id
        self.fuse.tick()
        self.definitions.append(definition)
        machine_id = f"machine-{len(self.definitions)}"
        nics = tuple(
            replace(nic, network=self.connects_instead or definition.networks[nic.nic_id])
            for nic in definition.description.nics
        )
        defined = replace(
            definition.description, machine_id=machine_id, name=definition.name, nics=nics
        )
        self.machines[machine_id] = Machine(defined, is_running=False, tag=definition.tag)
        self.fuse.tick()
        return machine_id

    async def start(self, machine_id: str) -> None:
        self.fuse.tick()
        self.machines[machine_id] = replace(self.machines[machine_id], is_running=True)
        self.started.append(machine_id)
        self.fuse.tick()

    async def guest_health(self, machine_id: str) -> GuestHealth:
        assert self.machines[machine_id].is_running
        if self.on_health is not None:
            await self.on_health()
        return self.guests.pop(0) if len(self.guests) > 1 else self.guests[0]

    async def power_off(self, machine_id: str) -> None:
        self.fuse.tick()
        if machine_id in self.machines:
            self.machines[machine_id] = replace(self.machines[machine_id], is_running=False)
        self.fuse.tick()

    async def remove_machine(self, machine_id: str, tag: str) -> None:
        self.fuse.tick()
        machine = self.machines.get(machine_id)
        if machine is not None and not self.refuses_removal:
            assert machine.tag == tag
            assert not machine.is_running
            del self.machines[machine_id]
        self.fuse.tick()

    async def freeze(
        self, machine_id: str, tag: str, consistency: Consistency = Consistency.CRASH
    ) -> View:
        raise AssertionError

    async def view_growth(self, view: View) -> int:
        raise AssertionError

    async def all_views(self) -> tuple[View, ...]:
        raise AssertionError

    async def views(self, tag: str) -> tuple[View, ...]:
        raise AssertionError

    async def changed_ranges(self, view: View, mark: Mark) -> Mapping[str, Extents]:
        raise AssertionError

    async def open_disk(self, view: View, disk_id: str) -> ViewDisk:
        raise AssertionError

    async def keep(self, view: View) -> Mark:
        raise AssertionError

    async def discard(self, view: View) -> None:
        raise AssertionError

    async def marks(self) -> tuple[Mark, ...]:
        raise AssertionError

    async def mark(self, tag: str) -> Mark | None:
        raise AssertionError

    async def check_disk(self, path: Path) -> DiskCheck:
        raise AssertionError

    async def set_guest_address(self, machine_id: str, nic_id: str, address: GuestAddress) -> None:
        raise AssertionError

    async def shut_down(self, machine_id: str) -> None:
        raise AssertionError

    async def detach_disks(self, machine_id: str) -> Machine:
        raise AssertionError

    async def attach_disks(self, machine_id: str, disk_paths: Mapping[str, Path]) -> Machine:
        raise AssertionError

    async def drop_mark(self, mark: Mark) -> None:
        raise AssertionError

    async def ensure_isolated_network(self, name: str, tag: str) -> Network:
        self.fuse.tick()
        network = Network(name, is_isolated=True, subnets=(), tag=tag)
        if network not in self.host_networks:
            self.host_networks += (network,)
        self.fuse.tick()
        return network

    async def remove_isolated_network(self, name: str, tag: str) -> None:
        self.fuse.tick()
        users = [nic for machine in self.machines.values() for nic in machine.description.nics]
        assert name not in {nic.network for nic in users}
        gone = Network(name, is_isolated=True, subnets=(), tag=tag)
        self.host_networks = tuple(known for known in self.host_networks if known != gone)
        self.fuse.tick()

    async def block_auto_start(self, machine_id: str, tag: str) -> Machine:
        raise AssertionError

    async def allow_auto_start(self, machine_id: str, tag: str) -> Machine:
        raise AssertionError


def sealed_point(sequence: int, generation: str = "", *, name: str = "") -> SealedPoint:
    """Return a point captured at second `sequence`."""
    instant = START + timedelta(seconds=sequence)
    return SealedPoint(
        generation=generation,
        sequence=sequence,
        kind=PointKind.CRASH_CONSISTENT,
        name=name,
        capture_started_at=instant,
        capture_ended_at=instant,
        sealed_at=instant,
        payload_bytes=sequence << 20,
        chain_digest=sequence.to_bytes(32, "big"),
    )


class FakeReplica:
    """A replica whose disks are a line of text each."""

    def __init__(self, files: FusedFiles, generation: str, sequences: Sequence[int]) -> None:
        self._files = files
        self._points = tuple(sealed_point(sequence, generation) for sequence in sequences)
        self.accepted = AcceptedReplica(
            "", 1, generation, "source", "source-web01", "web01", timedelta(hours=1)
        )
        self.machine = description()
        self.described: bytes | None = None
        self.error: Exception | None = None
        self.on_unpin: Callable[[], None] = lambda: None
        self.made: list[int] = []
        self.pinned: dict[str, int] = {}

    def points(self) -> tuple[SealedPoint, ...]:
        return self._points

    def describe(self, sequence: int) -> bytes:
        assert sequence in {point.sequence for point in self._points}
        return self.machine.to_json() if self.described is None else self.described

    def pins(self) -> tuple[Pin, ...]:
        return tuple(Pin(holder, sequence, bytes(32)) for holder, sequence in self.pinned.items())

    async def pin(self, holder: str, sequence: int) -> None:
        self._files.fuse.tick()
        assert self.pinned.setdefault(holder, sequence) == sequence
        self._files.fuse.tick()

    async def unpin(self, holder: str) -> None:
        self._files.fuse.tick()
        self.on_unpin()
        self.pinned.pop(holder, None)
        self._files.fuse.tick()

    async def make_children(
        self, holder: str, paths: Callable[[DiskGeometry], Path]
    ) -> tuple[tuple[DiskGeometry, Path], ...]:
        made, sequence = [], self.pinned[holder]
        for disk in self.machine.disks:
            geometry = DiskGeometry(disk.disk_id, disk.name, disk.size, disk.logical_sector_size)
            path = paths(geometry)
            with self._files.create(path) as file:
                if self.error is not None:
                    raise self.error
                file.write(f"{disk.disk_id} at {sequence}".encode(), 0)
            made.append((geometry, path))
        self.made.append(sequence)
        return tuple(made)
