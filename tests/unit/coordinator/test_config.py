from pathlib import Path

import pytest

from coordinator.config import CoordinatorSettings, ListenerSettings
from replikera.settings import SettingsError, load_settings
from replikera.system.files import SystemFiles

GOOD = """
[vault]
state_directory = "/var/lib/vault"
[enrolment]
listen = "0.0.0.0:7401"
address = "vault.example.net:7401"
[session]
listen = "[::]:7402"
address = "[2001:db8::1]:7402"
[api]
listen = "127.0.0.1:7403"
address = "vault:7403"
"""


def load(folder: Path, text: str) -> CoordinatorSettings:
    (folder / "coordinator.toml").write_text(text)
    return load_settings(SystemFiles(), folder / "coordinator.toml", CoordinatorSettings)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert settings.vault.state_directory == Path("/var/lib/vault")
    assert settings.vault.passphrase_file is None
    assert settings.session == ListenerSettings("[::]:7402", "[2001:db8::1]:7402")
    assert settings.log_level == "info"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("[api]", "[apy]", "apy"),
        ("[api]", "[apy]", "api"),
        ('state_directory = "/var/lib/vault"', "", "vault.state_directory"),
        ('state_directory = "/var/lib/vault"', "state_directory = 5", "vault.state_directory"),
        ('listen = "127.0.0.1:7403"', "listen = 7403", "api.listen"),
        ("127.0.0.1:7403", "127.0.0.1:0", "api.listen"),
        ("127.0.0.1:7403", "127.0.0.1:65536", "api.listen"),
        ("127.0.0.1:7403", "127.0.0.1", "api.listen"),
        ("vault:7403", "va ult:7403", "api.address"),
        ("vault:7403", "2001:db8::1:7403", "api.address"),
        ("[vault]", 'log_level = "loud"\n[vault]', "log_level"),
        ("[vault]", "[vault]\npassphrase = 'secret'", "vault.passphrase"),
    ],
)
def test_a_mistake_is_told_by_file_and_key(tmp_path: Path, old: str, new: str, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert "coordinator.toml" in str(caught.value)
    assert f"  {path}: " in str(caught.value)


def test_a_file_that_is_not_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"coordinator\.toml"):
        load(tmp_path, "[vault\n")
