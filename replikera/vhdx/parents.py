"""Finding and opening the parents of differencing files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from replikera.ports.files import File, Files
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.locator import ParentLocator, candidate_paths

MAX_DEPTH = 256
"""Files of one chain: as many as the format's own tools follow."""


@dataclass(frozen=True, slots=True)
class Parents:
    """How the chain above a file is opened. `above` are the files on the way here, youngest first."""

    open_read: Callable[[Path], File]
    exists: Callable[[Path], bool]
    above: tuple[Path, ...] = ()

    def find(self, child: Path, locator: ParentLocator) -> Path:
        """Return the parent's path. Raises `VhdxError` where there is none, or the chain does not end."""
        path = self._locate(child, locator)
        chain = (*self.above, child)
        if path in chain:
            names = " -> ".join(str(each) for each in (*chain, path))
            raise VhdxError(
                child,
                f"its chain of parents comes back to itself: {names}",
                "Restore the chain's files from another copy.",
            )
        if len(chain) >= MAX_DEPTH:
            raise VhdxError(
                child,
                f"it has more than {MAX_DEPTH} files below it",
                "Merge the chain (Merge-VHD).",
            )
        return path

    def over(self, child: Path) -> "Parents":
        """Return the same for the parent of `child`."""
        return Parents(self.open_read, self.exists, (*self.above, child))

    def _is_there(self, path: Path) -> bool:
        try:
            return self.exists(path)
        except (OSError, ValueError):
            return False  # a name that this file system cannot have

    def _locate(self, child: Path, locator: ParentLocator) -> Path:
        candidates = candidate_paths(child, locator)
        for path in candidates:
            if self._is_there(path):
                return path
        told = ", ".join(text for _, text in locator.paths) or "nowhere"
        raise VhdxError(
            child,
            f"its parent is missing (it says: {told})",
            "Put the parent beside it under the name it had, or merge the chain where it was made.",
        )


def parents_in(files: Files) -> Parents:
    """Return the parents as the file system has them."""
    return Parents(files.open_read, lambda path: files.status(path) is not None)


def check_linkage(child: Path, locator: ParentLocator, parent: Path, data_write_id: UUID) -> None:
    """Refuse a parent that was written since the child was made. Raises `VhdxError`."""
    if data_write_id not in locator.linkages:
        raise VhdxError(
            child,
            f"its parent {parent} was changed since it was made, or is another disk",
            "Put the unchanged parent back: together with this one the child would read wrong.",
        )
