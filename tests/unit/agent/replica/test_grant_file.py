from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.grant_file import SeenGrants
from agent.replica.layout import Layout
from tests.unit.agent.fakes import Fuse, FusedFiles, Killed


def seen(folder: Path, files: FusedFiles | None = None) -> SeenGrants:
    return SeenGrants(files or FusedFiles(), Layout(folder))


def test_version_only_rises_and_survives_a_restart(tmp_path: Path) -> None:
    grants = seen(tmp_path)
    assert grants.version == 0
    assert [grants.note(version) for version in (0, 3, 2, 3)] == [0, 3, 3, 3]
    assert seen(tmp_path).version == 3
    assert seen(tmp_path).note((1 << 63) - 1) == seen(tmp_path).version


def test_version_that_was_seen_writes_nothing(tmp_path: Path) -> None:
    files = FusedFiles()
    grants = seen(tmp_path, files)
    grants.note(3)
    written = files.fuse.ticks
    grants.note(3)
    grants.note(1)
    assert files.fuse.ticks == written


def test_version_that_cannot_be_written_does_not_count(tmp_path: Path) -> None:
    files = FusedFiles()
    grants = seen(tmp_path, files)
    files.error = OSError(28, "no space left")
    with pytest.raises(OSError, match="no space"):
        grants.note(3)
    assert grants.version == 0


def test_kill_at_any_write_leaves_the_old_version_or_the_new(tmp_path: Path) -> None:
    counting = FusedFiles()
    (tmp_path / "counted").mkdir()
    seen(tmp_path / "counted", counting).note(1)
    found = set()
    for moment in range(1, counting.fuse.ticks + 1):
        folder = tmp_path / str(moment)
        folder.mkdir()
        seen(folder).note(1)
        with pytest.raises(Killed):
            seen(folder, FusedFiles(Fuse(moment))).note(2)
        found.add(seen(folder).version)
    assert found == {1, 2}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"checksum":"x","version":4}'])
def test_damaged_file_stops_reception_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    path = Layout(tmp_path).grant
    path.write_bytes(content)
    grants = seen(tmp_path)
    assert grants.version == 0
    with pytest.raises(ReplicaError, match="is damaged.*Remove the file") as raised:
        grants.note(1)
    assert not raised.value.is_diverged
    assert path.read_bytes() == content
