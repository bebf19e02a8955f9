"""Makes the folders that the settings name, or says what is wrong with them before anything is kept there.

A folder for replicas gets a marker when it is set up, and is remembered. One that has lost its marker is a volume that
is not mounted: a replica that was accepted anew there would begin a second history beside the first.
"""

from itertools import combinations
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agent.replica.folders import StorageFolders
from replikera.durable import make_directory_durably, write_durably
from replikera.ports.files import Files

_MARKER = ".replikera-replicas"
_MARKER_TEXT = b"Replicas of a Replikera agent. Remove this file and the agent does not start.\n"
_MAX_RECORD_BYTES = 1 << 20
_RECORD = TypeAdapter(list[str])


class FolderError(Exception):
    """A folder cannot be used; the message names it, its setting and what to do."""


def prepare_folders(files: Files, folders: StorageFolders, record: Path) -> None:
    """Make what is missing, for the agent's user alone. Blocks. Raises `FolderError`.

    `record` is the file that remembers the folders for replicas.
    """
    named = [("storage.replica_folders", folder) for folder in folders.replicas]
    named.append(("storage.export_folder", folders.exports))
    if folders.seeds is not None:
        named.append(("storage.seed_folder", folders.seeds))
    for (key, one), (other_key, other) in combinations(named, 2):
        _check_apart(key, one, other_key, other)
    known = _read(files, record)
    _check_known(files, folders, known, record)
    for key, folder in named:
        _prepare(files, key, folder)
    for folder in folders.replicas:
        if files.status(folder / _MARKER) is None:
            write_durably(files, folder / _MARKER, _MARKER_TEXT)
    present = [str(folder) for folder in folders.replicas]
    if present != known:
        write_durably(files, record, _RECORD.dump_json(present))


def _check_known(files: Files, folders: StorageFolders, known: list[str], record: Path) -> None:
    for name in known:
        folder = Path(name)
        is_marked = files.status(folder / _MARKER) is not None
        if folder in folders.replicas and not is_marked:
            raise FolderError(
                f"{folder} (storage.replica_folders) was set up by this agent and is not what it was: mount its "
                f"volume. If what was there is gone for good, remove {record}."
            )
        left = StorageFolders((folder,), folders.exports).found(files)
        if folder not in folders.replicas and is_marked and left:
            raise FolderError(
                f"{folder} holds replicas and is missing in storage.replica_folders of the agent's settings: add it."
            )


def _read(files: Files, record: Path) -> list[str]:
    try:
        return _RECORD.validate_json(files.read_bytes(record, limit=_MAX_RECORD_BYTES))
    except FileNotFoundError:
        return []
    except (ValueError, ValidationError) as error:
        raise FolderError(
            f"{record} does not list the folders for replicas. See that all of them are mounted, then remove it."
        ) from error


def _check_apart(key: str, one: Path, other_key: str, other: Path) -> None:
    if one == other or one in other.parents or other in one.parents:
        raise FolderError(
            f"{one} ({key}) and {other} ({other_key}) are in one another: "
            "name folders that are apart in the agent's settings."
        )


def _prepare(files: Files, key: str, folder: Path) -> None:
    try:
        make_directory_durably(files, folder)
        status = files.status(folder)
    except OSError as error:
        raise FolderError(
            f"{folder} ({key}) cannot be made: {error.strerror or error}. "
            "Make it and give it to the agent's user with mode 700, or name another folder."
        ) from error
    if status is None or not status.is_directory:
        raise FolderError(f"{folder} ({key}) is no folder: remove it or name another.")
    if status.is_open_to_others:
        raise FolderError(
            f"{folder} ({key}) is open to other users, and what machines hold is to be in it: "
            f"run chmod 700 {folder}"
        )
