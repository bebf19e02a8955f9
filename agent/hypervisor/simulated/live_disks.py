"""The disks of a running machine: written in bursts that a freeze never cuts in two.

Freezing a machine gives its disk files a second name. So the writer looks, before each burst and under the machine's
lock, whether a file has another name now; if it has, the writer goes on in a sparse copy under the live name, and what
was frozen is never written again. A burst records its ranges in the tracking log before it writes, and is flushed
before the lock goes: a file frozen between bursts opens cleanly. Whoever has the disks so has the machine's tracking
session open, and closes it where the last burst is known to have been whole.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from agent.hypervisor.simulated.machine_folder import (
    MachineFolder,
    bad_disk,
    examine_disks,
    open_disk,
)
from replikera.blocks.extents import Extents
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files
from replikera.vhdx import Image, VhdxError

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for one disk, named by its place in the machine."""

    disk: int
    offset: int
    data: bytes


class LiveDisks:
    """All disks of a machine, opened for its guest. One writer a machine: whoever holds the guest's lock."""

    def __init__(self, machine: MachineFolder) -> None:
        self._machine = machine
        described = machine.read()
        self._paths = machine.disk_paths(described)
        self._disk_ids = [disk.disk_id for disk in described.description.disks]
        self._images: list[Image] = []
        self._is_sound = True
        self._is_closed = False
        try:
            with machine.lock():
                self._images.extend(self._open(path) for path in self._paths)
                machine.session.begin(_contents(self._disk_ids, self._images), machine.boot_id)
        except BaseException:
            self._close_images()
            raise

    @property
    def images(self) -> Sequence[Image]:
        """Return the disks for reading."""
        return self._images

    def write(self, *groups: Sequence[Write]) -> None:
        """Write one burst; each group is durable before the next begins.

        Raises `HypervisorError`; the disks are then as after a power cut, and the object is of no more use.
        """
        self._is_sound = False
        with self._machine.lock():
            for index in sorted({write.disk for group in groups for write in group}):
                self._leave_frozen_file(index)
            sizes = [image.size for image in self._images]
            self._machine.tracking.append(_ranges(groups), sizes)
            for group in groups:
                self._write_group(group)
            # What is frozen now opens cleanly, also for readers that replay no log.
            self._each({write.disk for group in groups for write in group}, Image.settle)
        self._is_sound = True

    def close(self) -> None:
        """Close the files and the tracking session; what was written is flushed already. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._machine.lock():
            self._close_images()
            if self._is_sound:
                described = self._machine.read()
                _, contents = examine_disks(self._machine.files, described, self._paths)
                self._machine.session.end(contents, self._machine.boot_id)

    def _close_images(self) -> None:
        for image in self._images:
            image.close()

    def _write_group(self, group: Sequence[Write]) -> None:
        for write in group:
            try:
                self._images[write.disk].write(write.data, write.offset)
            except (VhdxError, OSError) as error:
                raise bad_disk(self._paths[write.disk], error) from error
        self._each({write.disk for write in group}, Image.flush)

    def _each(self, disks: Iterable[int], act: Callable[[Image], None]) -> None:
        for index in disks:
            try:
                act(self._images[index])
            except (VhdxError, OSError) as error:
                raise bad_disk(self._paths[index], error) from error

    def _leave_frozen_file(self, index: int) -> None:
        path = self._paths[index]
        status = self._machine.files.status(path)
        if status is not None and status.link_count == 1:
            return
        self._images[index].close()
        try:
            replace_by_copy(self._machine.files, path)
        except OSError as error:
            raise bad_disk(path, error) from error
        self._images[index] = self._open(path)

    def _open(self, path: Path) -> Image:
        return open_disk(self._machine.files, path, self._machine.randomness)


def replace_by_copy(files: Files, path: Path, source: Path | None = None) -> None:
    """Put a copy of `source`, or of the file itself, under its name, durably; other names keep the file as it is."""
    copy = path.with_name(path.name + TEMPORARY_SUFFIX)
    if files.status(copy) is not None:
        files.remove(copy)
    copy_sparsely(files, source or path, copy)
    files.replace(copy, path)
    files.sync_directory(path.parent)


def _contents(disk_ids: Sequence[str], images: Sequence[Image]) -> dict[str, str]:
    found = zip(disk_ids, images, strict=True)
    return {disk_id: str(image.data_write_id) for disk_id, image in found}


def copy_sparsely(files: Files, source: Path, target: Path) -> None:
    """Copy a file into a new one, holes as holes, and make the content durable."""
    buffer = memoryview(bytearray(_COPY_BYTES))
    with files.open_read(source) as reader, files.create(target) as writer:
        writer.truncate(reader.size())
        for start, length in reader.data_ranges():
            for offset in range(start, start + length, _COPY_BYTES):
                wanted = min(_COPY_BYTES, start + length - offset)
                got = reader.read_into(buffer[:wanted], offset)
                writer.write(buffer[:got], offset)
        writer.sync()


def _ranges(groups: Iterable[Sequence[Write]]) -> dict[int, Extents]:
    writes = sorted(
        (write for group in groups for write in group), key=lambda write: (write.disk, write.offset)
    )
    return {
        disk: Extents.of((write.offset, len(write.data)) for write in members)
        for disk, members in groupby(writes, key=lambda write: write.disk)
    }
