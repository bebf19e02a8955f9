from datetime import timedelta
from pathlib import Path

import pytest

from agent.config import AgentSettings, load_agent_settings
from agent.replica.folders import StorageFolders
from agent.source.host import ViewLimits
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
    state = tmp_path / "state"
    assert settings.folders == StorageFolders((state / "replicas",), state / "exports", None)
    assert settings.view_limits == ViewLimits(timedelta(hours=1), 10 << 30)


def test_folders_and_bounds_of_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
[storage]
replica_folders = ["fast", "/slow"]
seed_folder = "seeds"
export_folder = "exports"
[source]
view_max_age_seconds = 600
view_max_growth_bytes = 1073741824
"""
    settings = load(tmp_path, SMALLEST + text)
    assert settings.folders == StorageFolders(
        (tmp_path / "fast", Path("/slow")), tmp_path / "exports", tmp_path / "seeds"
    )
    assert settings.view_limits == ViewLimits(timedelta(minutes=10), 1 << 30)


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
        ("[agent]", "[storage]\nreplica_folders = []\n[agent]", "storage.replica_folders"),
        ("[agent]", "[storage]\nreplica_folders = 'r'\n[agent]", "storage.replica_folders"),
        ("[agent]", "[storage]\nseed_folder = 5\n[agent]", "storage.seed_folder"),
        ("[agent]", "[storage]\nexports = 'e'\n[agent]", "did you mean export_folder"),
        ("[agent]", "[source]\nview_max_age_seconds = 0\n[agent]", "source.view_max_age_seconds"),
        ("[agent]", "[source]\nview_max_growth_bytes = 5\n[agent]", "source.view_max_growth_bytes"),
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
