"""The agent as a process: what it refuses, how it starts and stops, what an operator reads."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.control.membership import Membership, MembershipFolder
from replikera.enrolment import parse_join_line
from replikera.identity import Role
from replikera.system.files import SystemFiles
from replikera.system.loopback import free_ports
from replikera.system.randomness import SystemRandomness
from tests.integration.agent.conftest import AGENT
from tests.integration.coordinator.running_vault import SECONDS, RunningVault
from tests.support.authority import VAULT_ID, make_authority


@dataclass
class Ended:
    exit_code: int
    output: str
    errors: str


class HostProcess:
    """One host's folder, and the agent as its processes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.state = folder / "state"
        self.settings = folder / "agent.toml"
        folder.mkdir()
        self.write_settings()

    def write_settings(self, old: str = "", new: str = "") -> None:
        text = (
            f'[agent]\nname = "a-host"\nstate_directory = "{self.state}"\n'
            f'[replication]\nlisten = "127.0.0.1:{self.port}"\naddress = "127.0.0.1:{self.port}"\n'
            f'[hypervisor]\nkind = "simulated"\n'
            f'[hypervisor.simulated]\nroot = "{self.folder / "simulated"}"\n'
        )
        assert old in text
        self.settings.write_text(text.replace(old, new) if old else text)

    async def run(self, *arguments: str, given: bytes = b"") -> Ended:
        process = await asyncio.create_subprocess_exec(
            str(AGENT),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(3 * SECONDS):
            output, errors = await process.communicate(given)
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), errors.decode())

    def pretend_to_be_joined(self, *, valid_for: timedelta = timedelta(days=7)) -> None:
        folder = MembershipFolder(SystemFiles(), self.state / "identity")
        membership = Membership(VAULT_ID, "home", "host-1", "127.0.0.1:1", "a")
        credentials = make_authority().issue(Role.HOST, "host-1", valid_for=valid_for)
        folder.adopt("join-1", membership, credentials)

    def reach(self, vault: RunningVault) -> None:
        """Let the vault's name mean this machine."""
        path = self.state / "identity" / "vault.json"
        told = json.loads(path.read_text())
        path.write_text(json.dumps({**told, "session_address": f"127.0.0.1:{vault.ports.session}"}))

    @asynccontextmanager
    async def started(self) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            str(AGENT), "run", "--settings", str(self.settings), stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
def host(tmp_path: Path) -> HostProcess:
    (port,) = free_ports(1, SystemRandomness())
    return HostProcess(tmp_path / "host", port)


async def event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """Return the next logged event of that name."""
    assert process.stderr is not None
    async with asyncio.timeout(3 * SECONDS):
        async for line in process.stderr:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found
    raise EOFError(name)


def no_traceback(ended: Ended) -> str:
    assert "Traceback" not in ended.errors
    assert ended.output == ""
    return ended.errors


@pytest.mark.parametrize("command", ["run", "join"])
async def test_malformed_settings_are_refused_by_name(host: HostProcess, command: str) -> None:
    host.write_settings('kind = "simulated"', 'kind = "simulated"\ncolour = "blue"')
    ended = await host.run(command, "--settings", str(host.settings))
    assert ended.exit_code == 2
    errors = no_traceback(ended)
    assert str(host.settings) in errors
    assert "hypervisor.colour" in errors


async def test_missing_settings_file_is_named(host: HostProcess) -> None:
    ended = await host.run("run", "--settings", str(host.folder / "gone.toml"))
    assert ended.exit_code == 2
    assert "gone.toml" in no_traceback(ended)


async def test_host_that_has_not_joined_is_told_what_to_run(host: HostProcess) -> None:
    ended = await host.run("run", "--settings", str(host.settings))
    assert ended.exit_code == 1
    assert "run replikera-agent join first" in no_traceback(ended)
    assert len(ended.errors.splitlines()) == 1


async def test_expired_certificate_is_named(host: HostProcess) -> None:
    host.pretend_to_be_joined(valid_for=timedelta(hours=-1))
    ended = await host.run("run", "--settings", str(host.settings))
    assert ended.exit_code == 1
    assert "has expired" in no_traceback(ended)
    assert "replikera host readmit" in ended.errors


def damage_ledger(host: HostProcess) -> str:
    (host.state / "orders").mkdir()
    (host.state / "orders" / "x.json").write_text("{")
    return "x.json is not an entry of the order ledger"


def damage_control_version(host: HostProcess) -> str:
    (host.state / "control.json").write_text("{")
    return "control.json does not hold the control version"


def damage_identity(host: HostProcess) -> str:
    (host.state / "identity" / "join-1" / "certificate.pem").write_text("")
    return "the identity of this host"


def damage_run_count(host: HostProcess) -> str:
    (host.state / "identity" / "starts.json").write_text("{")
    return "starts.json does not hold"


def damage_deny_list(host: HostProcess) -> str:
    (host.state / "deny-list").write_text("{")
    return "deny-list cannot be used"


def damage_folder_record(host: HostProcess) -> str:
    (host.state / "replica-folders.json").write_text("{")
    return "replica-folders.json does not list"


