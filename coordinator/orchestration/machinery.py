"""The machine that the vault runs on, and what is where in its folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coordinator.domain.errors import RefusedError
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker


@dataclass(frozen=True, slots=True)
class Machinery:
    """The machine that the vault runs on."""

    files: Files
    clock: Clock
    randomness: Randomness
    worker: Worker


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """What is where in the vault's folder."""

    folder: Path
    passphrase_file: Path

    @property
    def database(self) -> Path:
        """Return the path of the database."""
        return self.folder / "vault.db"

    @property
    def database_names(self) -> tuple[str, ...]:
        """Return the names that the database and what belongs to it may have, its own first."""
        name = self.database.name
        return (name, f"{name}-wal", f"{name}-shm", f"{name}-journal")

    @property
    def authority(self) -> Path:
        """Return the folder of the authority's certificates and keys."""
        return self.folder / "authority"

    @property
    def server(self) -> Path:
        """Return the folder of the listeners' credentials."""
        return self.folder / "server"

    @property
    def lock(self) -> Path:
        """Return the file that a running coordinator holds locked."""
        return self.folder / "coordinator.lock"

    @property
    def unfinished(self) -> Path:
        """Return the file that is there while the folder is being made."""
        return self.folder / "unfinished.json"

    @property
    def restoring(self) -> Path:
        """Return the folder in which a backup is made ready."""
        return self.folder / "restoring"

    @property
    def backups(self) -> Path:
        """Return the folder of what a backup being taken needs."""
        return self.folder / "backups"


@contextmanager
def only_one(files: Files, state: StateDirectory) -> Iterator[None]:
    """Keep every other process of the coordinator away from the folder, which exists. Raises `RefusedError`."""
    if files.is_locked(state.lock):
        raise RefusedError(
            "coordinator-running",
            f"A coordinator runs on {state.folder} already.",
            "Stop it first, or correct state_directory in the settings.",
        )
    with files.lock(state.lock):
        yield
