"""Where the disks of a rehearsal stand: one folder of its own, named by nothing that a peer chose."""

import re
from pathlib import Path

from agent.failover.outcome import RehearsalError
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files
from replikera.ports.workers import Worker

SPARE_BYTES = 16 * 1024 * 1024
"""Free on a volume before disks are recovered to it; what the disks need is checked by their writer."""

_FOLDER = "rehearsals"
_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")
_MAX_STEM = 100


class DiskNames:
    """Gives every disk of one machine a file of its own, named after the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_id: dict[str, Path] = {}

    def path(self, disk: DiskGeometry) -> Path:
        """Return the disk's path; the same disk has the same path."""
        known = self._by_id.get(disk.disk_id)
        if known is None:
            known = self._by_id[disk.disk_id] = self._folder / self._free_name(disk.name)
        return known

    def _free_name(self, name: str) -> str:
        # The name comes from another host: only its last part counts, and only harmless characters.
        last = re.split(r"[/\\]", name)[-1]
        stem = _UNSAFE.sub("_", Path(last).stem).strip(" .")[:_MAX_STEM] or "disk"
        taken = {path.name.casefold() for path in self._by_id.values()}
        candidate, number = f"{stem}.vhdx", 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{stem}-{number}.vhdx"
        return candidate


class DiskFolders:
    """The folders of all rehearsals under the hypervisor's storage."""

    def __init__(self, files: Files, worker: Worker, storage_path: Path) -> None:
        self._files = files
        self._worker = worker
        self._root = storage_path / _FOLDER

    def path(self, rehearsal_id: str) -> Path:
        """Return the folder of a rehearsal."""
        return self._root / rehearsal_id

    async def prepare(self, rehearsal_id: str) -> Path:
        """Create the folder on a volume that is not full. Raises `RehearsalError` ("disk-full")."""
        return await self._worker.run(self._prepare, self.path(rehearsal_id))

    async def listing(self, rehearsal_id: str) -> tuple[Path, ...]:
        """Return the files of a rehearsal, and the folder itself last; nothing where it is gone."""
        return await self._worker.run(self._listing, self.path(rehearsal_id))

    async def remove(self, rehearsal_id: str) -> None:
        """Remove the folder and what is in it; a missing one is no error."""
        await self._worker.run(self._remove, self.path(rehearsal_id))

    def _prepare(self, folder: Path) -> Path:
        self._files.make_directory(folder)
        self._files.sync_directory(folder.parent)
        free = self._files.free_space(folder)
        if free < SPARE_BYTES:
            raise disk_full(folder, f"{free} bytes are free")
        return folder

    def _listing(self, folder: Path) -> tuple[Path, ...]:
        if self._files.status(folder) is None:
            return ()
        return (*(folder / name for name in self._files.list_directory(folder)), folder)

    def _remove(self, folder: Path) -> None:
        if self._files.status(folder) is None:
            return
        self._files.remove_tree(folder)
        self._files.sync_directory(folder.parent)


def disk_full(folder: Path | str, problem: str) -> RehearsalError:
    """Return the error that says the volume of `folder` has no room."""
    return RehearsalError(
        "disk-full",
        f"The volume of {folder} has no room for the recovered disks: {problem}.",
        "Free space there, or move the host's storage folder to a larger volume, and start again.",
    )