def open_replica_folder(host: HostProcess) -> str:
    (host.state / "replicas").mkdir()
    (host.state / "replicas").chmod(0o755)
    return f"run chmod 700 {host.state / 'replicas'}"


@pytest.mark.parametrize(
    "damage",
    [
        damage_folder_record,
        open_replica_folder,
        damage_ledger,
        damage_control_version,
        damage_identity,
        damage_run_count,
        damage_deny_list,
    ],
)
async def test_damaged_state_is_named(
    host: HostProcess, damage: Callable[[HostProcess], str]
) -> None:
    host.pretend_to_be_joined()
    problem = damage(host)
    ended = await host.run("run", "--settings", str(host.settings))
    assert ended.exit_code == 1
    assert problem in no_traceback(ended)


@pytest.mark.parametrize("given", [b"", b"rk1/short\n", b"x" * 10_000])
async def test_text_that_is_no_join_line_is_refused(host: HostProcess, given: bytes) -> None:
    ended = await host.run("join", "--settings", str(host.settings), given=given)
    assert ended.exit_code == 1
    assert "not a whole join line" in no_traceback(ended)


@pytest.mark.parametrize("mode", [0o644, 0o640])
async def test_join_line_that_others_may_read_is_refused(host: HostProcess, mode: int) -> None:
    path = host.folder / "line"
    path.write_text("rk1/...")
    path.chmod(mode)
    ended = await host.run("join", "--settings", str(host.settings), "--file", str(path))
    assert ended.exit_code == 1
    assert f"chmod 600 {path}" in no_traceback(ended)


async def test_file_that_holds_no_join_line_is_named(host: HostProcess) -> None:
    path = host.folder / "line"
    path.write_bytes(b"\xff" * 5000)
    path.chmod(0o600)
    ended = await host.run("join", "--settings", str(host.settings), "--file", str(path))
    assert ended.exit_code == 1
    assert str(path) in no_traceback(ended)


async def test_agent_runs_without_its_vault_and_stops_when_told(host: HostProcess) -> None:
    host.pretend_to_be_joined()
    async with host.started() as process:
        ready = await event(process, "agent ready")
        assert ready["replication_port"] == host.port
        process.send_signal(signal.SIGTERM)
        await event(process, "agent stopped")
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == 0


async def test_second_agent_of_a_folder_is_refused(host: HostProcess) -> None:
    host.pretend_to_be_joined()
    async with host.started() as process:
        await event(process, "agent ready")
        ended = await host.run("run", "--settings", str(host.settings))
    assert ended.exit_code == 1
    assert "runs on" in no_traceback(ended)


async def test_join_beside_a_running_agent_is_refused(host: HostProcess) -> None:
    host.pretend_to_be_joined()
    line = f"rk1/{'0' * 16}/{'s' * 43}/127.0.0.1:1/{'0' * 64}"
    async with host.started() as process:
        await event(process, "agent ready")
        ended = await host.run("join", "--settings", str(host.settings), given=line.encode())
    assert ended.exit_code == 1
    assert "stop it first" in no_traceback(ended)


async def test_every_start_is_counted(host: HostProcess) -> None:
    host.pretend_to_be_joined()
    for count in (1, 2):
        async with host.started() as process:
            await event(process, "agent ready")
        told = json.loads((host.state / "identity" / "starts.json").read_text())
        assert told == {"start_count": count}


async def test_port_in_use_is_named(host: HostProcess, tmp_path: Path) -> None:
    host.pretend_to_be_joined()
    other = HostProcess(tmp_path / "other", host.port)
    other.pretend_to_be_joined()
    async with host.started() as process:
        await event(process, "agent ready")
        ended = await other.run("run", "--settings", str(other.settings))
    assert ended.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{host.port}" in no_traceback(ended)


async def test_join_from_standard_input_and_a_session_with_the_vault(
    vault: RunningVault, host: HostProcess
) -> None:
    line = parse_join_line(await vault.join_line("a"))
    reachable = replace(line, address=f"127.0.0.1:{vault.ports.enrolment}").format()
    joined = await host.run(
        "join", "--settings", str(host.settings), given=reachable.encode() + b"\n"
    )
    assert joined.exit_code == 0, joined.errors
    assert "joined vault home at site a" in joined.output
    host.reach(vault)
    await host.run(
        "simulate", "create-host", "--root", str(host.folder / "simulated"), "--network", "LAN"
    )
    async with host.started() as process:
        await event(process, "session with the vault opened")
        (listed,) = (await vault.get("/hosts"))["items"]
        assert (listed["name"], listed["state"]) == ("a-host", "connected")
        assert listed["replication_address"] == f"127.0.0.1:{host.port}"
        shown = await vault.get("/hosts/a-host")
        assert shown["replica_folders"] == [str(host.state / "replicas")]
        assert await network_names(vault) == ["LAN"]


async def network_names(vault: RunningVault) -> list[str]:
    """Return the networks that the host reported, once it has."""
    async with asyncio.timeout(SECONDS):
        while not (found := (await vault.get("/networks"))["items"]):
            pass
    return [network["name"] for network in found]
