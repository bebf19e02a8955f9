"""A simulated host in a test's folder, and a way to end the process that works on it at any step."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from typing_extensions import override

from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.kept_views import KeptViews
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from agent.hypervisor.simulated.machine_creation import MachineCreation
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import NetworkEntry
from agent.hypervisor.simulated.views import Views
from replikera.ports.files import Buffer, File, Files
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_image, open_image

P = ParamSpec("P")
T = TypeVar("T")

MIB = 1 << 20
START = datetime(2026, 3, 1, tzinfo=UTC)
NETWORKS = (NetworkEntry("production", False, ("10.0.0.0/24",)), NetworkEntry("bubble", True, ()))


class SteppingClock:
    """Every look at the wall clock is a second later; sleeping takes no time."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        self.elapsed += 1
        return START + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += max(0.0, seconds)


class InlineWorker:
    """Runs calls where they are made."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)


class KilledError(BaseException):
    """The process was killed here."""


class MortalFiles(SystemFiles):
    """Dies before the n-th change of a name; a tree that is being removed then is half gone."""

    def __init__(self, dies_at: int) -> None:
        self._left = dies_at

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise KilledError

    @override
    def create(self, path: Path, *, mode: int = 0o600) -> File:
        self._step()
        return super().create(path, mode=mode)

    @override
    def append(self, path: Path, data: Buffer) -> None:
        self._step()
        super().append(path, data)

    @override
    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    @override
    def link(self, source: Path, target: Path) -> None:
        self._step()
        super().link(source, target)

    @override
    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    @override
    def remove_tree(self, path: Path) -> None:
        self._step()
        for name in self.list_directory(path)[:1]:
            child = path / name
            if not child.is_dir():
                super().remove(child)
        self._step()
        super().remove_tree(path)

    @override
    def make_directory(self, path: Path) -> None:
        self._step()
        super().make_directory(path)

    @override
    def sync_directory(self, path: Path) -> None:
        self._step()
        super().sync_directory(path)


@dataclass(frozen=True)
class Bed:
    """A host with networks "production" and "bubble" (isolated) and no machine."""

    folder: Path
    files: Files
    clock: SteppingClock
    host: HostFolder

    @property
    def effects(self) -> Effects:
        return Effects(self.files, self.clock, SystemRandomness(), self.host.root)

    def logged(self) -> list[tuple[str, str, str]]:
        """Return what the log of effects says: effect, object, tag."""
        log = self.host.root / "effects.log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [(line["effect"], line["object"], line["tag"]) for line in lines]

    def views(
        self, machine: MachineFolder, *, keep_views: int = 0, files: Files | None = None
    ) -> Views:
        """Return the views of a machine as another process would see them, through its own `files`."""
        files = files or self.files
        return Views(
            MachineFolder(files, SystemRandomness(), machine.path),
            self.clock,
            Effects(files, self.clock, SystemRandomness(), self.host.root),
            KeptViews(files, self.host.root / "kept-views", keep_views),
        )

    def machine(
        self, name: str = "web", *, disks: Sequence[Path] = (), starts_with_host: bool = False
    ) -> MachineFolder:
        """Create a machine; without `disks` it has one of 8 MiB."""
        chosen = disks or [make_disk(self.folder / f"{name}.vhdx", {0: b"boot" * 128})]
        creation = MachineCreation(self.files, SystemRandomness(), self.host)
        return creation.create(name, chosen, ["production"], starts_with_host=starts_with_host)


def make_bed(folder: Path) -> Bed:
    """Make the host."""
    files = SystemFiles()
    host = HostFolder(files, SystemRandomness(), folder / "host")
    host.create(NETWORKS)
    return Bed(folder, files, SteppingClock(), host)


def make_disk(
    path: Path, content: Mapping[int, bytes] | None = None, *, size: int = 8 * MIB
) -> Path:
    """Write a dynamic VHDX with `content` by offset."""
    with create_image(
        SystemFiles().create(path), size=size, block_size=MIB, randomness=SystemRandomness()
    ) as image:
        for offset, data in (content or {}).items():
            image.write(data, offset)
    return path


def read_disk(path: Path) -> bytes:
    """Return all bytes of a disk."""
    with open_image(SystemFiles().open_read(path)) as image:
        return image.read(image.size, 0)


def write_live(machine: MachineFolder, *writes: Write) -> None:
    """Write one burst as the machine's guest would."""
    disks = LiveDisks(machine)
    try:
        disks.write(writes)
    finally:
        disks.close()


def live_disk(machine: MachineFolder, index: int = 0) -> Path:
    """Return a machine's disk file."""
    return machine.disk_paths(machine.read())[index]
