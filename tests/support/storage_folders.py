"""The folders of one host's replicas, for tests that need no more than somewhere."""

from pathlib import Path

from agent.replica.folders import StorageFolders


def folders_in(folder: Path) -> StorageFolders:
    """Return folders below one; the replicas are in `replicas`."""
    return StorageFolders(
        replicas=(folder / "replicas",), exports=folder / "exports", seeds=folder / "seeds"
    )
