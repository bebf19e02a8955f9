"""Earlier states of a machine's disks: copied aside on request, and put back.

states/<name>/ has one `<disk id>.vhdx` for every disk, and state.json once it is complete. What is put back was not
written through the tracking logs, so the machine's session is broken off first, durably: a hypervisor that applies a
checkpoint forgets as well.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from pydantic.dataclasses import dataclass

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import copy_sparsely, replace_by_copy
from agent.hypervisor.simulated.machine_folder import MachineFolder, bad_disk, examine_disks
from agent.hypervisor.simulated.machine_saving import save_machine
from agent.hypervisor.simulated.state import DiskIdentity, MachineFile, StateFile
from replikera.durable import make_directory_durably, remove_durably
from replikera.ports.files import Files

SAVED_FILE = "state.json"
REVERTED_FILE = "reverted.json"


@dataclass(frozen=True, slots=True, config=state.STRICT)
class SavedFile:
    """state.json of one saved state: the disks that it has."""

    identities: tuple[DiskIdentity, ...]


@dataclass(frozen=True, slots=True, config=state.STRICT)
class RevertedFile:
    """reverted.json: the state that the machine was put back to last, each time with an id of its own."""

    revert_id: str
    name: str


SAVED = StateFile(SavedFile)
REVERTED = StateFile(RevertedFile)


class SavedStates:
    """Saves and brings back states of machines of one host. All calls block. Raises `HypervisorError`."""

    def __init__(self, files: Files, host: HostFolder, effects: Effects) -> None:
        self._files = files
        self._host = host
        self._effects = effects

    def save(self, machine: str, name: str) -> None:
        """Copy the machine's disks aside, between two writes of its guest; a state of that name is replaced."""
        folder = self._host.get_by_name(machine)
        with folder.lock():
            described = folder.read()
            place = _place(folder, name)
            make_directory_durably(self._files, place)
            remove_durably(self._files, place / SAVED_FILE)
            copies = [place / f"{disk.disk_id}.vhdx" for disk in described.description.disks]
            for source, copy in zip(folder.disk_paths(described), copies, strict=True):
                self._copy(source, copy)
            identities, _ = examine_disks(self._files, described, copies)
            saved = SavedFile(identities)
            evidence = Evidence(place / SAVED_FILE, SAVED.encode(saved))
            with self._making("state-saved", folder, described, evidence):
                SAVED.save(self._files, place / SAVED_FILE, saved)

    def revert(self, machine: str, name: str) -> None:
        """Put a stopped machine's disks back to a saved state. May be done again after it was cut off."""
        with self._host.lock():
            self._effects.settle(self._host.root)
            folder = self._host.get_by_name(machine)
            with folder.lock():
                described = folder.read()
                folder.check_stopped(described)
                saved = self._load(folder, described, name)
                folder.session.break_off(folder.boot_id)
                self._put_back(folder, described, _place(folder, name))
                self._describe(folder, described, saved)
                done = RevertedFile(folder.randomness.uuid(), name)
                path = folder.path / "states" / REVERTED_FILE
                with self._making(
                    "machine-reverted", folder, described, Evidence(path, REVERTED.encode(done))
                ):
                    REVERTED.save(self._files, path, done)

    def _put_back(self, folder: MachineFolder, described: MachineFile, place: Path) -> None:
        disks = zip(described.description.disks, folder.disk_paths(described), strict=True)
        for disk, path in disks:
            try:
                replace_by_copy(self._files, path, place / f"{disk.disk_id}.vhdx")
            except OSError as error:
                raise bad_disk(path, error) from error

    def _describe(self, folder: MachineFolder, described: MachineFile, saved: SavedFile) -> None:
        changed = described.with_sizes({each.disk_id: each.size for each in saved.identities})
        if changed != described:
            save_machine(folder, changed, self._effects, "disk-resized", described.tag)

    def _load(self, folder: MachineFolder, described: MachineFile, name: str) -> SavedFile:
        saved = SAVED.load(self._files, _place(folder, name) / SAVED_FILE)
        if saved is None:
            raise HypervisorError(
                "unknown-state",
                f"Machine {described.description.name} has no saved state {name}.",
                "Save one first with `replikera-agent simulate save-state`.",
            )
        present = {disk.disk_id for disk in described.description.disks}
        if {each.disk_id for each in saved.identities} != present:
            raise HypervisorError(
                "other-disks",
                f"State {name} of {described.description.name} was saved with other disks.",
                "Give the machine the disks back that it had, or save a new state.",
            )
        return saved

    def _copy(self, source: Path, copy: Path) -> None:
        try:
            if self._files.status(copy) is not None:
                self._files.remove(copy)
            copy_sparsely(self._files, source, copy)
        except OSError as error:
            raise bad_disk(source, error) from error

    def _making(
        self, effect: str, folder: MachineFolder, described: MachineFile, evidence: Evidence
    ) -> AbstractContextManager[None]:
        machine_id = described.description.machine_id
        return self._effects.making(folder.path, effect, machine_id, described.tag, evidence)


def _place(folder: MachineFolder, name: str) -> Path:
    return folder.path / "states" / state.check_file_name("name of a state", name)
