"""The folder of one simulated machine: its description, its disks, its locks.

machine.json, disks/*.vhdx, tracking/<n>.ranges, views/<id>/, marks/<tag>.json, power.json, guest.json, guest.log,
`lock` (held for every change of disks, tracking, views, marks and power) and guest.lock (held by the guest as long as
it lives: that, and no process id, is what "running" means).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.state import DiskIdentity, MachineFile
from agent.hypervisor.simulated.tracking import TrackingLogs
from replikera.machine import MAX_DISKS
from replikera.ports.files import File, Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import Image, VhdxError, open_image

MACHINE_FILE = "machine.json"


class MachineFolder:
    """One machine's folder; nothing of it is kept in memory."""

    def __init__(self, files: Files, randomness: Randomness, path: Path) -> None:
        self.files = files
        self.randomness = randomness
        self.path = path
        self.tracking = TrackingLogs(files, randomness, path / "tracking")

    @property
    def views_path(self) -> Path:
        """Return where the views are."""
        return self.path / "views"

    @property
    def marks_path(self) -> Path:
        """Return where the marks are."""
        return self.path / "marks"

    @property
    def guest_lock(self) -> Path:
        """Return the file that names the guest's lock."""
        return self.path / "guest.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the machine's lock. Raises `HypervisorError` where the machine is gone."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.files.lock(self.path / "lock"))
            except FileNotFoundError as error:
                raise unknown_machine(self.path.name) from error
            yield

    def read(self) -> MachineFile:
        """Return machine.json. Raises `HypervisorError` (code "unknown-machine")."""
        machine = self.read_if_there()
        if machine is None:
            raise unknown_machine(self.path.name)
        return machine

    def read_if_there(self) -> MachineFile | None:
        """Return machine.json, None where the folder holds no machine."""
        path = self.path / MACHINE_FILE
        machine = state.MACHINE.load(self.files, path)
        if machine is not None:
            _check(machine, path)
        return machine

    def is_running(self) -> bool:
        """Tell whether a guest lives."""
        return self.files.is_locked(self.guest_lock)

    def disk_paths(self, machine: MachineFile) -> tuple[Path, ...]:
        """Return the files of the machine's disks, in the description's order."""
        return tuple(self.path / path for path in machine.disk_paths)


def unknown_machine(name: str) -> HypervisorError:
    """Return the error for a machine that is not there."""
    return HypervisorError(
        "unknown-machine",
        f"There is no machine {name} on this host.",
        "Look at the host's inventory; the machine may have been removed or renamed.",
    )


def bad_disk(path: Path, error: VhdxError | OSError) -> HypervisorError:
    """Return the error for a disk file that cannot be used."""
    if isinstance(error, VhdxError):
        return HypervisorError("bad-disk", f"{error.path}: {error.problem}.", error.remedy)
    return HypervisorError(
        "bad-disk",
        f"Disk file {path} cannot be used: {error.strerror or error}.",
        "Check that the file is there, readable, and on a volume with free space.",
    )


def open_disk(files: Files, path: Path, randomness: Randomness | None = None) -> Image:
    """Open a disk file, writable where `randomness` is given. Raises `HypervisorError` (code "bad-disk")."""
    try:
        file = files.open_read(path) if randomness is None else files.open_write(path)
        return _image_of(file, randomness)
    except (VhdxError, OSError) as error:
        raise bad_disk(path, error) from error


def examine_disks(
    files: Files, machine: MachineFile, paths: Sequence[Path]
) -> tuple[DiskIdentity, ...]:
    """Return what the disk files are now. Raises `HypervisorError` (code "bad-disk")."""
    identities = []
    for disk, path in zip(machine.description.disks, paths, strict=True):
        with open_disk(files, path) as image:
            identities.append(DiskIdentity(disk.disk_id, image.disk_id, image.size))
    return tuple(identities)


def _image_of(file: File, randomness: Randomness | None) -> Image:
    try:
        return open_image(file, writable=randomness is not None, randomness=randomness)
    except BaseException:
        file.close()
        raise


def _check(machine: MachineFile, path: Path) -> None:
    disks = machine.description.disks
    problem = ""
    if len(disks) != len(machine.disk_paths):
        problem = f"{len(disks)} disks, but {len(machine.disk_paths)} paths"
    elif len(disks) > MAX_DISKS:
        problem = f"{len(disks)} disks, at most {MAX_DISKS} are possible"
    elif len({disk.disk_id for disk in disks}) != len(disks):
        problem = "two disks have the same id"
    if problem:
        raise HypervisorError("bad-state-file", f"{path}: {problem}.", "Correct the file.")
