"""Nothing is synced after a sync that failed."""

import errno
from pathlib import Path

import pytest

from agent.replica.fence import FencedFiles, SyncFailedError
from tests.support.crash_files import CrashFiles

A, B = Path("/a"), Path("/b")


def broken(operation: str, _path: Path) -> None:
    if operation.startswith("sync"):
        raise OSError(errno.EIO, "gone")


def test_syncs_work_until_one_fails_and_never_again() -> None:
    inner = CrashFiles()
    files = FencedFiles(inner)
    with files.create(A) as first, files.create(B) as second:
        first.write(b"1", 0)
        first.sync()
        files.sync_directory(A.parent)
        inner.before = broken
        with pytest.raises(SyncFailedError) as failed:
            second.sync()
        assert failed.value.path == B
        inner.before = None
        second.write(b"2", 0)
        for sync in (first.sync, second.sync, lambda: files.sync_directory(A.parent)):
            with pytest.raises(SyncFailedError) as again:
                sync()
            assert again.value.path == B
    assert inner.pending() != []
    with files.open_write(A) as reopened, pytest.raises(SyncFailedError):
        reopened.sync()


def test_a_directory_fails_like_a_file() -> None:
    inner = CrashFiles()
    files = FencedFiles(inner)
    inner.before = broken
    with pytest.raises(SyncFailedError, match="gone"):
        files.sync_directory(Path("/"))
    assert files.fence.failure is not None
    inner.before = None
    with files.create(A) as file, pytest.raises(SyncFailedError):
        file.sync()


def test_everything_else_passes_through() -> None:
    inner = CrashFiles()
    files = FencedFiles(inner)
    files.make_directory(A)
    with files.create(A / "x") as file:
        file.write(b"12", 0)
        file.write_many([b"3", b"4"], 2)
        file.zero(1, 1)
        file.truncate(5)
        buffer = bytearray(2)
        assert file.read_into(memoryview(buffer), 2) == 2
        assert (file.size(), file.read(9, 0), bytes(buffer)) == (5, b"1\x0034\0", b"34")
        assert list(file.data_ranges()) == [(0, 5)]
        assert file.path == A / "x"
    files.append(A / "x", b"6")
    files.link(A / "x", A / "y")
    files.replace(A / "y", A / "z")
    assert files.list_directory(A) == ["x", "z"]
    assert files.read_bytes(A / "z", limit=6) == b"1\x0034\x006"
    files.remove(A / "z")
    assert files.status(A / "z") is None
    assert files.free_space(A) > 0
    with files.lock(A / "l"), files.open_read(A / "x") as reader:
        assert not files.is_locked(A / "l")
        assert reader.size() == 6
    files.remove_tree(A)
    assert inner.status(A) is None
