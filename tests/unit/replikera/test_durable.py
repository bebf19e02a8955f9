"""Small files are the old or the new one."""

from pathlib import Path

from replikera.durable import make_directory_durably, remove_durably, write_durably
from replikera.system.files import SystemFiles
from tests.support.crash_files import CrashFiles

FILES = SystemFiles()


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_durably(FILES, path, b"old")
    write_durably(FILES, path, b"newer")
    assert path.read_bytes() == b"newer"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_a_temporary_file_left_by_a_crash_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "state.new").write_bytes(b"half written and longer than the new content")
    write_durably(FILES, tmp_path / "state", b"whole")
    assert (tmp_path / "state").read_bytes() == b"whole"


def test_removing_twice_is_removing_once(tmp_path: Path) -> None:
    write_durably(FILES, tmp_path / "state", b"x")
    remove_durably(FILES, tmp_path / "state")
    remove_durably(FILES, tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_made_survives_any_crash_with_its_parents() -> None:
    files = CrashFiles()
    make_directory_durably(files, Path("/a/b/c"))
    assert files.pending() == []
    assert files.list_directory(Path("/a/b")) == ["c"]


def test_a_directory_that_is_there_is_left_alone(tmp_path: Path) -> None:
    make_directory_durably(FILES, tmp_path / "a")
    write_durably(FILES, tmp_path / "a" / "state", b"x")
    make_directory_durably(FILES, tmp_path / "a")
    assert (tmp_path / "a" / "state").read_bytes() == b"x"
