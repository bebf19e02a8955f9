"""The views that the simulated source kept after their end: what its disks were at every point."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from replikera.ports.files import Files

_FOLDER = "kept-views"
_VIEW = "view.json"
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class KeptView:
    """A folder with the disks of one view."""

    folder: Path
    taken_at: datetime

    def disk(self, disk_id: str) -> Path:
        """Return the file of a disk."""
        return self.folder / f"{disk_id}.vhdx"


def hold(files: Files, view: KeptView, folder: Path) -> KeptView:
    """Return the view under a second name, which nobody removes; nothing writes to an ended view."""
    files.make_directory(folder)
    for name in files.list_directory(view.folder):
        files.link(view.folder / name, folder / name)
    return KeptView(folder, view.taken_at)


def find_kept_view(files: Files, hypervisor: Path, taken_at: datetime) -> KeptView | None:
    """Return the view of that very instant, None while it has not ended yet."""
    for view in kept_views(files, hypervisor):
        if view.taken_at == taken_at:
            return view
    return None


def views_folder(hypervisor: Path) -> Path:
    """Return where a simulated host keeps the views of its machines."""
    return hypervisor / _FOLDER


def kept_views(files: Files, hypervisor: Path) -> list[KeptView]:
    """Return all kept views of a simulated host."""
    root = views_folder(hypervisor)
    folders = [
        root / machine / view
        for machine in files.list_directory(root)
        for view in files.list_directory(root / machine)
    ]
    found = [read_view(files, folder) for folder in folders]
    return [view for view in found if view is not None]


def read_view(files: Files, folder: Path) -> KeptView | None:
    """Return the view in a folder, None where there is none."""
    try:
        document = json.loads(files.read_bytes(folder / _VIEW, limit=_LIMIT))
    except (FileNotFoundError, NotADirectoryError):  # being moved here, or removed, just now
        return None
    return KeptView(folder, datetime.fromisoformat(document["taken_at"]))
