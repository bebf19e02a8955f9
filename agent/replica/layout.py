"""Where the files of one replica are. `docs/replica-format.md` describes what is in them."""

from dataclasses import dataclass
from pathlib import Path

REDO = ".redo"
UNDO = ".undo"
POINT = ".json"
OPEN = ".open"
_INITIAL = "initial-"
_DIGITS = 20


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
    def intents(self) -> tuple[Path, Path]:
        """Return the two copies of the record of the last apply that began."""
        return self.folder / "intent.0", self.folder / "intent.1"

    @property
    def pins(self) -> Path:
        """Return the file that says who relies on the base staying what it is."""
        return self.folder / "pins.json"

    @property
    def removal(self) -> Path:
        """Return the file that says that all others go."""
        return self.folder / "removal.json"

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

    def pass_file(self, attempt: int) -> Path:
        """Return what says how far an attempt's images are durable."""
        return self.images(attempt) / "pass.json"


def sequences(names: list[str], suffix: str) -> list[int]:
    """Return the sequence numbers of the files with that suffix, ascending; other names are left out."""
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(int(stem) for stem in stems if len(stem) == _DIGITS and _is_number(stem))


def open_attempts(names: list[str]) -> list[tuple[int, int]]:
    """Return (sequence, attempt) of the open segments, ascending; other names are left out."""
    stems = (name.removesuffix(OPEN).split(".") for name in names if name.endswith(OPEN))
    return sorted(
        (int(stem[0]), int(stem[1]))
        for stem in stems
        if len(stem) == 2 and len(stem[0]) == _DIGITS and all(map(_is_number, stem))
    )


def image_attempts(names: list[str]) -> list[int]:
    """Return the attempts that have a folder of images, ascending; other names are left out."""
    stems = (name.removeprefix(_INITIAL) for name in names if name.startswith(_INITIAL))
    return sorted(int(stem) for stem in stems if _is_number(stem))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS
