"""One disk of a view, for reading."""

from collections.abc import Callable
from pathlib import Path

from agent.hypervisor.simulated.machine_folder import bad_disk
from replikera.blocks.extents import Extents
from replikera.vhdx import Image, VhdxError


class SimulatedViewDisk:
    """A frozen disk file. Safe to use from several threads, as the image under it is."""

    def __init__(self, path: Path, image: Image) -> None:
        self._path = path
        self._image = image
        self.before_read: Callable[[], None] = lambda: None
        """Called before every read; may raise what the read is to fail with."""

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return self._image.size

    def data_extents(self) -> Extents:
        """Return what may hold something other than zeros."""
        return self._image.stored_extents()

    def read(self, length: int, offset: int) -> bytes:
        """Return exactly `length` bytes. Raises `HypervisorError`."""
        self.before_read()
        try:
            return self._image.read(length, offset)
        except (VhdxError, OSError) as error:
            raise bad_disk(self._path, error) from error

    def close(self) -> None:
        """Close; idempotent."""
        self._image.close()
