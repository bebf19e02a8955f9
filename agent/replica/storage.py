"""What the parts of one replica work on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.replica.base_images import BaseReader, BaseWriter, Repair, create_base, open_base
from agent.replica.damage import Damage
from agent.replica.errors import disk_full
from agent.replica.fence import FencedFiles
from agent.replica.images import ImageFormat
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
    seed_folder: Path | None = None
    """Where disks are that a new base may be filled from; None where the host takes none."""
    damage: Damage = field(default_factory=Damage)
    """What was found to be wrong with the base."""

    def create_base(self, attempt: int, disks: Sequence[DiskGeometry]) -> BaseWriter:
        """Make the empty images of an attempt of the initial pass; those of an earlier try go."""
        folder = self.layout.images(attempt)
        self.files.remove_tree(folder)
        self.files.make_directory(folder)
        try:
            return BaseWriter(create_base(self.files, folder, disks, self.image_format))
        except BaseException:
            self.files.remove_tree(folder)
            raise

    def open_base(
        self, attempt: int, disks: Sequence[DiskGeometry], repair: Repair | None = None
    ) -> BaseReader:
        """Open the images that an attempt made, to read them."""
        folder = self.layout.images(attempt)
        base = open_base(self.files, folder, disks, self.image_format, is_writable=False)
        return BaseReader(base, self.damage, repair)

    def open_base_for_writing(self, attempt: int, disks: Sequence[DiskGeometry]) -> BaseWriter:
        """Open the images that an attempt made, to change them."""
        folder = self.layout.images(attempt)
        return BaseWriter(open_base(self.files, folder, disks, self.image_format, is_writable=True))

    def require_space(self, count: int) -> None:
        """Raise `ReplicaError` where the volume cannot take `count` more bytes."""
        if self.files.free_space(self.layout.folder) < count + RESERVED_BYTES:
            raise disk_full(self.layout.folder)
