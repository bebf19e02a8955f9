from pathlib import Path
from typing import Any

import pytest

from replikera.identity import Credentials
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, write_profile

PROTECTION: dict[str, Any] = {
    "name": "web",
    "state": "protected",
    "health": "healthy",
    "lag_seconds": 21.2,
    "rpo_target_seconds": 30.0,
    "rpo_critical_seconds": 45.0,
}
LATE = {**PROTECTION, "name": "db", "lag_seconds": 40}


def page(*items: object) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": None}


async def test_all_that_is_protected_is_checked(cli: Cli, vault: FakeVault) -> None:
    ending = {**LATE, "name": "old", "state": "disabling", "lag_seconds": 999}
    vault.says("GET", "/protections", page(PROTECTION, ending))
    result = await cli("check", "rpo")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "RPO OK - web lag 22s|'web'=21.2s;30;45;0\n"


@pytest.mark.parametrize(
    ("options", "code", "start"),
    [
        ((), 1, "RPO WARNING - db lag 40s, more than 30s|"),
        (("--warning", "1m"), 0, "RPO OK - 2 virtual machines, the largest lag: db lag 40s|"),
        (("--critical", "35s"), 2, "RPO CRITICAL - db lag 40s, more than 35s|"),
        (("-w", "10s", "-c", "5m"), 1, "RPO WARNING - web lag 22s, more than 10s; db lag 40s"),
    ],
)
async def test_thresholds_decide(
    cli: Cli, vault: FakeVault, options: tuple[str, ...], code: int, start: str
) -> None:
    vault.says("GET", "/protections", page(PROTECTION, LATE))
    result = await cli("check", "rpo", *options)
    assert result.exit_code == code
    assert result.stdout.startswith(start)
    assert result.stdout.count("\n") == 1


async def test_named_machines_are_asked_for_one_by_one(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web", PROTECTION)
    vault.refuses("GET", "/protections/gone", 404, detail="There is no protection gone.")
    assert (await cli("check", "rpo", "web", "web")).exit_code == 0
    assert [path for _, path, _ in vault.requests] == ["/api/v1/protections/web"]
    result = await cli("check", "rpo", "web", "gone")
    assert result.exit_code == 3
    assert result.stdout == (
        "RPO UNKNOWN - There is no protection gone|'web'=21.2s;30;45;0 'gone'=U;;;0\n"
    )


async def test_a_vault_that_protects_nothing_is_not_ok(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections", page())
    result = await cli("check", "rpo")
    assert (result.exit_code, result.stdout) == (
        3,
        "RPO UNKNOWN - no virtual machine is protected\n",
    )


async def test_a_vault_that_does_not_answer_is_unknown_with_the_cause(
    cli: Cli, vault: FakeVault
) -> None:
    vault.breaks_off("GET", "/protections", b"")
    result = await cli("check", "rpo")
    assert (result.exit_code, result.stderr) == (3, "")
    assert result.stdout.startswith("RPO UNKNOWN - The vault at 127.0.0.1:")
    assert "ended the connection without an answer" in result.stdout
    assert result.stdout.count("\n") == 1


async def test_a_vault_that_is_not_there_is_unknown_with_the_cause(
    operator: Credentials, tmp_path: Path
) -> None:
    write_profile(tmp_path / "lost", operator, api_address="127.0.0.1:1")
    result = await Cli(tmp_path / "lost")("check", "rpo", "web")
    assert (result.exit_code, result.stderr) == (3, "")
    assert result.stdout.startswith("RPO UNKNOWN - No vault answers at 127.0.0.1:1: ")


async def test_without_a_profile_nothing_is_known(tmp_path: Path) -> None:
    result = await Cli(tmp_path / "none")("check", "rpo")
    assert (result.exit_code, result.stderr) == (3, "")
    assert "there is no operator profile" in result.stdout


@pytest.mark.parametrize(
    "arguments", [("--warning", "5m", "--critical", "1m"), ("--warning", "0s"), ("--watch",)]
)
async def test_wrong_usage_asks_the_vault_nothing_and_is_unknown(
    cli: Cli, vault: FakeVault, arguments: tuple[str, ...]
) -> None:
    result = await cli("check", "rpo", *arguments)
    assert (result.exit_code, vault.requests) == (3, [])
    assert result.stdout.startswith("RPO UNKNOWN - ")


async def test_programs_get_a_document(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections", page(PROTECTION))
    assert await cli.json("check", "rpo") == {
        "service": "RPO",
        "state": "OK",
        "text": "web lag 22s",
        "data": [{"label": "web", "seconds": 21.2, "warning": 30.0, "critical": 45.0}],
    }
