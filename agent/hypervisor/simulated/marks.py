"""The marks of one machine: one small file a tag, replaced as a whole.

Whatever changes one is called under the machine's lock.
"""

from pathlib import Path

from agent.hypervisor.interface import Mark
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import MarkFile, Position
from replikera.durable import make_directory_durably, remove_durably

_SUFFIX = ".json"


class Marks:
    """The marks of one machine. All calls block."""

    def __init__(self, machine: MachineFolder, effects: Effects) -> None:
        self._machine = machine
        self._files = machine.files
        self._effects = effects

    def all(self) -> list[Mark]:
        """Return all marks."""
        return [self.shown(mark) for mark in map(self.load, self._tags()) if mark is not None]

    def positions(self) -> list[Position]:
        """Return where the marks are in the tracking logs."""
        return [mark.position for mark in map(self.load, self._tags()) if mark is not None]

    def load(self, tag: str) -> MarkFile | None:
        """Return what is recorded of a tag's mark, None where there is none."""
        return state.MARK.load(self._files, self._path(tag))

    def shown(self, mark: MarkFile) -> Mark:
        """Return a mark as callers see it."""
        machine_id = self._machine.read().description.machine_id
        return Mark(mark_id=mark.mark_id, machine_id=machine_id, tag=mark.tag)

    def move(self, mark: MarkFile) -> None:
        """Put the mark of its tag where this one is."""
        if self.load(mark.tag) == mark:
            return
        make_directory_durably(self._files, self._machine.marks_path)
        path = self._path(mark.tag)
        evidence = Evidence(path, state.MARK.encode(mark))
        with self._effects.making(
            self._machine.path, "mark-moved", mark.mark_id, mark.tag, evidence
        ):
            state.MARK.save(self._files, path, mark)

    def drop(self, mark: Mark) -> None:
        """Remove a mark; a newer one of the same tag stays."""
        recorded = self.load(mark.tag)
        if recorded is None or recorded.mark_id != mark.mark_id:
            return
        path = self._path(mark.tag)
        gone = Evidence(path, None)
        with self._effects.making(self._machine.path, "mark-dropped", mark.mark_id, mark.tag, gone):
            remove_durably(self._files, path)

    def _tags(self) -> list[str]:
        names = self._files.list_directory(self._machine.marks_path)
        return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]

    def _path(self, tag: str) -> Path:
        name = state.check_file_name("tag of a mark", tag) + _SUFFIX
        return self._machine.marks_path / name
