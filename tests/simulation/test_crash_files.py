"""The file system that forgets forgets what it may and nothing else."""

import errno
import random
from pathlib import Path

import pytest

from tests.support.crash_files import CrashFiles

A, B, FOLDER = Path("/a"), Path("/b"), Path("/d")
CHOOSER = random.Random(1)


def states(files: CrashFiles) -> list[dict[str, bytes]]:
    return [
        {
            name: state.read_bytes(Path("/") / name, limit=1 << 20)
            for name in state.list_directory(Path("/"))
        }
        for state in files.crash_states(CHOOSER)
    ]


def test_nothing_is_durable_before_it_is_synced() -> None:
    files = CrashFiles()
    with files.create(A) as file:
        file.write(b"x", 0)
    found = states(files)
    assert {} in found
    assert {"a": b""} in found
    assert {"a": b"x"} in found


def test_content_and_name_are_durable_each_by_itself() -> None:
    files = CrashFiles()
    with files.create(A) as file:
        file.write(b"x", 0)
        file.sync()
    assert {} in states(files)
    files.sync_directory(Path("/"))
    assert states(files) == [{"a": b"x"}]
    with files.open_write(A) as file:
        file.write(b"y", 0)
    assert states(files) == [{"a": b"x"}, {"a": b"y"}]


def test_a_rename_is_old_or_new() -> None:
    files = CrashFiles()
    for path in (A, B):
        files.append(path, path.name.encode())
        with files.open_write(path) as file:
            file.sync()
    files.sync_directory(Path("/"))
    files.replace(A, B)
    assert states(files) == [{"a": b"a", "b": b"b"}, {"b": b"a"}]


def test_a_removed_file_may_be_back_and_a_later_one_replace_it() -> None:
    files = CrashFiles()
    files.append(A, b"old")
    with files.open_write(A) as file:
        file.sync()
    files.sync_directory(Path("/"))
    files.remove(A)
    assert states(files) == [{"a": b"old"}, {}]
    files.append(A, b"new")
    found = states(files)
    assert {"a": b"old"} in found
    assert {"a": b"new"} in found
    assert {"a": b""} in found


def test_a_directory_without_a_durable_name_takes_its_content_along() -> None:
    files = CrashFiles()
    files.make_directory(FOLDER)
    files.append(FOLDER / "x", b"1")
    with files.open_write(FOLDER / "x") as file:
        file.sync()
    files.sync_directory(FOLDER)
    lost, kept = files.crash_states(CHOOSER)
    assert lost.status(FOLDER) is None
    assert kept.read_bytes(FOLDER / "x", limit=9) == b"1"


def test_a_large_write_is_torn_at_sectors() -> None:
    files = CrashFiles()
    with files.create(A) as file:
        file.truncate(1536)
        file.sync()
    files.sync_directory(Path("/"))
    with files.open_write(A) as file:
        file.write(b"x" * 1536, 0)
    found = {state["a"] for _ in range(30) for state in states(files)}
    sectors = [{content[start : start + 512] for content in found} for start in (0, 512, 1024)]
    assert all(both == {b"x" * 512, bytes(512)} for both in sectors)
    assert len(found) > 2


def test_many_pending_operations_are_sampled() -> None:
    files = CrashFiles()
    for number in range(10):
        files.append(Path(f"/{number}"), b"1")
    found = list(files.crash_states(CHOOSER, samples=5))
    assert len(found) == 5
    assert files.list_directory(Path("/")) == [str(number) for number in range(10)]


def test_a_crashed_one_goes_on_by_itself() -> None:
    files = CrashFiles()
    files.append(A, b"x")
    copy = list(files.crash_states(CHOOSER))[-1]
    assert copy.pending() == []
    copy.append(A, b"y")
    assert files.read_bytes(A, limit=9) == b"x"
    assert copy.read_bytes(A, limit=9) == b"xy"


def test_it_behaves_like_a_file_system() -> None:
    files = CrashFiles()
    with files.create(A) as file:
        file.write_many([b"ab", b"cd"], 5000)
        file.zero(5001, 2)
        file.zero(8000, 200)
        assert (file.size(), file.read(99, 4998)[:7]) == (8200, b"\0\0a\0\0d\0")
        file.truncate(5001)
        file.truncate(5004)
        assert file.read(99, 5000) == b"a\0\0\0"
        assert list(file.data_ranges()) == [(4096, 908)]
    with pytest.raises(OSError, match="closed") as error:
        file.write(b"", 0)
    assert error.value.errno == errno.EBADF
    with pytest.raises(FileExistsError):
        files.create(A)
    with pytest.raises(FileNotFoundError):
        files.open_read(B)
    with pytest.raises(FileNotFoundError):
        files.remove(B)
    files.link(A, B)
    with pytest.raises(FileExistsError):
        files.link(A, B)
    with pytest.raises(ValueError, match="more than 3"):
        files.read_bytes(A, limit=3)


def test_a_full_one_says_so() -> None:
    files = CrashFiles()
    files.capacity = 8192
    files.append(A, b"x")
    assert files.free_space(A) == 4096
    with files.open_write(A) as file:
        file.write(b"y" * 4096, 0)
        with pytest.raises(OSError, match="no space") as error:
            file.write(b"y" * 8192, 4096)
    assert error.value.errno == errno.ENOSPC


def test_a_hook_sees_every_change_first() -> None:
    files = CrashFiles()
    seen: list[str] = []
    files.before = lambda operation, path: seen.append(f"{operation} {path}")
    with files.create(A) as file:
        file.write(b"x", 0)
        file.sync()
    files.replace(A, B)
    files.sync_directory(Path("/"))
    files.remove(B)
    assert seen == [
        "create /a",
        "write /a",
        "sync /a",
        "rename /a",
        "sync_directory /",
        "remove /b",
    ]
