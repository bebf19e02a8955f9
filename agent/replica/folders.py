"""Where replicas, seeds and kept disks are on this host."""

from dataclasses import dataclass
from pathlib import Path

from agent.replica.accepted import is_canonical_uuid
from agent.replica.errors import ReplicaError
from replikera.ports.files import Files


@dataclass(frozen=True, slots=True)
class StorageFolders:
    """The folders exist and belong to the agent alone.

    replicas: each replica is in one of them, named after its protection; the first is the default.
    exports: disks that are kept of removed replicas, a folder a protection.
    seeds: images that new replicas may be filled from; None where the host takes none.
    """

    replicas: tuple[Path, ...]
    exports: Path
    seeds: Path | None = None

    @property
    def default(self) -> Path:
        """Return where a replica is kept for which nothing else was chosen."""
        return self.replicas[0]

    def choose(self, name: str) -> Path:
        """Return the folder that an order names, the default for "". Raises `ReplicaError`."""
        if not name:
            return self.default
        for folder in self.replicas:
            if str(folder) == name:
                return folder
        raise ReplicaError(
            "unknown-folder",
            f"This host keeps no replicas in {name[:1024]!r}; it does in {', '.join(map(str, self.replicas))}.",
            "Correct the storage mapping, or add the folder to storage.replica_folders of the host's agent settings "
            "and restart the agent.",
        )

    def found(self, files: Files) -> list[Path]:
        """Return what may be replicas, by folder and name. A volume may hold other things too. Blocks."""
        return [
            folder / name
            for folder in self.replicas
            for name in files.list_directory(folder)
            if is_canonical_uuid(name)
        ]
