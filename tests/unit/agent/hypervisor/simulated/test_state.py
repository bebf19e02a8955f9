from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.state import NetworkEntry, NetworksFile
from replikera.system.files import SystemFiles

FILES = SystemFiles()


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    networks = NetworksFile((NetworkEntry("a", True, ("10.0.0.0/8",)),))
    state.NETWORKS.save(FILES, tmp_path / "n.json", networks)
    assert state.NETWORKS.load(FILES, tmp_path / "n.json") == networks


def test_a_missing_file_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert state.NETWORKS.load(FILES, tmp_path / "n.json") is None
    assert state.NETWORKS.load(FILES, tmp_path / "file" / "n.json") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Invalid JSON"),
        ("[]", "the file"),
        (
            '{"networks": [{"name": "a", "is_isolated": "yes", "subnets": []}]}',
            "networks.0.is_isolated",
        ),
        ('{"networks": [], "colour": 1}', "colour"),
        ('{"networks": "' + "a" * (1 << 20) + '"}', "holds more than"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "n.json"
    path.write_text(text)
    with pytest.raises(HypervisorError, match=problem) as caught:
        state.NETWORKS.load(FILES, path)
    assert caught.value.code == "bad-state-file"
    assert str(path) in caught.value.cause
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a b", "a\n", "-a", "a" * 129])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(HypervisorError, match="cannot be the tag") as caught:
        state.check_file_name("tag", name)
    assert caught.value.code == "bad-name"


def test_an_identifier_is_a_file_name() -> None:
    assert state.check_file_name("tag", "0b1f-2c.x_y") == "0b1f-2c.x_y"
