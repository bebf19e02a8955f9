"""Ended views that are kept for a while, so that what was replicated can be compared with what was frozen.

A kept view is the view's own folder, moved to kept-views/<machine>/<view id>/: view.json and one `<disk id>.vhdx` for
every disk. Each takes the space of what the guest wrote since; keep few of large machines.
"""

from datetime import UTC, datetime
from pathlib import Path

from agent.hypervisor.simulated import state
from replikera.ports.files import Files


class KeptViews:
    """The last `limit` ended views of every machine; none where `limit` is 0."""

    def __init__(self, files: Files, path: Path, limit: int) -> None:
        self._files = files
        self._path = path
        self._limit = limit

    def take_over(self, machine: str, view_id: str, folder: Path) -> bool:
        """Move an ended view here; tell whether that was done. Called under the machine's lock."""
        if not self._limit:
            return False
        kept = self._path / machine
        self._files.make_directory(kept)
        self._files.replace(folder, kept / view_id)
        self._files.sync_directory(kept)
        self._files.sync_directory(folder.parent)
        self._remove_oldest(kept)
        return True

    def _remove_oldest(self, kept: Path) -> None:
        names = self._files.list_directory(kept)
        if len(names) > self._limit:
            names.sort(key=lambda name: self._taken_at(kept / name))
            for name in names[: -self._limit]:
                self._files.remove_tree(kept / name)

    def _taken_at(self, folder: Path) -> datetime:
        view = state.VIEW.load(self._files, folder / "view.json")
        return datetime.min.replace(tzinfo=UTC) if view is None else view.taken_at
