"""The lab's folder: what lies where, and whose it is.

Everything of one site is below that site's folder, so that a look at any daemon's command line or settings shows
that it was told of no path of the other site.
"""

from dataclasses import dataclass
from pathlib import Path

from replikera.durable import write_durably
from replikera.lab.errors import LabError
from replikera.ports.files import Files

_MARKER = "replikera-lab"
_MARKER_TEXT = b"A folder of `replikera lab run`. The next run in it removes everything here.\n"


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """One site's half of the lab."""

    site: str
    root: Path

    @property
    def settings(self) -> Path:
        """Return the agent's settings file."""
        return self.root / "agent.toml"

    @property
    def state(self) -> Path:
        """Return the agent's state folder."""
        return self.root / "agent"

    @property
    def hypervisor(self) -> Path:
        """Return the root of the simulated hypervisor."""
        return self.root / "hypervisor"

    @property
    def join_line(self) -> Path:
        """Return where the join line is handed over."""
        return self.root / "join-line"


@dataclass(frozen=True, slots=True)
class LabFolder:
    """The folder of one lab."""

    root: Path

    @property
    def primary(self) -> SiteFolder:
        """Return the site that is protected."""
        return SiteFolder("primary", self.root / "primary")

    @property
    def secondary(self) -> SiteFolder:
        """Return the site that recovers."""
        return SiteFolder("secondary", self.root / "secondary")

    @property
    def coordinator_settings(self) -> Path:
        """Return the coordinator's settings file."""
        return self.root / "vault" / "coordinator.toml"

    @property
    def vault_state(self) -> Path:
        """Return the coordinator's state folder."""
        return self.root / "vault" / "state"

    @property
    def profile(self) -> Path:
        """Return the operator's profile, which the command line reads."""
        return self.root / "profile"

    @property
    def disks(self) -> Path:
        """Return where the lab puts a disk that it makes itself."""
        return self.root / "disks"

    @property
    def held_views(self) -> Path:
        """Return where the lab holds views of the source that it still needs."""
        return self.root / "held-views"

    @property
    def logs(self) -> Path:
        """Return where the daemons' output goes."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """Return the record of the processes that the lab started."""
        return self.root / "processes.json"

    @property
    def report(self) -> Path:
        """Return the report of the run."""
        return self.root / "report.json"


def find_folder(files: Files, root: Path) -> LabFolder:
    """Return the lab in `root`. Raises `LabError` where there is none."""
    if files.status(root / _MARKER) is None:
        raise LabError(f"{root} holds no lab", "Name a lab's folder with --dir")
    return LabFolder(root)


def claim_folder(files: Files, root: Path) -> LabFolder:
    """Return a new lab in `root`, emptied of an earlier one. Raises `LabError` where it holds anything else."""
    if files.list_directory(root):
        if files.status(root / _MARKER) is None:
            raise LabError(
                f"{root} is not empty and is no lab's folder; nothing in it was touched",
                "Choose an empty folder with --dir",
            )
        _empty(files, root)
    folder = LabFolder(root)
    files.make_directory(root)
    write_durably(files, root / _MARKER, _MARKER_TEXT)
    for path in (folder.coordinator_settings.parent, folder.disks, folder.logs):
        files.make_directory(path)
    for site in (folder.primary, folder.secondary):
        files.make_directory(site.root)
    return folder


def _empty(files: Files, root: Path) -> None:
    # The marker goes last: a removal that is cut off leaves a folder that is still known as a lab's.
    for name in files.list_directory(root):
        if name == _MARKER:
            continue
        found = files.status(root / name)
        if found is not None and found.is_directory:
            files.remove_tree(root / name)
        else:
            files.remove(root / name)
    files.remove(root / _MARKER)
