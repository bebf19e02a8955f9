"""Disks that come to a machine as copies of somebody's files; the originals are only read.

A differencing disk comes with what its parents hold, as one standalone disk: a copy in another folder would not find
them, and here every disk of a machine stands alone.
"""

from pathlib import Path

from agent.hypervisor.simulated.live_disks import copy_sparsely
from agent.hypervisor.simulated.machine_folder import bad_disk, open_disk
from replikera.durable import TEMPORARY_SUFFIX
from replikera.machine import Disk
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import ImageKind, VhdxError, create_image

_CONTROLLER = "scsi"
_PIECE = 1 << 20


class NewDisks:
    """Copies and describes disk files. Blocks. Raises `HypervisorError` (code "bad-disk")."""

    def __init__(self, files: Files, randomness: Randomness) -> None:
        self._files = files
        self._randomness = randomness

    def check(self, source: Path) -> None:
        """Refuse a file that no machine here can be protected with."""
        open_disk(self._files, source).close()

    def copy(self, source: Path, folder: Path) -> Path:
        """Copy a file into a folder, durably, under its name or, where that is taken, one with a number before it."""
        self._files.make_directory(folder)
        copy = self._free_name(folder, source.name)
        temporary = copy.with_name(copy.name + TEMPORARY_SUFFIX)
        try:
            if self._files.status(temporary) is not None:
                self._files.remove(temporary)
            self._fill(source, temporary)
            self._files.replace(temporary, copy)
            self._files.sync_directory(folder)
        except (VhdxError, OSError) as error:
            raise bad_disk(source, error) from error
        return copy

    def describe(self, path: Path, location: int, storage_class: str) -> Disk:
        """Return the new disk that a file is, at a place of the machine's controller."""
        with open_disk(self._files, path) as image:
            return Disk(
                disk_id=self._randomness.uuid(),
                name=path.name,
                size=image.size,
                logical_sector_size=image.logical_sector_size,
                controller=_CONTROLLER,
                controller_number=0,
                location=location,
                storage_class=storage_class,
            )

    def _fill(self, source: Path, target: Path) -> None:
        with open_disk(self._files, source) as image:
            if image.kind is not ImageKind.DIFFERENCING:
                copy_sparsely(self._files, source, target)
                return
            with (
                self._files.create(target) as file,
                create_image(
                    file,
                    size=image.size,
                    logical_sector_size=image.logical_sector_size,
                    randomness=self._randomness,
                ) as copy,
            ):
                buffer = memoryview(bytearray(_PIECE))
                for offset, length in image.stored_extents().split(_PIECE):
                    image.read_into(buffer[:length], offset)
                    copy.write(buffer[:length], offset)

    def _free_name(self, folder: Path, name: str) -> Path:
        taken = set(self._files.list_directory(folder))
        number = 0
        free = name
        while free in taken:
            number += 1
            free = f"{number}-{name}"
        return folder / free
