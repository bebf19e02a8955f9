"""Where the files of one replica are. `docs/replica-format.md` describes what is in them."""

from dataclasses import dataclass
from pathlib import Path

REDO = ".redo"
UNDO = ".undo"
POINT = ".json"
OPEN = ".open"
_INITIAL = "initial-"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one replica."""

    folder: Path

    @property
    def accepted(self) -> Path:
        """Return the file that says whose replica this is; the replica exists when it does."""
        return self.folder / "replica.json"

    @property
    def grant(self) -> Path:
        """Return the file with the highest version of a grant that was seen."""
        return self.folder / "grant.json"

    @property
    def positions(self) -> tuple[Path, Path]:
        """Return the two copies of the position."""
        return self.folder / "position.0", self.folder / "position.1"

    @property
    def journal(self) -> Path:
        """Return the folder of sealed and open segments."""
        return self.folder / "journal"

    @property
    def undo(self) -> Path:
        """Return the folder of before-images."""
        return self.folder / "undo"

    @property
    def points(self) -> Path:
        """Return the folder of the points that are in or below the base."""
        return self.folder / "points"

    @property
    def directories(self) -> tuple[Path, ...]:
        """Return all folders whose names matter."""
        return self.folder, self.journal, self.undo, self.points

    def redo_file(self, sequence: int) -> Path:
        """Return the sealed segment that leads to a point."""
        return self.journal / f"{sequence:020d}{REDO}"

    def open_file(self, sequence: int, attempt: int) -> Path:
        """Return the segment while it is received."""
        return self.journal / f"{sequence:020d}.{attempt}{OPEN}"

    def undo_file(self, sequence: int) -> Path:
        """Return the before-images that lead from a point to the one before it."""
        return self.undo / f"{sequence:020d}{UNDO}"

    def point_file(self, sequence: int) -> Path:
        """Return the description of a point."""
        return self.points / f"{sequence:020d}{POINT}"

    def images(self, attempt: int) -> Path:
        """Return the folder of the disk images that an attempt of the initial segment writes."""
        return self.folder / f"{_INITIAL}{attempt}"

    def is_images(self, name: str) -> bool:
        """Tell whether a name in the folder is that of some attempt's images."""
        return name.startswith(_INITIAL)


def sequences(names: list[str], suffix: str) -> list[int]:
    """Return the sequence numbers of the files with that suffix, ascending; other names are left out."""
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(
        int(stem) for stem in stems if len(stem) == 20 and stem.isascii() and stem.isdecimal()
    )
