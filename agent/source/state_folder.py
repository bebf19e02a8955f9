"""The state files of all protections whose source is this host: one document for each."""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agent.source.errors import StateFileError, first_problem
from agent.source.state import VERSION, SourceState, contradiction
from replikera.durable import TEMPORARY_SUFFIX, remove_durably, write_durably
from replikera.ports.files import Files

MAX_STATE_BYTES = 4 << 20
"""Four sets of ranges take 2 MiB, three lists of 64 disks with long names 150 KiB."""

_SUFFIX = ".json"
_ADAPTER = TypeAdapter(SourceState)


class StateFolder:
    """All calls block."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def prepare(self) -> None:
        """Create the folder where it is missing."""
        self._files.make_directory(self._folder)
        self._files.sync_directory(self._folder.parent)

    def protection_ids(self) -> list[str]:
        """Return the protections that have a file; what a crash left half-written is not one."""
        names = self._files.list_directory(self._folder)
        return [
            name.removesuffix(_SUFFIX)
            for name in names
            if name.endswith(_SUFFIX) and not name.endswith(TEMPORARY_SUFFIX)
        ]

    def save(self, state: SourceState) -> None:
        """Replace a protection's state, atomically and durably."""
        data = _ADAPTER.dump_json(state)
        if len(data) > MAX_STATE_BYTES:
            raise AssertionError(f"a state of {len(data)} bytes")
        write_durably(self._files, self._path(state.assignment.protection_id), data)

    def load(self, protection_id: str) -> SourceState | None:
        """Return a protection's state, None where it has none. Raises `StateFileError`."""
        path = self._path(protection_id)
        if self._files.status(path) is None:
            return None
        try:
            data = self._files.read_bytes(path, limit=MAX_STATE_BYTES)
            _check_version(data)
            state = _ADAPTER.validate_json(data, strict=True)
            problem = contradiction(state, protection_id)
        except (ValidationError, ValueError, RecursionError, OSError) as error:
            raise _damaged(path, first_problem(error)) from error
        if problem:
            raise _damaged(path, problem)
        return state

    def remove(self, protection_id: str) -> None:
        """Remove a protection's state, durably; a missing one is no error."""
        remove_durably(self._files, self._path(protection_id))

    def _path(self, protection_id: str) -> Path:
        return self._folder / (protection_id + _SUFFIX)


def _check_version(data: bytes) -> None:
    # Before the rest: another version has other fields, and the first of them would be the complaint.
    document = json.loads(data)
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION:
        raise ValueError(f"version {version}, this agent knows {VERSION}")


def _damaged(path: Path, problem: str) -> StateFileError:
    return StateFileError(
        "bad-state-file",
        f"{path} is not the state of a replication: {problem}.",
        "Restore the file and restart the agent, or disable and enable the protection.",
    )
