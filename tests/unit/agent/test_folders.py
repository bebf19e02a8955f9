import sys
from pathlib import Path

import pytest

from agent.folders import FolderError, prepare_folders
from agent.replica.folders import StorageFolders
from replikera.system.files import SystemFiles

FILES = SystemFiles()
PROTECTION = "33333333-0000-4000-8000-000000000003"


def prepare(root: Path, wanted: StorageFolders) -> None:
    (root / "state").mkdir(exist_ok=True)
    prepare_folders(FILES, wanted, root / "state" / "replica-folders.json")


def folders(root: Path, *replicas: str, seeds: str = "seeds") -> StorageFolders:
    return StorageFolders(
        replicas=tuple(root / name for name in replicas or ("replicas",)),
        exports=root / "exports",
        seeds=root / seeds,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits")
def test_missing_folders_are_made_for_the_agent_alone(tmp_path: Path) -> None:
    prepare(tmp_path, folders(tmp_path, "one/replicas", "two"))
    for name in ("one/replicas", "one", "two", "exports", "seeds"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "replicas").mkdir(mode=0o700)
    (tmp_path / "replicas" / "lost+found").mkdir()
    for _ in range(2):
        prepare(tmp_path, folders(tmp_path))
    assert (tmp_path / "replicas" / "lost+found").is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits")
def test_folder_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir(mode=0o755)
    with pytest.raises(FolderError, match=r"storage\.export_folder.*run chmod 700 .*exports"):
        prepare(tmp_path, folders(tmp_path))


def test_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds").write_bytes(b"")
    with pytest.raises(FolderError, match=r"seeds \(storage\.seed_folder\) is no folder"):
        prepare(tmp_path, folders(tmp_path))


def test_folder_that_cannot_be_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FolderError, match=r"storage\.replica_folders.*Make it and give it"):
        prepare(tmp_path, folders(tmp_path, "file/replicas"))


@pytest.mark.parametrize(
    ("replicas", "seeds"),
    [(("a", "a"), "s"), (("a", "a/b"), "s"), (("a/b", "a"), "s"), (("a",), "a/s"), (("a",), "a")],
)
def test_folders_in_one_another_are_refused(
    tmp_path: Path, replicas: tuple[str, ...], seeds: str
) -> None:
    with pytest.raises(FolderError, match="in one another"):
        prepare(tmp_path, folders(tmp_path, *replicas, seeds=seeds))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_volume_that_is_not_mounted_is_noticed(tmp_path: Path) -> None:
    prepare(tmp_path, folders(tmp_path, "one", "two"))
    (tmp_path / "two").rename(tmp_path / "unmounted")
    for _ in range(2):
        with pytest.raises(FolderError, match=r"two .*mount its volume.*remove .*folders\.json"):
            prepare(tmp_path, folders(tmp_path, "one", "two"))
        (tmp_path / "two").mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "two").rmdir()
    (tmp_path / "unmounted").rename(tmp_path / "two")
    prepare(tmp_path, folders(tmp_path, "one", "two"))


def test_folder_with_replicas_is_not_forgotten(tmp_path: Path) -> None:
    prepare(tmp_path, folders(tmp_path, "one", "two"))
    (tmp_path / "two" / PROTECTION).mkdir()
    with pytest.raises(FolderError, match="two holds replicas and is missing"):
        prepare(tmp_path, folders(tmp_path, "one"))
    (tmp_path / "two" / PROTECTION).rmdir()
    prepare(tmp_path, folders(tmp_path, "one"))
    (tmp_path / "two").rename(tmp_path / "gone")
    prepare(tmp_path, folders(tmp_path, "one"))


@pytest.mark.parametrize("text", [b"", b"{}", b"[5]", b"[" * 5000])
def test_record_that_is_none_is_named(tmp_path: Path, text: bytes) -> None:
    prepare(tmp_path, folders(tmp_path))
    (tmp_path / "state" / "replica-folders.json").write_bytes(text)
    with pytest.raises(FolderError, match=r"folders\.json does not list"):
        prepare(tmp_path, folders(tmp_path))
