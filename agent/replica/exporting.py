"""A disk of a point as a file of its own in the export folder, read back before anybody may take it for the disk.

The file has a hidden name until it is whole, durable and equal to the point: a crash leaves nothing that is believed,
and the repeated order begins anew. One that finds its file there, with the same content, has nothing left to do.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agent.replica.errors import ReplicaError, storage_errors
from agent.replica.images import DiskImage, NewImages
from agent.replica.point_digests import DiskDigest, PointDigests
from agent.replica.replica import Replica
from agent.replica.steps import run_steps
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.durable import TEMPORARY_SUFFIX
from replikera.export_names import ExportFormat
from replikera.ports.files import Files
from replikera.ports.workers import Worker
from replikera.vhdx import VhdxError

Progress = Callable[[str, int, int], None]
"""Takes a step, the bytes that are done of it, and all its bytes."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Which disk of which point, and the name of its file. The same order may come again."""

    order_id: str
    sequence: int
    disk: int
    file_name: str
    format: ExportFormat


@dataclass(frozen=True, slots=True)
class ExportedDisk:
    """A file in the export folder, and what was read back from it."""

    path: Path
    digest: DiskDigest


class PointExporter:
    """Writes one disk at a time: each is read twice and written once."""

    def __init__(
        self,
        files: Files,
        worker: Worker,
        exports: Path,
        formats: Mapping[ExportFormat, NewImages],
    ) -> None:
        self._files = files
        self._worker = worker
        self._exports = exports
        self._formats = formats
        self._turn = asyncio.Lock()

    async def export(
        self, replica: Replica, request: ExportRequest, progress: Progress
    ) -> ExportedDisk:
        """Return the file once it is durable and was read back as equal to the point. Raises `ReplicaError`."""
        async with self._turn:
            with replica.holding(request.sequence):
                return await self._export(replica, request, progress)

    async def _export(
        self, replica: Replica, request: ExportRequest, progress: Progress
    ) -> ExportedDisk:
        path = self._exports / request.file_name
        disk = replica.disk(request.sequence, request.disk)
        images = self._formats[request.format]
        expected = await replica.disk_digest(
            request.sequence,
            request.disk,
            lambda done, total: progress("read the point", done, total),
        )
        if await self._worker.run(self._files.status, path) is not None:
            if await self._read_back(path, disk, images, progress) != expected:
                raise _taken(path)
            return ExportedDisk(path, expected)
        temporary = path.with_name(f".{path.name}.{request.order_id}{TEMPORARY_SUFFIX}")
        await self._worker.run(self._remove, temporary)
        progress("write the disk", 0, 0)
        await replica.materialise_disk(request.sequence, request.disk, temporary, images)
        try:
            found = await self._read_back(temporary, disk, images, progress)
            await self._worker.run(self._publish, temporary, path, found == expected)
        except BaseException:
            await self._worker.run(self._remove, temporary)
            raise
        return ExportedDisk(path, expected)

    async def _read_back(
        self, path: Path, disk: DiskGeometry, images: NewImages, progress: Progress
    ) -> DiskDigest | None:
        """Return what a file holds, None where it is no such disk. Raises `OSError`."""
        digests = PointDigests((disk,))
        try:
            while digests.digests is None:
                await run_steps(self._worker, _read_on(self._files, path, disk, images, digests))
                progress("read the file back", digests.done_bytes, digests.total_bytes)
        except (VhdxError, EOFError):
            return None
        return digests.digests[0]

    def _publish(self, temporary: Path, path: Path, is_equal: bool) -> None:
        if not is_equal:
            raise _differs(path)
        with storage_errors(path.parent):
            if self._files.status(path) is not None:
                raise _taken(path)
            self._files.replace(temporary, path)
            self._files.sync_directory(path.parent)

    def _remove(self, path: Path) -> None:
        if self._files.status(path) is not None:
            self._files.remove(path)


class _Written:
    """A disk in a file, read as the only disk of a point."""

    def __init__(self, image: DiskImage) -> None:
        self._image = image

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        del disk
        self._image.read_into(buffer, offset)

    def data_extents(self, disk: int) -> Extents:
        del disk
        return self._image.data_extents()


def _read_on(
    files: Files, path: Path, disk: DiskGeometry, images: NewImages, digests: PointDigests
) -> Generator[None]:
    """Read a slice of a file; opened anew for each, as it is closed by whoever ends the steps."""
    with (
        files.open_read(path) as file,
        closing(images.open(file, is_writable=False)) as image,
    ):
        if image.size != disk.size:
            raise EOFError(f"{path} is no disk of {disk.size} bytes")
        yield from digests.take(_Written(image))


def _taken(path: Path) -> ReplicaError:
    return ReplicaError(
        "file-exists",
        f"There is a file {path} already, and it does not hold this disk of this point.",
        "Choose another name, or remove the file on the target host.",
    )


def _differs(path: Path) -> ReplicaError:
    return ReplicaError(
        "export-differs",
        f"What was written for {path} was read back otherwise than the point is. It was removed.",
        "Look at the volume of the export folder, then export the point again.",
    )
