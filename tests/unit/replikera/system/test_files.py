"""The machine's files keep what the port promises."""

import os
from pathlib import Path

import pytest

from replikera.system.files import SystemFiles

FILES = SystemFiles()


def test_reads_and_writes_are_by_position(tmp_path: Path) -> None:
    with FILES.create(tmp_path / "f") as file:
        file.write(b"hello", 10)
        file.write_many([b"ab", memoryview(b"cd")], 0)
        assert file.read(15, 0) == b"abcd" + bytes(6) + b"hello"
        assert file.read(100, 12) == b"llo"
        buffer = bytearray(5)
        assert file.read_into(memoryview(buffer), 10) == 5
        assert bytes(buffer) == b"hello"
        assert file.size() == 15


def test_many_parts_are_written_in_order(tmp_path: Path) -> None:
    parts = [bytes([number % 251]) * 3 for number in range(2000)]
    with FILES.create(tmp_path / "f") as file:
        file.write_many(parts, 7)
        assert file.read(6000, 7) == b"".join(parts)


def test_zeroing_frees_space_and_reads_as_zeros(tmp_path: Path) -> None:
    with FILES.create(tmp_path / "f") as file:
        file.write(b"x" * (1 << 20), 0)
        file.sync()
        file.zero(4096, (1 << 20) - 8192)
        assert file.read(8192, 0) == b"x" * 4096 + bytes(4096)
        assert file.read(4096, (1 << 20) - 4096) == b"x" * 4096
        file.zero(1 << 20, 4096)
        assert file.size() == (1 << 20) + 4096
    found = FILES.status(tmp_path / "f")
    assert found is not None
    assert found.allocated < 1 << 19


def test_zeroing_works_where_holes_cannot_be_punched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replikera.system.files._fallocate", None)
    with FILES.create(tmp_path / "f") as file:
        file.write(b"x" * (3 << 20), 0)
        file.zero(1, (3 << 20) - 2)
        assert file.read(3 << 20, 0) == b"x" + bytes((3 << 20) - 2) + b"x"


def test_holes_are_not_data(tmp_path: Path) -> None:
    with FILES.create(tmp_path / "f") as file:
        file.truncate(8 << 20)
        file.write(b"x" * 4096, 4 << 20)
        assert list(file.data_ranges()) == [(4 << 20, 4096)]
        file.truncate(0)
        assert list(file.data_ranges()) == []


def test_a_name_is_created_once(tmp_path: Path) -> None:
    FILES.create(tmp_path / "f").close()
    with pytest.raises(FileExistsError):
        FILES.create(tmp_path / "f")


def test_an_oversized_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert FILES.read_bytes(tmp_path / "f", limit=5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        FILES.read_bytes(tmp_path / "f", limit=4)


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_may_read_says_so(tmp_path: Path, mode: int, *, is_open: bool) -> None:
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "f").chmod(mode)
    found = FILES.status(tmp_path / "f")
    assert found is not None
    assert found.is_open_to_others is is_open


def test_names_link_replace_and_go(tmp_path: Path) -> None:
    FILES.append(tmp_path / "a", b"1")
    FILES.append(tmp_path / "a", b"2")
    FILES.link(tmp_path / "a", tmp_path / "b")
    status = FILES.status(tmp_path / "a")
    assert status is not None
    assert (status.link_count, status.size, status.is_directory) == (2, 2, False)
    FILES.replace(tmp_path / "b", tmp_path / "c")
    FILES.make_directory(tmp_path / "d/e")
    FILES.sync_directory(tmp_path)
    assert FILES.list_directory(tmp_path) == ["a", "c", "d"]
    FILES.remove_tree(tmp_path / "d")
    FILES.remove_tree(tmp_path / "d")
    FILES.remove(tmp_path / "c")
    assert FILES.list_directory(tmp_path) == ["a"]
    assert FILES.list_directory(tmp_path / "none") == []
    assert FILES.status(tmp_path / "none") is None
    assert FILES.free_space(tmp_path) > 0


def test_a_lock_is_seen_by_others_until_it_is_given_back(tmp_path: Path) -> None:
    assert not FILES.is_locked(tmp_path / "lock")
    with FILES.lock(tmp_path / "lock"):
        assert FILES.is_locked(tmp_path / "lock")
    assert not FILES.is_locked(tmp_path / "lock")


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    FILES.create(tmp_path / "f").close()
    FILES.append(tmp_path / "g", b"x")
    FILES.make_directory(tmp_path / "d/e")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("f", "g", "d", "d/e")]
    assert modes == [0o600, 0o600, 0o700 & ~_umask(), 0o700 & ~_umask()]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
