"""The folder of one simulated machine: its description, its disks, its locks.

machine.json, disks/*.vhdx, tracking/ (<n>.ranges, session.json), views/<id>/, marks/<tag>.json, states/<name>/,
power.json, guest.json, guest.log, what the guest is asked for (quiesce.json, shutdown.json) and answers
(quiesced.json), `lock` (held for every change of disks, tracking, views, marks and power) and guest.lock (held by the
guest as long as it lives: that, and no process id, is what "running" means).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import boot, state
from agent.hypervisor.simulated.state import DiskIdentity, MachineFile
from agent.hypervisor.simulated.tracking import TrackingLogs
from agent.hypervisor.simulated.tracking_session import TrackingSession
from replikera.machine import MAX_DISKS
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import Image, VhdxError, open_image, open_path

MACHINE_FILE = "machine.json"


class MachineFolder:
    """One machine's folder; nothing of it is kept in memory."""

    def __init__(self, files: Files, randomness: Randomness, path: Path) -> None:
        self.files = files
        self.randomness = randomness
        self.path = path
        self.tracking = TrackingLogs(files, randomness, path / "tracking")
        self.session = TrackingSession(files, path / "tracking", self.tracking)

    @property
    def host_path(self) -> Path:
        """Return the folder of the machine's host: the machine's own is <host>/machines/<name>."""
        return self.path.parent.parent

    @property
    def boot_id(self) -> str:
        """Return which start of the host this is."""
        return boot.boot_id(self.files, self.host_path)

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

    def check_stopped(self, machine: MachineFile) -> None:
        """Refuse what cannot be done to a running machine. Raises `HypervisorError` (code "still-running")."""
        if self.is_running():
            name = machine.description.name
            raise HypervisorError(
                "still-running", f"Machine {name} is running.", "Stop it, then try again."
            )


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
    """Open a disk file, a differencing one with its parents, writable where `randomness` is given.

    Raises `HypervisorError` (code "bad-disk").
    """
    try:
        return open_path(files, path, writable=randomness is not None, randomness=randomness)
    except (VhdxError, OSError) as error:
        raise bad_disk(path, error) from error


def open_standalone(files: Files, path: Path) -> Image:
    """Open a disk file for reading; a differencing one is refused, with whatever parents it has.

    A copy or a second name of its file, in another folder, need not find its parents. Raises `HypervisorError`
    (code "bad-disk").
    """
    try:
        file = files.open_read(path)
        try:
            return open_image(file)
        except BaseException:
            file.close()
            raise
    except (VhdxError, OSError) as error:
        raise bad_disk(path, error) from error


def examine_disks(
    files: Files, machine: MachineFile, paths: Sequence[Path]
) -> tuple[tuple[DiskIdentity, ...], dict[str, str]]:
    """Return what the disk files are now, and by disk id which content each has.

    Raises `HypervisorError` (code "bad-disk").
    """
    identities, contents = [], {}
    for disk, path in zip(machine.description.disks, paths, strict=True):
        with open_standalone(files, path) as image:
            identities.append(DiskIdentity(disk.disk_id, image.disk_id, image.size))
            contents[disk.disk_id] = str(image.data_write_id)
    return tuple(identities), contents


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
