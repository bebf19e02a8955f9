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
    "failover_now": {"answer": "no", "reason": "It is not protected yet."},
    "last_proved": None,
}
ENABLE = ("protection", "enable", "web", "--target-host", "hv2", "--policy", "gold")


async def test_enabling_starts_a_job(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", JOB, status=202)
    assert await cli.json(*ENABLE) == JOB
    body = {"machine": "web", "target_host": "hv2", "policy": "gold"}
    assert vault.requests == [("POST", "/api/v1/protections", body)]


async def test_the_source_is_named_where_two_hosts_list_the_machine(
    cli: Cli, vault: FakeVault
) -> None:
    vault.says("POST", "/protections", JOB, status=202)
    await cli.json(*ENABLE, "--source-host", "hv1")
    body = {"machine": "web", "target_host": "hv2", "policy": "gold", "source_host": "hv1"}
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
        "failover now no. It is not protected yet.",
        "last proved never",
        "last test failover never",
        "grant ends 2026-11-29 20:14:55Z",
        "generation g1",
        "id p1",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/protections/web", None)


async def test_disks_are_excluded_and_seeded(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", JOB, status=202)
    disks = (
        "--exclude-disk",
        "swap.vhdx",
        "--exclude-disk",
        "disk-3",
        "--seed",
        "os.vhdx=a=b.vhdx",
    )
    await cli.json(*ENABLE, *disks)
    body = vault.requests[0][2]
    assert body["excluded_disks"] == ["swap.vhdx", "disk-3"]
    assert body["seeds"] == [{"disk": "os.vhdx", "file": "a=b.vhdx"}]


@pytest.mark.parametrize("verb", ["pause", "resume", "resync", "verify"])
async def test_a_verb_starts_its_job(cli: Cli, vault: FakeVault, verb: str) -> None:
    vault.says("POST", f"/protections/web/{verb}", JOB, status=202)
    assert await cli.json("protection", verb, "web") == JOB
    assert vault.requests == [("POST", f"/api/v1/protections/web/{verb}", {})]


@pytest.mark.parametrize("verb", ["pause", "resume", "resync", "verify"])
async def test_who_waits_for_a_verb_sees_how_it_ended(
    cli: Cli, vault: FakeVault, verb: str
) -> None:
    vault.says("POST", f"/protections/web/{verb}", JOB, status=202)
    vault.says(
        "GET", "/jobs/j1", {**JOB, "state": "failed", "cause": "4 MiB differ", "remedy": "R"}
    )
    result = await cli("protection", verb, "web", "--wait")
    assert result.exit_code != 0
    assert "4 MiB differ" in result.stderr
    vault.says("GET", "/jobs/j1", {**JOB, "state": "succeeded"})
    result = await cli("protection", verb, "web", "--wait")
    assert result.exit_code == 0
    assert "next: replikera protection" in result.stderr


async def test_a_machine_follows_another_policy(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections/web/update", JOB, status=202)
    await cli.json("protection", "update", "web", "--policy", "silver")
    assert vault.requests == [("POST", "/api/v1/protections/web/update", {"policy": "silver"})]


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ((), {}),
        (("--keep-disks",), {"replica": "keep"}),
        (("--delete-disks",), {"replica": "delete"}),
        (("--forget", "source"), {"forget": ["source"]}),
        (("--forget", "source", "--forget", "target"), {"forget": ["source", "target"]}),
    ],
)
async def test_disabling_says_what_is_to_become_of_the_replica(
    cli: Cli, vault: FakeVault, options: tuple[str, ...], body: dict[str, object]
) -> None:
    vault.says("POST", "/protections/web/disable", JOB, status=202)
    await cli.json("protection", "disable", "web", "--confirm", "web", *options)
    assert vault.requests == [("POST", "/api/v1/protections/web/disable", body)]


async def test_disabling_asks_first_and_tells_what_stays_where(cli: Cli, vault: FakeVault) -> None:
    result = await cli("protection", "disable", "web", "--forget", "target")
    assert result.exit_code != 0
    assert "All recovery points of web are removed" in result.stderr
    assert "Nobody waits for its target host" in result.stderr
    assert "stays there, and" not in result.stderr
    result = await cli("protection", "disable", "web", "--confirm", "db")
    assert "nothing was done" in result.stderr
    assert vault.requests == []


async def test_how_replication_goes_is_shown_as_far_as_it_is_told(
    cli: Cli, vault: FakeVault
) -> None:
    told = {
        **PROTECTION,
        "lag_seconds": 4,
        "rpo_target_seconds": 15,
        "progress": None,
        "sent_bytes": 2048,
        "warning": {"code": "w", "cause": "Not consistent.", "remedy": "Look at the guest."},
        "compared_at": None,
        "verification": {
            "verification_id": "j9",
            "checked_bytes": 1024,
            "total_bytes": 4096,
            "differing_bytes": 0,
            "is_finished": False,
            "finished_at": None,
        },
        "replica_path": "/r/p1",
        "storage_folder": "/r",
        "excluded_disks": ["swap.vhdx"],
    }
    vault.says("GET", "/protections/web", told)
    lines = await cli.lines("protection", "show", "web")
    assert "lag 4s (RPO target 15s)" in lines
    assert lines[10:17] == [
        "sent, on the wire 2.0 KiB",
        "warning Not consistent.",
        "warning's remedy Look at the guest.",
        "last compared, equal never",
        "verification 1.0 KiB of 4.0 KiB compared, nothing differs so far",
        "replica in /r/p1",
        "excluded disks swap.vhdx",
    ]
