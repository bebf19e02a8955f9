from typing import Any

import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
JOB = {"id": "j1", "kind": "test-failover", "subject": "web", "state": "running", "tasks": []}
DONE = {**JOB, "state": "succeeded"}
REHEARSAL: dict[str, Any] = {
    "id": ID,
    "protection": "web",
    "point": {"generation": "g1", "sequence": 7},
    "machine_name": "web - test",
    "state": "started",
    "disks": [{"disk_id": "d0", "path": "/r/d0.vhdx", "size": 1024**3}],
    "nics": [{"nic_id": "n0", "network": "bubble"}, {"nic_id": "n1", "network": ""}],
    "guest": {"is_healthy": True, "summary": "41 records", "records": 41},
    "steps": [{"name": "materialise", "seconds": 1.234}, {"name": "start"}],
    "removed": [],
    "notes": None,
    "is_successful": False,
    "ends_at": "2026-03-15T12:00:00Z",
}


PLAN: dict[str, Any] = {
    "protection": "web",
    "target_host": "hv2",
    "storage_path": "/vm",
    "point": {"generation": "g1", "sequence": 7},
    "captured_at": "2026-03-01T12:00:00.5Z",
    "expected_loss_seconds": 12.0,
    "nics": [
        {"nic_id": "n0", "network": "lan - test 1", "subnet": "", "rule": "created"},
        {"nic_id": "n1", "network": "", "subnet": "", "rule": "not-connected"},
    ],
    "created_networks": ["lan - test 1"],
}


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ((), {"point": "latest"}),
        (("--point", "7"), {"point": "7"}),
        (("--point", "2026-03-01T12:00:00Z"), {"point": "2026-03-01T12:00:00Z"}),
        (("--network", "create"), {"point": "latest", "network": "create"}),
        (("--for", "8h"), {"point": "latest", "lasts_seconds": 28_800}),
    ],
)
async def test_a_test_failover_is_started_from_a_point(
    cli: Cli, vault: FakeVault, options: tuple[str, ...], body: object
) -> None:
    vault.says("POST", "/protections/web/test-failovers", JOB, status=202)
    assert await cli.json("test-failover", "start", "web", *options) == JOB
    assert vault.requests == [("POST", "/api/v1/protections/web/test-failovers", body)]


async def test_a_dry_run_tells_everything_and_starts_nothing(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web/test-failovers/plan", PLAN)
    command = ("test-failover", "start", "web", "--network", "my lab", "--dry-run")
    assert await cli.json(*command) == PLAN
    result = await cli(*command)
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "vm web",
        "target host hv2",
        "disks go to /vm",
        "point 7",
        "captured from 2026-03-01 12:00:00.500Z",
        "expected data loss 12s",
        "networks made for it lan - test 1",
        "",
        "ADAPTER NETWORK SUBNET RULE",
        "n0 lan - test 1 - created",
        "n1 disconnected - not-connected",
    ]
    assert result.stderr == (
        "next: replikera test-failover start web --point latest --network 'my lab' --wait\n"
    )
    assert {method for method, _, _ in vault.requests} == {"GET"}


async def test_the_start_can_be_waited_for(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections/web/test-failovers", JOB, status=202)
    vault.says("GET", "/jobs/j1", DONE)
    result = await cli("test-failover", "start", "web", "--wait", "--timeout", "1m")
    assert result.exit_code == 0
    assert result.stderr == "next: replikera test-failover show web\n"


@pytest.mark.parametrize(
    ("options", "body"), [((), {}), (("--notes", "all good"), {"notes": "all good"})]
)
async def test_the_clean_up_takes_notes_and_can_be_waited_for(
    cli: Cli, vault: FakeVault, options: tuple[str, ...], body: object
) -> None:
    vault.says("POST", "/protections/web/test-failovers/clean-up", JOB, status=202)
    vault.says("GET", "/jobs/j1", DONE)
    assert await cli.json("test-failover", "cleanup", "web", *options, "--wait") == DONE
    assert vault.requests == [
        ("POST", "/api/v1/protections/web/test-failovers/clean-up", body),
        ("GET", "/api/v1/jobs/j1", None),
    ]


async def test_a_test_failover_is_shown_by_its_id(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", f"/test-failovers/{ID}", REHEARSAL)
    assert await cli.json("test-failover", "show", ID) == REHEARSAL
    result = await cli("test-failover", "show", ID)
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        f"test failover {ID}",
        "vm web",
        "point 7",
        "machine web - test",
        "state started",
        "guest healthy",
        "guest says 41 records",
        "successful no",
        "cleaned up by itself 2026-03-15 12:00:00Z",
        "",
        "DISK SIZE PATH",
        "d0 1.0 GiB /r/d0.vhdx",
        "",
        "ADAPTER NETWORK",
        "n0 bubble",
        "n1 disconnected",
        "",
        "STEP TOOK",
        "materialise 1.23 s",
        "start unknown",
    ]
    assert result.stderr == "next: replikera test-failover cleanup web --notes TEXT --wait\n"


async def test_a_machine_stands_for_its_last_test_failover(cli: Cli, vault: FakeVault) -> None:
    cleaned = {**REHEARSAL, "state": "cleaned-up", "removed": ["web - test", "d0"], "notes": "ok"}
    vault.says("GET", "/protections/web", {"id": "p1", "test_failover": {"id": ID}})
    vault.says("GET", f"/test-failovers/{ID}", cleaned)
    lines = await cli.lines("test-failover", "show", "web")
    assert "removed web - test, d0" in lines
    assert "notes ok" in lines
    assert [path for _, path, _ in vault.requests] == [
        "/api/v1/protections/web",
        f"/api/v1/test-failovers/{ID}",
    ]


async def test_a_failed_one_says_why_and_what_to_do(cli: Cli, vault: FakeVault) -> None:
    failed = {**REHEARSAL, "state": "failed", "cause": "no space on hv2", "remedy": "Free some"}
    vault.says("GET", f"/test-failovers/{ID}", failed)
    lines = await cli.lines("test-failover", "show", ID)
    assert lines[7:10] == ["cause no space on hv2", "remedy Free some", "successful no"]


async def test_a_protections_id_is_understood_too(cli: Cli, vault: FakeVault) -> None:
    other = "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    vault.refuses("GET", f"/test-failovers/{other}", 404, detail="unknown")
    vault.says("GET", f"/protections/{other}", {"test_failover": {"id": ID}})
    vault.says("GET", f"/test-failovers/{ID}", REHEARSAL)
    assert await cli.json("test-failover", "show", other) == REHEARSAL


async def test_a_machine_without_one_ends_with_6(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web", {"id": "p1", "test_failover": None})
    result = await cli("test-failover", "show", "web")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "replikera test-failover start web" in result.stderr


async def test_test_failovers_are_listed(cli: Cli, vault: FakeVault) -> None:
    ill = {**REHEARSAL, "guest": {"is_healthy": False}, "state": "failed"}
    items = [REHEARSAL, ill, {"guest": {"is_healthy": None}}, {"guest": None}]
    vault.says("GET", "/test-failovers", {"items": items})
    assert (await cli.json("test-failover", "list"))["items"] == items
    assert await cli.lines("test-failover", "list") == [
        "TEST FAILOVER VM POINT MACHINE STATE GUEST SUCCESSFUL",
        f"{ID} web 7 web - test started healthy no",
        f"{ID} web 7 web - test failed critical no",
        "unknown unknown unknown unknown unknown unknown unknown",
        "unknown unknown unknown unknown unknown not asked unknown",
    ]
