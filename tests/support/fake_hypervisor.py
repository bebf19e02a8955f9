"""A hypervisor in memory with one machine whose disks are byte arrays. It defines and starts no other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

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
    TrackingLostError,
    View,
)
from replikera.blocks.extents import Extents
from replikera.machine import Disk, MachineDescription
from replikera.ports.clock import Clock

MACHINE_ID = "machine-1"
_GRANULE = 4096


def describe(sizes: Mapping[str, int]) -> MachineDescription:
    disks = tuple(
        Disk(disk_id, f"{disk_id}.vhdx", size, 512, "scsi", 0, place)
        for place, (disk_id, size) in enumerate(sizes.items())
    )
    return MachineDescription(MACHINE_ID, "web", 2, 2, 1 << 30, "uefi", disks, ())


class FakeViewDisk:
    def __init__(self, data: bytes, extents: Extents) -> None:
        self._data = data
        self._extents = extents
        self.is_closed = False
        self.reads: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self._data)

    def data_extents(self) -> Extents:
        return self._extents

    def read(self, length: int, offset: int) -> bytes:
        if self.is_closed:
            raise HypervisorError("closed", "The disk is closed.", "Open it.")
        self.reads.append((length, offset))
        return self._data[offset : offset + length]

    def close(self) -> None:
        self.is_closed = True


@dataclass(repr=False)
class _Frozen:
    view: View
    disks: dict[str, bytes]
    position: int


@dataclass(repr=False)  # a failing test would print megabytes of disks
class FakeHypervisor:
    """`history` has the disks of every view ever taken, by the instant it was taken."""

    clock: Clock
    description: MachineDescription
    kind: str = "fake"
    minimum_copy_interval_s: float = 1.0
    storage_path: Path = Path("unused")
    disks: dict[str, bytearray] = field(default_factory=dict)
    history: dict[datetime, dict[str, bytes]] = field(default_factory=dict)
    opened: list[FakeViewDisk] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    before_freeze: Callable[[], None] = lambda: None
    after_call: Callable[[str], None] = lambda _name: None
    fallback: str = ""
    growth: Callable[[View], int] = lambda _view: 0
    asked: list[Consistency] = field(default_factory=list)
    changed_filter: Callable[[Mapping[str, Extents]], Mapping[str, Extents]] = lambda found: found
    host_networks: dict[str, Network] = field(default_factory=dict)
    starts_with_host: bool = True
    auto_start_blocks: set[str] = field(default_factory=set)
    _writes: list[tuple[str, int, int]] = field(default_factory=list)
    _views: dict[str, _Frozen] = field(default_factory=dict)
    _marks: dict[str, tuple[Mark, int]] = field(default_factory=dict)
    _numbers: int = 0

    def __post_init__(self) -> None:
        for disk in self.description.disks:
            self.disks.setdefault(disk.disk_id, bytearray(disk.size))

    def write(self, disk_id: str, offset: int, data: bytes) -> None:
        self.disks[disk_id][offset : offset + len(data)] = data
        self._writes.append((disk_id, offset, len(data)))

    def resize(self, disk_id: str, size: int) -> None:
        disks = tuple(
            replace(disk, size=size) if disk.disk_id == disk_id else disk
            for disk in self.description.disks
        )
        self.description = replace(self.description, disks=disks)
        self.disks[disk_id] = self.disks[disk_id].ljust(size, b"\0")

    def lose_views(self) -> None:
        self._views.clear()

    def lose_marks(self) -> None:
        self._marks.clear()

    def replace_mark(self, tag: str, mark: Mark) -> None:
        self._marks[tag] = (mark, self._marks[tag][1])

    async def inventory(self) -> Inventory:
        return Inventory((self._machine(),), await self.networks())

    async def networks(self) -> tuple[Network, ...]:
        return tuple(self.host_networks.values())

    async def describe(self, machine_id: str) -> Machine:
        self._check_known(machine_id)
        return self._machine()

    async def freeze(
        self, machine_id: str, tag: str, consistency: Consistency = Consistency.CRASH
    ) -> View:
        self._call("freeze")
        self._check_known(machine_id)
        self.before_freeze()
        self._numbers += 1
        taken_at = self.clock.now() + timedelta(microseconds=self._numbers)
        self.asked.append(consistency)
        is_application = consistency is Consistency.APPLICATION
        view = View(
            f"view-{self._numbers}",
            machine_id,
            tag,
            self.description,
            taken_at,
            Consistency.CRASH if self.fallback else consistency,
            self.fallback if is_application else "",
        )
        disks = {disk_id: bytes(data) for disk_id, data in self.disks.items()}
        self._views[view.view_id] = _Frozen(view, disks, len(self._writes))
        self.history[taken_at] = disks
        self.after_call("freeze")
        return view

    async def views(self, tag: str) -> tuple[View, ...]:
        self._call("views")
        return tuple(frozen.view for frozen in self._views.values() if frozen.view.tag == tag)

    async def all_views(self) -> tuple[View, ...]:
        return tuple(frozen.view for frozen in self._views.values())

    async def marks(self) -> tuple[Mark, ...]:
        return tuple(mark for mark, _ in self._marks.values())

    async def view_growth(self, view: View) -> int:
        self._call("view_growth")
        return self.growth(view)

    async def changed_ranges(self, view: View, mark: Mark) -> Mapping[str, Extents]:
        self._call("changed_ranges")
        kept = self._marks.get(mark.tag)
        if kept is None or kept[0] != mark:
            raise TrackingLostError("tracking-lost", "The mark is gone.", "Resynchronise.")
        writes = self._writes[kept[1] : self._frozen(view).position]
        found = {
            disk.disk_id: Extents.of(
                (offset, length) for disk_id, offset, length in writes if disk_id == disk.disk_id
            ).align(_GRANULE, disk.size)
            for disk in view.description.disks
        }
        return self.changed_filter(found)

    async def open_disk(self, view: View, disk_id: str) -> FakeViewDisk:
        self._call("open_disk")
        frozen = self._frozen(view)
        before = self._writes[: frozen.position]
        written = Extents.of((at, length) for name, at, length in before if name == disk_id)
        data = frozen.disks[disk_id]
        self.opened.append(FakeViewDisk(data, written.align(65536, len(data))))
        return self.opened[-1]

    async def keep(self, view: View) -> Mark:
        self._call("keep")
        frozen = self._views.pop(view.view_id, None)
        if frozen is not None:
            mark = Mark(view.view_id, view.machine_id, view.tag)
            self._marks[view.tag] = (mark, frozen.position)
        kept = self._marks.get(view.tag)
        if kept is None or kept[0].mark_id != view.view_id:
            raise self._unknown(view)
        self.after_call("keep")
        return kept[0]

    async def discard(self, view: View) -> None:
        self._call("discard")
        self._views.pop(view.view_id, None)
        self.after_call("discard")

    async def mark(self, tag: str) -> Mark | None:
        self._call("mark")
        kept = self._marks.get(tag)
        return kept[0] if kept else None

    async def drop_mark(self, mark: Mark) -> None:
        self._call("drop_mark")
        self._marks.pop(mark.tag, None)

    async def check_disk(self, path: Path) -> DiskCheck:
        raise NotImplementedError(path)

    async def define_machine(self, definition: MachineDefinition) -> str:
        raise NotImplementedError(definition)

    async def start(self, machine_id: str) -> None:
        raise NotImplementedError(machine_id)

    async def guest_health(self, machine_id: str) -> GuestHealth:
        raise NotImplementedError(machine_id)

    async def set_guest_address(self, machine_id: str, nic_id: str, address: GuestAddress) -> None:
        raise NotImplementedError(machine_id, nic_id, address)

    async def shut_down(self, machine_id: str) -> None:
        raise NotImplementedError(machine_id)

    async def detach_disks(self, machine_id: str) -> Machine:
        raise NotImplementedError(machine_id)

    async def attach_disks(self, machine_id: str, disk_paths: Mapping[str, Path]) -> Machine:
        raise NotImplementedError(machine_id, disk_paths)

    async def power_off(self, machine_id: str) -> None:
        raise NotImplementedError(machine_id)

    async def remove_machine(self, machine_id: str, tag: str) -> None:
        raise NotImplementedError(machine_id, tag)

    async def ensure_isolated_network(self, name: str, tag: str) -> Network:
        self._call("ensure_isolated_network")
        wanted = Network(name, is_isolated=True, subnets=(), tag=tag)
        if self.host_networks.setdefault(name, wanted) != wanted:
            raise HypervisorError("network-exists", f"{name} is another's.", "Choose another.")
        return wanted

    async def remove_isolated_network(self, name: str, tag: str) -> None:
        self._call("remove_isolated_network")
        found = self.host_networks.get(name)
        if found is not None and found.tag != tag:
            raise HypervisorError("not-ours", f"{name} is another's.", "Remove it by hand.")
        self.host_networks.pop(name, None)

    async def block_auto_start(self, machine_id: str, tag: str) -> Machine:
        self._call("block_auto_start")
        self.auto_start_blocks.add(tag)
        return await self.describe(machine_id)

    async def allow_auto_start(self, machine_id: str, tag: str) -> Machine:
        self._call("allow_auto_start")
        self.auto_start_blocks.discard(tag)
        return await self.describe(machine_id)

    def _frozen(self, view: View) -> _Frozen:
        if view.view_id not in self._views:
            raise self._unknown(view)
        return self._views[view.view_id]

    @staticmethod
    def _unknown(view: View) -> HypervisorError:
        return HypervisorError("unknown-view", f"No view {view.view_id}.", "Take another.")

    def _machine(self) -> Machine:
        starts = self.starts_with_host and not self.auto_start_blocks
        return Machine(self.description, is_running=True, tag="", starts_with_host=starts)

    @staticmethod
    def _check_known(machine_id: str) -> None:
        if machine_id != MACHINE_ID:
            raise HypervisorError("unknown-machine", f"No machine {machine_id}.", "Choose one.")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)
