import sqlite3
from pathlib import Path

import pytest

from coordinator.store.errors import StoreError, translated


def raised(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("what the driver says")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SQLITE_BUSY", "database-locked"),
        ("SQLITE_BUSY_SNAPSHOT", "database-locked"),
        ("SQLITE_READONLY", "database-read-only"),
        ("SQLITE_READONLY_DIRECTORY", "database-read-only"),
        ("SQLITE_CORRUPT", "database-corrupt"),
        ("SQLITE_NOTADB", "database-corrupt"),
        ("SQLITE_FULL", "disk-full"),
        ("SQLITE_CANTOPEN", "database-unreadable"),
        ("SQLITE_IOERR_FSYNC", "database-failed"),
    ],
)
def test_every_error_names_the_file_what_is_wrong_and_the_remedy(name: str, code: str) -> None:
    with pytest.raises(StoreError) as caught, translated(Path("/x/vault.db")):
        raise raised(name)
    assert caught.value.code == code
    assert "/x/vault.db" in caught.value.cause
    assert "what the driver says" in caught.value.cause
    assert caught.value.remedy


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), translated(Path("/x")):
        raise KeyError
