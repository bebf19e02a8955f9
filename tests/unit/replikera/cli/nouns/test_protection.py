import json

import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

JOB = {
    "id": "j1",
    "kind": "enable-protection",
    "subject": "web",
    "state": "running",
    "tasks": [{"name": "accept replica at target", "state": "waiting"}],
    "created_at": "2026-11-22T20:14:55Z",
    "finished_at": None,
}
PROTECTION = {
    "id": "p1",
    "name": "web",
    "source_host": "hv1",
    "target_host": "hv2",
    "policy": "gold",
    "state": "initial-replication",
    "health": "warning",
    "cause": "No point yet",
    "remedy": "Wait",
    "generation": "g1",
    "grant": {"version": 3, "not_after": "2026-11-29T20:14:55Z"},
    "newest_point": None,
    "lag_seconds": None,
    "progress": {"done_bytes": 1024, "total_bytes": 4096, "rate": 1024},
    "test_failover": None,
}
ENABLE = ("protection", "enable", "web", "--target-host", "hv2", "--policy", "gold")


async def test_enabling_starts_a_job(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", JOB, status=202)
    assert await cli.json(*ENABLE) == JOB
    body = {"machine": "web", "target_host": "hv2", "policy": "gold"}
    assert vault.requests == [("POST", "/api/v1/protections", body)]


async def test_people_see_the_job_and_how_to_follow_it(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", JOB, status=202)
    result = await cli(*ENABLE)
    assert "accept replica at target" in result.stdout
    assert result.stderr == "next: replikera job watch j1\n"


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(404, "unknown-machine", 6), (409, "already-protected", 7), (403, "not-allowed", 4)],
)
async def test_refusals_keep_code_cause_and_remedy(
    cli: Cli, vault: FakeVault, status: int, code: str, exit_code: int
) -> None:
    vault.refuses(
        "POST", "/protections", status, code=code, detail="No, web", remedy="See `vm list`"
    )
    people = await cli(*ENABLE, "--wait")
    assert (people.exit_code, people.stdout) == (exit_code, "")
    assert people.stderr == "error: No, web.\nremedy: See `vm list`.\n"
    programs = await cli("-o", "json", *ENABLE)
    assert (programs.exit_code, programs.stdout) == (exit_code, "")
    assert json.loads(programs.stderr)["code"] == code


async def test_protections_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections", {"items": [PROTECTION, {"name": "odd"}]})
    assert (await cli.json("protection", "list"))["items"] == [PROTECTION, {"name": "odd"}]
    assert await cli.lines("protection", "list") == [
        "VM SOURCE TARGET POLICY STATE HEALTH LAG NEWEST POINT",
        "web hv1 hv2 gold initial-replication warning unknown none",
        "odd unknown unknown unknown unknown unknown unknown unknown",
    ]


async def test_one_protection_is_shown(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web", PROTECTION)
    assert await cli.json("protection", "show", "web") == PROTECTION
    assert await cli.lines("protection", "show", "web") == [
        "vm web",
        "source host hv1",
        "target host hv2",
        "policy gold",
        "state initial-replication",
        "health warning",
        "lag unknown",
        "newest point none",
        "cause No point yet",
        "remedy Wait",
        "progress 1.0 KiB of 4.0 KiB 1.0 KiB/s 3s left",
        "last test failover never",
        "grant ends 2026-11-29 20:14:55Z",
        "generation g1",
        "id p1",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/protections/web", None)
