import json
from pathlib import Path

import pytest

from replikera.cli.errors import ExitCode
from replikera.ports.processes import Completed
from tests.support.lab import ScriptedProcesses
from tests.unit.replikera.cli.fake_vault import Answer, FakeVault
from tests.unit.replikera.cli.running import Cli
from tests.unit.replikera.cli.test_backups import archive

VAULT = {
    "id": "v",
    "name": "lab",
    "created_at": "2026-11-22T20:14:55Z",
    "session_address": "vault:7444",
    "enrolment_address": "vault:7443",
    "fingerprint": "ab" * 32,
    "mode": "serving",
    "mode_since": "2026-11-22T20:14:55Z",
    "hosts_missing": [],
    "head": {"number": 30, "digest": "cd" * 32},
}


async def test_the_vault_is_shown(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/vault", VAULT)
    assert await cli.json("vault", "show") == VAULT
    assert await cli.lines("vault", "show") == [
        "name lab",
        "id v",
        "created 2026-11-22 20:14:55Z",
        "session address vault:7444",
        "enrolment address vault:7443",
        f"root SHA-256 {'ab' * 32}",
        "mode serving",
        "since 2026-11-22 20:14:55Z",
        "history to line 30",
        f"digest {'cd' * 32}",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/vault", None)


RECONCILING = {**VAULT, "mode": "reconciling", "hosts_missing": ["hv1", "hv2"]}


@pytest.mark.parametrize(
    ("vault_now", "hint"), [(VAULT, "replikera status"), (RECONCILING, "replikera host list")]
)
async def test_the_next_step_follows_the_mode(
    cli: Cli, vault: FakeVault, vault_now: dict[str, object], hint: str
) -> None:
    vault.says("GET", "/vault", vault_now)
    assert (await cli("vault", "show")).stderr == f"next: {hint}\n"


async def test_a_backup_names_what_it_holds_and_what_not(
    cli: Cli, vault: FakeVault, tmp_path: Path
) -> None:
    vault.blurts("GET", "/vault/backup", Answer(200, archive(), "application/x-tar"))
    path = tmp_path / "b.tar"
    people = await cli("vault", "backup", str(path))
    assert people.exit_code == 0
    assert "history to line  17" in people.stdout
    assert "The passphrase of the authority is not in it" in people.stderr
    assert f"next: replikera vault verify {path}" in people.stderr
    again = await cli("vault", "backup", str(path))
    assert (again.exit_code, again.stdout) == (ExitCode.CONFLICT, "")
    other = tmp_path / "c.tar"
    assert (await cli.json("vault", "backup", str(other)))["head"]["number"] == 17


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "b.tar"
    path.write_bytes(archive())
    return path


async def test_verifying_is_the_coordinators_work(cli: Cli, backup: Path) -> None:
    cli.processes = programs = ScriptedProcesses()
    assert (await cli("vault", "verify", str(backup))).exit_code == 0
    found = await cli.json("vault", "verify", str(backup), "--passphrase-file", "/p")
    assert found["vault"] == {"id": "v-1", "name": "home"}
    assert programs.ran == [
        f"replikera-coordinator verify-backup {backup}",
        f"replikera-coordinator verify-backup {backup} --passphrase-file /p",
    ]


async def test_what_the_coordinator_says_of_a_bad_backup_is_the_end(cli: Cli, backup: Path) -> None:
    cli.processes = programs = ScriptedProcesses()
    programs.answers["replikera-coordinator"] = Completed(1, b"", b"error: it is damaged.")
    assert (await cli("vault", "verify", str(backup))).exit_code == 1
    failed = await cli("-o", "json", "vault", "verify", str(backup))
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "it is damaged" in json.loads(failed.stderr)["detail"]


async def test_a_restore_is_confirmed_by_the_vaults_name(cli: Cli, backup: Path) -> None:
    cli.processes = programs = ScriptedProcesses()
    restore = ("vault", "restore", str(backup), "--settings", "/c.toml")
    for options in ((), ("--confirm", "b.tar")):
        declined = await cli(*restore, *options)
        assert (declined.exit_code, declined.stdout) == (ExitCode.NOT_DONE, "")
    assert programs.ran == []
    done = await cli(*restore, "--confirm", "home", "--passphrase-file", "/p")
    assert done.exit_code == 0
    assert done.stderr == "next: start the coordinator, then: replikera vault show --watch\n"
    assert programs.ran == [
        f"replikera-coordinator restore {backup} --settings /c.toml --passphrase-file /p"
    ]


async def test_a_restore_of_nothing_is_refused(cli: Cli, tmp_path: Path) -> None:
    result = await cli("vault", "restore", str(tmp_path / "none.tar"), "--settings", "/c.toml")
    assert result.exit_code == ExitCode.NOT_FOUND


async def test_reconciling_can_be_ended_where_nobody_is_missing(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/vault/reconciliation", VAULT)
    assert await cli.json("vault", "reconcile") == VAULT
    assert vault.requests == [("POST", "/api/v1/vault/reconciliation", {"accept_missing": False})]


async def test_giving_up_on_missing_hosts_is_confirmed_by_the_vaults_name(
    cli: Cli, vault: FakeVault
) -> None:
    vault.says("GET", "/vault", RECONCILING)
    vault.says("POST", "/vault/reconciliation", VAULT)
    declined = await cli("vault", "reconcile", "--accept-missing")
    assert declined.exit_code == ExitCode.NOT_DONE
    assert "hv1, hv2" in declined.stderr
    assert [request[0] for request in vault.requests] == ["GET"]
    done = await cli("vault", "reconcile", "--accept-missing", "--confirm", "lab")
    assert done.exit_code == 0
    assert vault.requests[-1][2] == {"accept_missing": True}


async def test_a_vault_that_still_waits_says_so(cli: Cli, vault: FakeVault) -> None:
    vault.refuses(
        *("POST", "/vault/reconciliation", 409),
        code="hosts-missing",
        detail="hv1 has not reported",
        remedy="Start its agent",
    )
    result = await cli("vault", "reconcile")
    assert (result.exit_code, result.stdout) == (ExitCode.CONFLICT, "")
    assert result.stderr == "error: hv1 has not reported.\nremedy: Start its agent.\n"
