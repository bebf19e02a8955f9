"""A disk file made larger or smaller; the workload's records are found again on it.

A larger one grows in place, unless a view shares the file. A smaller one is a new file, for the format has no way to
cut one. Either may be done again after it was cut off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.chain import BrokenChainError, forward_for, forward_on
from agent.hypervisor.simulated.live_disks import replace_by_copy
from agent.hypervisor.simulated.machine_folder import bad_disk, open_disk
from replikera.blocks.extents import Extents
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import Image, ImageKind, VhdxError, create_fixed, create_image
from replikera.vhdx.layout import MAX_DISK_SIZE

_STEP_BYTES = 1 << 20
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Former:
    """A disk as it was before it grew."""

    image: Image
    size: int

    def read(self, length: int, offset: int) -> bytes:
        return self.image.read(length, offset)


class Resizing:
    """Resizes disk files of stopped machines. Blocks."""

    def __init__(self, files: Files, randomness: Randomness) -> None:
        self._files = files
        self._randomness = randomness

    def resize(
        self, path: Path, former_size: int, size: int, before_change: Callable[[], None]
    ) -> None:
        """Give the disk another size; `before_change` is called once it is known that this can be done.

        `former_size` is that of the machine's description, which follows later. Raises `HypervisorError` (codes
        "bad-disk", "disk-in-use").
        """
        try:
            with open_disk(self._files, path) as image:
                _check_size(image, size)
                former = _Former(image, min(former_size, image.size))
                forward = forward_for(former, size)
                is_smaller = size < image.size
                if is_smaller:
                    _check_tail(image, size)
                before_change()
                if is_smaller:
                    self._write_smaller(image, size, forward)
            if is_smaller:
                self._files.replace(_temporary(path), path)
                self._files.sync_directory(path.parent)
            else:
                self._grow(path, size, forward)
        except (VhdxError, OSError) as error:
            raise bad_disk(path, error) from error
        except BrokenChainError as error:
            raise HypervisorError(
                "bad-disk",
                f"Disk file {path} cannot be resized: {error}.",
                "Choose another size, or another disk.",
            ) from error

    def _grow(self, path: Path, size: int, forward: tuple[int, bytes] | None) -> None:
        status = self._files.status(path)
        if status is not None and status.link_count > 1:
            replace_by_copy(self._files, path)
        with open_disk(self._files, path, self._randomness) as image:
            image.grow(size)
            _write_forward(image, forward)

    def _write_smaller(self, image: Image, size: int, forward: tuple[int, bytes] | None) -> None:
        path = _temporary(image.path)
        if self._files.status(path) is not None:
            self._files.remove(path)
        create = create_fixed if image.kind is ImageKind.FIXED else create_image
        smaller = create(
            self._files.create(path),
            size=size,
            block_size=image.block_size,
            logical_sector_size=image.logical_sector_size,
            randomness=self._randomness,
        )
        with smaller:
            stored = image.stored_extents().clip(size).align(_PAGE_BYTES, size)
            for offset, length in stored.split(_STEP_BYTES):
                data = image.read(length, offset)
                if any(data):
                    smaller.write(data, offset)
            _write_forward(smaller, forward)


def _write_forward(image: Image, forward: tuple[int, bytes] | None) -> None:
    if forward is not None:
        offset, block = forward
        image.write(block, offset)


def _check_size(image: Image, size: int) -> None:
    """Refuse, before anything is changed, what the format would not take."""
    if size <= 0 or size % image.logical_sector_size or size > MAX_DISK_SIZE:
        raise VhdxError(
            image.path,
            f"a disk cannot have {size} bytes",
            f"Choose whole sectors of {image.logical_sector_size} bytes, up to 64 TiB.",
        )


def _check_tail(image: Image, size: int) -> None:
    """Refuse to cut anything off but zeros, and the block that says where records are."""
    tail = image.stored_extents().subtract(Extents.whole(size))
    forward = forward_on(image)
    if forward is not None:
        tail = tail.subtract(Extents.of([forward]))
    for offset, length in tail.split(_STEP_BYTES):
        if any(image.read(length, offset)):
            raise HypervisorError(
                "disk-in-use",
                f"{image.path} has data at {offset} and beyond, so it cannot shrink to {size} bytes.",
                "Choose a larger size.",
            )


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY_SUFFIX)
