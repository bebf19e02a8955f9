"""Small files that are either the old or the new one after any crash, and the folders that they are in."""

from pathlib import Path

from replikera.ports.files import Buffer, Files

TEMPORARY_SUFFIX = ".new"


def write_durably(files: Files, path: Path, data: Buffer, *, mode: int = 0o600) -> None:
    """Replace the content of `path`, atomically and durably.

    Temporary name, fsync, rename, fsync of the directory. A temporary file left by a crash is overwritten.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if files.status(temporary) is not None:
        files.remove(temporary)
    with files.create(temporary, mode=mode) as file:
        file.write(data, 0)
        file.sync()
    files.replace(temporary, path)
    files.sync_directory(path.parent)


def remove_durably(files: Files, path: Path) -> None:
    """Remove a name and make that durable; a missing one is no error."""
    if files.status(path) is not None:
        files.remove(path)
    files.sync_directory(path.parent)


def make_directory_durably(files: Files, path: Path) -> None:
    """Make a directory and its missing parents, and their names durable; an existing one is no error.

    What is synced in a directory whose own name was never made durable is lost with that name.
    """
    if files.status(path) is None:
        make_directory_durably(files, path.parent)
        files.make_directory(path)
        files.sync_directory(path.parent)
