"""The settings that the lab writes are what the daemons are to be told, and no more."""

import tomllib
from pathlib import Path

from replikera.lab.folder import LabFolder, claim_folder
from replikera.lab.settings_files import KEPT_VIEWS, LoopbackPorts, host_name, write_settings
from replikera.system.files import SystemFiles


def written(tmp_path: Path) -> LabFolder:
    folder = claim_folder(SystemFiles(), tmp_path / 'a "lab"')
    write_settings(SystemFiles(), folder, LoopbackPorts(1, 2, 3, 4, 5))
    return folder


def test_the_coordinator_listens_on_three_ports_of_the_loopback(tmp_path: Path) -> None:
    folder = written(tmp_path)
    settings = tomllib.loads(folder.coordinator_settings.read_text())
    assert settings["vault"]["state_directory"] == str(folder.vault_state)
    listeners = [settings[name]["listen"] for name in ("enrolment", "session", "api")]
    assert listeners == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]


def test_only_the_source_keeps_views(tmp_path: Path) -> None:
    folder = written(tmp_path)
    kept = [
        tomllib.loads(site.settings.read_text())["hypervisor"]["simulated"]["keep_views"]
        for site in (folder.primary, folder.secondary)
    ]
    assert kept == [KEPT_VIEWS, 0]


def test_the_target_is_told_of_no_path_of_the_source(tmp_path: Path) -> None:
    folder = written(tmp_path)
    text = folder.secondary.settings.read_text()
    assert str(folder.primary.root) not in text
    assert tomllib.loads(text)["agent"]["name"] == host_name(folder.secondary)
