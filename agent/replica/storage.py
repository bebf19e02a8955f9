"""What the parts of one replica work on."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.replica.errors import disk_full
from agent.replica.fence import FencedFiles
from agent.replica.images import ImageFormat, ImageSet, image_paths, open_images
from agent.replica.layout import Layout
from replikera.blocks.segment import DiskGeometry

RESERVED_BYTES = 4 << 20
"""Space that bulk data leaves free: point files, positions and the undo of a small segment need some."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The folder of a replica, behind its fence, and the format of its base."""

    files: FencedFiles
    layout: Layout
    image_format: ImageFormat

    def open_base(
        self, attempt: int, disks: Sequence[DiskGeometry], *, is_writable: bool = False
    ) -> ImageSet:
        """Open the images that an attempt of the initial segment made."""
        paths = image_paths(self.layout.images(attempt), len(disks), self.image_format)
        return open_images(self.files, paths, self.image_format, is_writable=is_writable)

    def require_space(self, count: int) -> None:
        """Raise `ReplicaError` where the volume cannot take `count` more bytes."""
        if self.files.free_space(self.layout.folder) < count + RESERVED_BYTES:
            raise disk_full(self.layout.folder)
