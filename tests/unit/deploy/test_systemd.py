"""The units say what the programs understand, and keep them in a sandbox."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.config import load_agent_settings
from coordinator.config import CoordinatorSettings
from replikera.settings import load_settings
from replikera.system.files import SystemFiles
from tests.support.systemd_units import UNITS, Unit, read_unit

NAMES = ("replikera-coordinator", "replikera-agent")
EXAMPLES = UNITS.parent / "examples"

SANDBOX = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateUsers": "yes",
    "PrivateMounts": "yes",
    "PrivateIPC": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RemoveIPC": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
    "User": "replikera",
    "Group": "replikera",
    "StateDirectoryMode": "0700",
}


@pytest.fixture(params=NAMES)
def unit(request: pytest.FixtureRequest) -> Unit:
    return read_unit(UNITS / f"{request.param}.service")


def test_every_unit_is_one_that_is_tested_here() -> None:
    assert {path.stem for path in UNITS.glob("*.service")} == set(NAMES)


def test_the_program_is_one_that_is_installed(unit: Unit) -> None:
    program = Path(unit.command[0])
    assert program.parent == Path("/opt/replikera/bin")
    assert program.name == unit.path.stem
    assert program.name in entry_points(group="console_scripts").names


def test_the_program_knows_its_options(unit: Unit) -> None:
    _, verb, *arguments = unit.command
    options = [word for word in arguments if word.startswith("-")]
    (found,) = entry_points(group="console_scripts", name=unit.path.stem)
    app = found.load().__globals__["app"]
    shown = CliRunner().invoke(app, [verb, "--help"])
    assert shown.exit_code == 0, shown.output
    assert options
    for option in options:
        assert option in shown.output


def test_the_sandbox_is_closed(unit: Unit) -> None:
    assert {key: unit.values(key) for key in SANDBOX} == {
        key: [value] for key, value in SANDBOX.items()
    }
    assert unit.values("SystemCallFilter") == ["@system-service", "~@privileged @resources"]
    assert "ReadWritePaths" not in unit.sections["Service"]


def test_the_service_manager_is_told_and_acts(unit: Unit) -> None:
    assert unit.value("Type") == "notify"
    assert unit.value("NotifyAccess") == "main"
    assert unit.value("WatchdogSec") == "30s"
    assert unit.value("Restart") == "on-failure"
    assert unit.sections["Install"] == {"WantedBy": ["multi-user.target"]}


def test_the_examples_need_no_more_than_the_units_allow() -> None:
    coordinator = load_settings(SystemFiles(), EXAMPLES / "coordinator.toml", CoordinatorSettings)
    assert coordinator.vault.state_directory == state_directory("replikera-coordinator")
    for site in ("primary", "secondary"):
        agent = load_agent_settings(SystemFiles(), EXAMPLES / f"agent-{site}.toml")
        assert agent.agent.state_directory == state_directory("replikera-agent")
        assert state_directory("replikera-agent") in agent.hypervisor.simulated.root.parents


def state_directory(name: str) -> Path:
    return Path("/var/lib") / read_unit(UNITS / f"{name}.service").value("StateDirectory")


def test_the_passphrase_is_a_credential_and_never_in_the_environment() -> None:
    unit = read_unit(UNITS / "replikera-coordinator.service")
    name, _, source = unit.value("LoadCredential").partition(":")
    settings = load_settings(SystemFiles(), EXAMPLES / "coordinator.toml", CoordinatorSettings)
    assert Path(source) == settings.vault.passphrase_file
    assert unit.command[unit.command.index("--passphrase-file") + 1] == f"%d/{name}"
    assert "Environment" not in unit.sections["Service"]


@pytest.mark.parametrize("text", ["Type=notify\n", "[Service]\nType\n", "[Service]\nA=b \\\nc\n"])
def test_a_line_that_is_none_of_a_unit_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.service"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.service"):
        read_unit(path)
