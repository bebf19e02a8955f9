"""The command as a user runs it: making a vault, running it, and saying what is wrong."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from coordinator.domain.commands import by_operator
from coordinator.main import app
from coordinator.orchestration.founding import open_vault
from coordinator.orchestration.machinery import StateDirectory
from coordinator.orchestration.vault import Addresses
from replikera.identity import Role, dns_name, load_credentials
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.workers import ThreadWorker
from replikera.tls import client_tls
from tests.integration.coordinator.running_vault import machinery_with

SECONDS = 30


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process must not send the logs of later tests to their own closed streams."""
    monkeypatch.setattr("coordinator.main.configure_logging", lambda _level: None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_settings(folder: Path) -> Path:
    tables = [f'[vault]\nstate_directory = "{folder}/state"']
    for name in ("enrolment", "session", "api"):
        address = f"127.0.0.1:{free_port()}"
        tables.append(f'[{name}]\nlisten = "{address}"\naddress = "{address}"')
    path = folder / "coordinator.toml"
    path.write_text("\n".join(tables))
    return path


def init(folder: Path, *more: str) -> tuple[int, str, str]:
    arguments = ["init", "--settings", str(folder / "coordinator.toml"), "--name", "home"]
    arguments += ["--operator", "ann", "--profile", str(folder / "profile"), *more]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def run(folder: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["run", "--settings", str(folder / "coordinator.toml")])
    return result.exit_code, result.stderr


def test_init_makes_a_vault_once_and_shows_no_secret(tmp_path: Path) -> None:
    write_settings(tmp_path)
    code, out, _ = init(tmp_path)
    assert code == 0
    assert str(tmp_path / "state") in out
    assert (tmp_path / "state" / "passphrase").read_text().strip() not in out
    assert json.loads((tmp_path / "profile" / "profile.json").read_text())["vault_name"] == "home"
    code, _, errors = init(tmp_path)
    assert code == 1
    assert "There is a vault in" in errors
    assert "Traceback" not in errors


def test_the_passphrase_may_be_kept_elsewhere(tmp_path: Path) -> None:
    write_settings(tmp_path)
    elsewhere = tmp_path / "credentials" / "passphrase"
    assert init(tmp_path, "--passphrase-file", str(elsewhere))[0] == 0
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "state" / "passphrase").exists()
    code, errors = run(tmp_path)
    assert code == 1
    assert str(tmp_path / "state" / "passphrase") in errors


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "coordinator.toml"),
        ("[vault", "coordinator.toml"),
        ("[vault]\nstate_directory = 5\n", "vault.state_directory"),
        ("[volt]\n", "volt"),
    ],
)
def test_malformed_settings_are_told_by_file_and_key(
    tmp_path: Path, text: str | None, named: str
) -> None:
    if text is not None:
        (tmp_path / "coordinator.toml").write_text(text)
    for code, errors in ((init(tmp_path)[0], init(tmp_path)[2]), run(tmp_path)):
        assert code == 1
        assert named in errors
        assert "Traceback" not in errors


def test_without_a_vault_run_says_how_to_make_one(tmp_path: Path) -> None:
    write_settings(tmp_path)
    code, errors = run(tmp_path)
    assert code == 1
    assert "replikera-coordinator init" in errors
    assert not (tmp_path / "state").exists()


def test_a_second_coordinator_on_the_folder_is_refused(tmp_path: Path) -> None:
    write_settings(tmp_path)
    init(tmp_path)
    with SystemFiles().lock(tmp_path / "state" / "coordinator.lock"):
        code, errors = run(tmp_path)
    assert code == 1
    assert "A coordinator runs on" in errors


