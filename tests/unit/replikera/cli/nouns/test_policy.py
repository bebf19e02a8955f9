import json

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

POLICY = {
    "id": "p1",
    "name": "gold",
    "copy_frequency_seconds": 30,
    "retention_hours": 24,
    "promised_rpo_seconds": 90,
    "rpo_target_seconds": None,
}
FULL = {
    **POLICY,
    "application_consistent_hours": 4,
    "compression": "zstd",
    "throttle": [
        {"weekdays": 31, "start_minute": 480, "end_minute": 1080, "bytes_per_second": 10 << 20},
        {"weekdays": 127, "start_minute": 0, "end_minute": 1440, "bytes_per_second": 0},
    ],
    "replica_on_disable": "keep",
    "protections": ["db", "web"],
}
JOB = {
    "id": "j1",
    "kind": "change-policy",
    "subject": "web",
    "state": "succeeded",
    "tasks": [],
    "created_at": "2026-11-22T20:14:55Z",
    "finished_at": "2026-11-22T20:14:56Z",
}
CREATE = ("policy", "create", "gold", "--copy-frequency", "30s", "--retention", "24h")


async def test_a_policy_is_created(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/policies", POLICY, status=201)
    assert await cli.json(*CREATE) == POLICY
    assert await cli.lines(*CREATE) == [
        "POLICY COPY FREQUENCY RETENTION RPO TARGET ID",
        "gold 30s 1d 1m 30s p1",
    ]
    body = {"name": "gold", "copy_frequency_seconds": 30, "retention_hours": 24}
    assert vault.requests == [("POST", "/api/v1/policies", body)] * 2


async def test_a_name_that_is_taken_ends_with_7(cli: Cli, vault: FakeVault) -> None:
    vault.refuses(
        "POST", "/policies", 409, code="policy-exists", detail="gold exists", remedy="Use it"
    )
    result = await cli(*CREATE, "-o", "json")
    assert (result.exit_code, result.stdout) == (7, "")
    assert json.loads(result.stderr)["code"] == "policy-exists"


async def test_a_value_that_the_vault_refuses_is_pointed_at(cli: Cli, vault: FakeVault) -> None:
    vault.refuses(
        "POST",
        "/policies",
        422,
        detail="The policy is wrong",
        remedy="Correct it",
        errors=[{"pointer": "/copy_frequency_seconds", "detail": "at most 86400"}],
    )
    result = await cli(*CREATE)
    assert result.exit_code == 2
    assert result.stderr == (
        "error: The policy is wrong.\n"
        "  /copy_frequency_seconds: at most 86400\n"
        "remedy: Correct it.\n"
    )


async def test_policies_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/policies", {"items": [POLICY, {"name": "odd"}]})
    assert (await cli.json("policy", "list"))["items"] == [POLICY, {"name": "odd"}]
    assert (await cli.lines("policy", "list"))[1:] == [
        "gold 30s 1d 1m 30s p1",
        "odd unknown unknown unknown unknown",
    ]


async def test_every_setting_that_is_given_is_sent(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/policies", FULL, status=201)
    more = ("--app-consistent", "4h", "--compression", "zstd", "--rpo-target", "2m")
    limits = ("--throttle", "mon-fri 08:00-18:00 10MiB/s", "--throttle", "daily 00:00-24:00 0")
    rest = ("--on-disable", "keep", "--initial-replication", "online")
    await cli.json(*CREATE, *more, *limits, *rest)
    assert vault.requests[0][2] == {
        "name": "gold",
        "copy_frequency_seconds": 30,
        "retention_hours": 24,
        "application_consistent_hours": 4,
        "rpo_target_seconds": 120,
        "compression": "zstd",
        "throttle": FULL["throttle"],
        "replica_on_disable": "keep",
        "initial_replication": "online",
    }


async def test_a_policy_is_shown_with_who_follows_it(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/policies/gold", FULL)
    assert await cli.lines("policy", "show", "gold") == [
        "policy gold",
        "copy frequency 30s",
        "retention 1d",
        "rpo target 1m 30s (3 x copy frequency)",
        "application-consistent every 4h",
        "compression zstd",
        "throttle mon-fri 08:00-18:00 10.0 MiB/s",
        "throttle daily 00:00-24:00 nothing at all",
        "replica on disable keep",
        "initial replication online",
        "protections db, web",
        "id p1",
    ]


async def test_an_update_sends_only_what_is_to_be_different(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/policies/gold/update", {**FULL, "jobs": ["j1"]})
    off = ("--app-consistent", "off", "--rpo-target", "default", "--no-throttle")
    result = await cli("policy", "update", "gold", *off)
    assert result.exit_code == 0, result.stderr
    body: dict[str, object] = {
        "application_consistent_hours": 0,
        "rpo_target_seconds": None,
        "throttle": [],
    }
    assert vault.requests == [("POST", "/api/v1/policies/gold/update", body)]
    assert "hosts of 1 protections" in result.stderr
    assert "next: replikera job watch j1" in result.stderr


async def test_who_waits_hears_of_a_host_that_refused(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/policies/gold/update", {**FULL, "jobs": ["j1"]})
    vault.says("GET", "/jobs/j1", {**JOB, "state": "failed", "cause": "Full", "remedy": "Free"})
    result = await cli("policy", "update", "gold", "--copy-frequency", "1m", "--wait")
    assert "Full" in result.stderr
    assert result.exit_code != 0
    vault.says("GET", "/jobs/j1", JOB)
    assert (await cli("policy", "update", "gold", "--retention", "2d", "--wait")).exit_code == 0


async def test_an_update_of_nothing_or_of_two_minds_is_refused(cli: Cli, vault: FakeVault) -> None:
    for wrong in ((), ("--no-throttle", "--throttle", "daily 00:00-24:00 1M")):
        assert (await cli("policy", "update", "gold", *wrong)).exit_code == 2
    assert vault.requests == []


async def test_a_policy_is_deleted(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/policies/gold/delete", {"id": "p1", "name": "gold"})
    assert await cli.lines("policy", "delete", "gold") == ["Policy gold is deleted."]
    assert vault.requests == [("POST", "/api/v1/policies/gold/delete", {})]
