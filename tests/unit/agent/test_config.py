from pathlib import Path

import pytest

from agent.config import AgentSettings, load_agent_settings
from replikera.settings import SettingsError
from replikera.system.files import SystemFiles

SMALLEST = """
[agent]
state_directory = "state"
[replication]
listen = "0.0.0.0:7404"
address = "[fd00::5]:7404"
[hypervisor]
kind = "simulated"
[hypervisor.simulated]
root = "simulated"
"""


def load(folder: Path, text: str) -> AgentSettings:
    path = folder / "agent.toml"
    path.write_text(text)
    return load_agent_settings(SystemFiles(), path)


def test_defaults_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(tmp_path, SMALLEST)
    assert settings.agent.state_directory == tmp_path / "state"
    assert settings.hypervisor.simulated.root == tmp_path / "simulated"
    assert settings.agent.host_name
    assert settings.log_level == "info"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[agent]", "[agent]\nnmae = 'x'", "agent.nmae"),
        ("[agent]", "[agent]\nname = 'a b'", "agent.name"),
        ("[agent]", "[agent]\nname = ''", "agent.name"),
        ("[agent]", "log_level = 'loud'\n[agent]", "log_level"),
        ('state_directory = "state"', "", "agent.state_directory"),
        ('state_directory = "state"', "state_directory = 5", "agent.state_directory"),
        ('listen = "0.0.0.0:7404"', 'listen = "7404"', "replication.listen"),
        ('listen = "0.0.0.0:7404"', 'listen = "h:0"', "replication.listen"),
        ('listen = "0.0.0.0:7404"', 'listen = "h:65536"', "replication.listen"),
        ('address = "[fd00::5]:7404"', 'address = "a b:1"', "replication.address"),
        ('kind = "simulated"', 'kind = "vmware"', "hypervisor.kind"),
        ('root = "simulated"', "", "hypervisor.simulated.root"),
        ('root = "simulated"', 'root = "r"\nkeep_views = -1', "hypervisor.simulated.keep_views"),
        ("[replication]", "[replication", "is not TOML"),
    ],
)
def test_wrong_setting_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in SMALLEST
    with pytest.raises(SettingsError, match=r"agent\.toml") as caught:
        load(tmp_path, SMALLEST.replace(old, new))
    assert problem in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no settings file .*gone\.toml"):
        load_agent_settings(SystemFiles(), tmp_path / "gone.toml")
