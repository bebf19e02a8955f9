from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.folders import StorageFolders
from replikera.system.files import SystemFiles

PROTECTION = "33333333-0000-4000-8000-000000000003"
FOLDERS = StorageFolders(replicas=(Path("/fast"), Path("/slow")), exports=Path("/exports"))


@pytest.mark.parametrize(
    ("name", "folder"), [("", "/fast"), ("/fast", "/fast"), ("/slow", "/slow")]
)
def test_order_names_one_of_the_folders_or_none(name: str, folder: str) -> None:
    assert FOLDERS.choose(name) == Path(folder)


@pytest.mark.parametrize("name", ["/", "/slow/", "/slow/../etc", "slow", "/exports"])
def test_any_other_folder_is_refused(name: str) -> None:
    with pytest.raises(ReplicaError, match="it does in /fast, /slow") as raised:
        FOLDERS.choose(name)
    assert raised.value.code == "unknown-folder"


def test_only_what_is_named_after_a_protection_is_found(tmp_path: Path) -> None:
    for name in (f"fast/{PROTECTION}", "fast/lost+found", f"slow/{PROTECTION}"):
        (tmp_path / name).mkdir(parents=True)
    names = (tmp_path / "fast", tmp_path / "slow", tmp_path / "missing")
    folders = StorageFolders(replicas=names, exports=tmp_path / "exports")
    found = folders.found(SystemFiles())
    assert found == [tmp_path / "fast" / PROTECTION, tmp_path / "slow" / PROTECTION]