@pytest.mark.parametrize("name", ["enrolment", "session", "api"])
def test_an_address_in_use_is_told(tmp_path: Path, name: str) -> None:
    text = write_settings(tmp_path).read_text()
    init(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f'[{name}]\nlisten = "127.0.0.1:{holder.getsockname()[1]}"'
        lines = text.split(f"[{name}]\n")
        rest = lines[1].split("\n", 1)[1]
        (tmp_path / "coordinator.toml").write_text(f"{lines[0]}{taken}\n{rest}")
        code, errors = run(tmp_path)
    assert code == 1
    assert "cannot listen on 127.0.0.1" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_daemon_says_when_it_is_ready_serves_and_stops_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    settings = write_settings(tmp_path)
    await asyncio.to_thread(init, tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from coordinator.main import main; main()",
        "run",
        "--settings",
        str(settings),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        line = json.loads(await process.stderr.readline())
    assert line["event"] == "coordinator ready"
    operator = load_credentials(SystemFiles(), tmp_path / "profile")
    vault_id = operator.caller.vault_id
    assert line["vault"] == vault_id
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"https://127.0.0.1:{line['api_port']}/api/v1/vault",
            ssl=client_tls(operator),
            server_hostname=dns_name(Role.VAULT, vault_id, vault_id),
        ) as response,
    ):
        assert (await response.json())["id"] == vault_id
    os.kill(process.pid, number)
    async with asyncio.timeout(SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 0
    events = [json.loads(text)["event"] for text in errors.decode().splitlines()]
    assert events == ["coordinator stopping", "coordinator stopped"]


def command(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.stdout.split()), " ".join(result.stderr.split())


def back_up(folder: Path) -> Path:
    """Take a backup of the vault in a folder, which does not run."""

    async def take() -> Path:
        worker = ThreadWorker("test", threads=1)
        machinery = machinery_with(SystemClock(), worker)
        state = StateDirectory(folder / "state", folder / "state" / "passphrase")
        vault = await open_vault(machinery, state, Addresses("a:1", "b:1"))
        path = folder / "backup.tar"
        try:
            async with vault.backups.take(vault, by_operator("ann")) as backup:
                async for chunk in backup.chunks():
                    SystemFiles().append(path, chunk)
        finally:
            await vault.store.close()
            worker.close()
        return path

    return asyncio.run(take())


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a vault."""
    write_settings(tmp_path)
    assert init(tmp_path)[0] == 0
    return tmp_path


def other_machine(made: Path) -> Path:
    """Return the folder of another machine, with settings and the passphrase in its place."""
    folder = made / "other"
    (folder / "state").mkdir(parents=True)
    write_settings(folder)
    shutil.copy(made / "state" / "passphrase", folder / "state" / "passphrase")
    return folder


def test_a_backup_is_verified_and_restored_by_hand(made: Path) -> None:
    archive = back_up(made)
    code, out, _ = command("verify-backup", archive)
    assert code == 0
    assert "can be restored: vault home" in out
    assert "keys were not opened" in out
    passphrase = made / "state" / "passphrase"
    code, out, _ = command("verify-backup", archive, "--passphrase-file", passphrase)
    assert (code, "keys were not opened" in out) == (0, False)
    other = other_machine(made)
    code, out, _ = command("restore", archive, "--settings", other / "coordinator.toml")
    assert code == 0
    assert "replikera-coordinator run" in out
    assert "sends no order before its hosts have told" in out
    code, _, errors = command("restore", archive, "--settings", other / "coordinator.toml")
    assert code == 1
    assert "is not empty" in errors


def test_a_backup_that_is_none_is_told(made: Path) -> None:
    archive = made / "backup.tar"
    for content in (None, b"", b"x" * 9000):
        if content is not None:
            archive.write_bytes(content)
        other = other_machine(made)
        for arguments in (
            ("verify-backup", archive),
            ("restore", archive, "--settings", other / "coordinator.toml"),
        ):
            code, _, errors = command(*arguments)
            assert code == 1
            assert str(archive) in errors
        code, errors = run(other)
        assert code == 1
        assert "There is no vault" in errors
        shutil.rmtree(other)


def test_a_restore_without_the_passphrase_says_where_it_belongs(made: Path) -> None:
    archive = back_up(made)
    other = other_machine(made)
    (other / "state" / "passphrase").unlink()
    code, _, errors = command("restore", archive, "--settings", other / "coordinator.toml")
    assert code == 1
    assert str(other / "state" / "passphrase") in errors
    elsewhere = made / "state" / "passphrase"
    settings = other / "coordinator.toml"
    code, _, _ = command("restore", archive, "--settings", settings, "--passphrase-file", elsewhere)
    assert code == 0


def test_an_owner_is_recovered_on_the_machine_itself(made: Path) -> None:
    settings = made / "coordinator.toml"
    old = load_credentials(SystemFiles(), made / "profile")
    shutil.rmtree(made / "profile")
    for name in ("ann", "bob"):
        code, out, _ = command(
            "recover-owner", "--settings", settings, "--name", name, "--profile", made / name
        )
        assert code == 0
        assert str(made / name) in out
        new = load_credentials(SystemFiles(), made / name)
        assert (new.caller.name, new.caller.vault_id) == (name, old.caller.vault_id)
    with SystemFiles().lock(made / "state" / "coordinator.lock"):
        code, _, errors = command(
            "recover-owner", "--settings", settings, "--name", "eve", "--profile", made / "eve"
        )
    assert code == 1
    assert "A coordinator runs on" in errors
    assert not (made / "eve").exists()


def test_an_interrupted_init_is_finished_by_the_same_command(made: Path) -> None:
    # As if the machine had lost its power just before the database was written.
    vault_id = json.loads((made / "profile" / "profile.json").read_text())["vault_id"]
    (made / "state" / "unfinished.json").write_text(json.dumps({"vault_id": vault_id}))
    (made / "state" / "vault.db").unlink()
    code, errors = run(made)
    assert code == 1
    assert "replikera-coordinator init" in errors
    assert init(made)[0] == 0
    again = json.loads((made / "profile" / "profile.json").read_text())["vault_id"]
    assert again != vault_id
    assert load_credentials(SystemFiles(), made / "profile").caller.vault_id == again
