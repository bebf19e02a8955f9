"""What is wrong with the database, in words for an operator."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

_KNOWN = {
    "SQLITE_BUSY": (
        "database-locked",
        "is locked by another process",
        "End whatever else has it open, for example a second coordinator or a database tool.",
    ),
    "SQLITE_READONLY": (
        "database-read-only",
        "cannot be written",
        "Give the coordinator's user write permission on the file and its folder.",
    ),
    "SQLITE_CORRUPT": (
        "database-corrupt",
        "is damaged",
        "Stop the coordinator and restore the file from a backup.",
    ),
    "SQLITE_NOTADB": (
        "database-corrupt",
        "is not a database",
        "Restore the file from a backup, or correct state_directory in the settings.",
    ),
    "SQLITE_FULL": ("disk-full", "cannot grow", "Free space on its volume."),
    "SQLITE_CANTOPEN": (
        "database-unreadable",
        "cannot be opened",
        "Check that the folder exists and that the coordinator's user may use it.",
    ),
}
_OTHER = ("database-failed", "failed", "Look at the coordinator's log and its volume.")


class StoreError(Exception):
    """The database cannot be used. Nothing was stored by the transaction that met it."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of the database driver into `StoreError`s that name the file."""
    try:
        yield
    except DBAPIError as error:
        raise _describe(path, error.orig) from error
    except sqlite3.Error as error:
        raise _describe(path, error) from error


def _describe(path: Path, error: BaseException | None) -> StoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    # Extended names begin with the primary one: SQLITE_BUSY_SNAPSHOT, SQLITE_READONLY_DIRECTORY.
    known = next((_KNOWN[key] for key in _KNOWN if name.startswith(key)), _OTHER)
    code, what, remedy = known
    return StoreError(code, f"The database {path} {what} ({error}).", remedy)
