import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

POINT = {
    "id": "g1:7",
    "generation": "g1",
    "sequence": 7,
    "kind": "crash-consistent",
    "name": "",
    "capture_started_at": "2026-11-22T20:14:55.100000Z",
    "capture_ended_at": "2026-11-22T20:14:55.250000Z",
    "sealed_at": "2026-11-22T20:14:56Z",
    "payload_bytes": 65536,
    "retained_until": "2026-11-23T20:14:56Z",
}
NEWEST = {**POINT, "sequence": 8, "payload_bytes": None, "retained_until": None}
DIGEST = {"disk_id": "d1", "name": "os.vhdx", "size": 1 << 30, "sha256": "ab" * 32}
JOB = {
    "id": "j1",
    "kind": "digest-point",
    "subject": "web",
    "state": "running",
    "tasks": [{"name": "read the whole point", "state": "running", "detail": None}],
    "result": None,
}
DONE = {
    **JOB,
    "state": "succeeded",
    "result": {"point": {"generation": "g1", "sequence": 7}, "disks": [DIGEST]},
}


async def test_points_are_listed_as_the_vault_orders_them(cli: Cli, vault: FakeVault) -> None:
    answer = {"items": [NEWEST, POINT]}
    vault.says("GET", "/protections/web%20server/points", answer)
    assert (await cli.json("point", "list", "web server"))["items"] == answer["items"]
    assert await cli.lines("point", "list", "web server") == [
        "POINT KIND NAME CAPTURED FROM TO SEALED PAYLOAD KEPT UNTIL",
        "8 crash-consistent - 2026-11-22 20:14:55.100Z 2026-11-22 20:14:55.250Z "
        "2026-11-22 20:14:56.000Z unknown newest",
        "7 crash-consistent - 2026-11-22 20:14:55.100Z 2026-11-22 20:14:55.250Z "
        "2026-11-22 20:14:56.000Z 64.0 KiB 2026-11-23 20:14:56Z",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/protections/web%20server/points", None)


async def test_a_list_is_narrowed_by_kind_and_time(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web/points", {"items": []})
    result = await cli(
        "point", "list", "web", "--kind", "named", "--from", "2026-11-22T20:00:00+01:00",
        "--until", "2026-11-22T21:00:00Z",
    )  # fmt: skip
    assert result.stderr == ("web has no such recovery point.\nnext: replikera point list web\n")
    assert vault.queries[0] == {
        "kind": "named",
        "captured_from": "2026-11-22T20:00:00+01:00",
        "captured_until": "2026-11-22T21:00:00+00:00",
        "limit": "1000",
    }


async def test_no_point_yet_leads_to_the_protection(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web/points", {"items": []})
    result = await cli("point", "list", "web")
    assert result.stderr == (
        "web has no recovery point yet.\nnext: replikera protection show web\n"
    )


@pytest.mark.parametrize("text", ["latest", "7", "2026-11-22T20:15:00Z", "g1:7"])
async def test_a_point_is_shown_by_what_stands_for_it(
    cli: Cli, vault: FakeVault, text: str
) -> None:
    path = text.replace(":", "%3A")
    vault.says("GET", f"/protections/web/points/{path}", POINT)
    assert await cli.json("point", "show", "web", text) == POINT
    lines = await cli.lines("point", "show", "web", text)
    assert (lines[0], lines[-2:]) == ("point 7", ["kept until 2026-11-23 20:14:56Z", "id g1:7"])


async def test_a_digest_is_started_and_followed(cli: Cli, vault: FakeVault) -> None:
    path = "/protections/web/points/latest/digest"
    vault.says("POST", path, JOB, status=202)
    vault.says("GET", "/jobs/j1", JOB, DONE)
    started = await cli("point", "digest", "web", "latest")
    assert started.stderr.endswith("next: replikera job watch j1\n")
    assert vault.requests == [("POST", f"/api/v1{path}", {})]
    assert await cli.json("point", "digest", "web", "latest", "--wait") == DONE
    assert (await cli.lines("point", "digest", "web", "latest", "--wait"))[-2:] == [
        "DISK NAME SIZE SHA-256",
        f"d1 os.vhdx 1.0 GiB {'ab' * 32}",
    ]


async def test_a_digest_that_fails_ends_with_its_cause(cli: Cli, vault: FakeVault) -> None:
    failed = {**JOB, "state": "failed", "cause": "The point is gone.", "remedy": "Choose another."}
    vault.says("POST", "/protections/web/points/7/digest", JOB, status=202)
    vault.says("GET", "/jobs/j1", failed)
    result = await cli("point", "digest", "web", "7", "--wait")
    assert result.exit_code == 5
    assert "The point is gone." in result.stderr


async def test_retention_is_shown_with_what_is_not_there(cli: Cli, vault: FakeVault) -> None:
    retention = {
        "policy": "quick",
        "retention_hours": 24,
        "count": 2,
        "payload_bytes": 65536,
        "oldest": POINT,
        "newest": NEWEST,
        "newest_application_consistent": None,
    }
    vault.says("GET", "/protections/web/retention", retention)
    assert await cli.json("point", "retention", "web") == retention
    assert await cli.lines("point", "retention", "web") == [
        "policy quick",
        "retention 1d",
        "points 2",
        "payload 64.0 KiB",
        "oldest 7 at 2026-11-22 20:14:55.250Z",
        "newest 8 at 2026-11-22 20:14:55.250Z",
        "newest application-consistent none",
    ]


async def test_a_disk_is_exported_and_its_file_is_told(cli: Cli, vault: FakeVault) -> None:
    result = {"point": {"generation": "g1", "sequence": 7}, "path": "/e/web.raw", "disk": DIGEST}
    done = {**JOB, "kind": "export-point", "state": "succeeded", "result": result}
    vault.says("POST", "/protections/web/points/7/export", done)
    lines = await cli.lines("point", "export", "web", "7", "web.raw", "--disk", "1")
    assert vault.requests[0][1:] == (
        "/api/v1/protections/web/points/7/export",
        {"disk": 1, "file_name": "web.raw"},
    )
    assert "file /e/web.raw" in lines
    assert any("ab" * 32 in line for line in lines)


async def test_a_point_is_taken_with_a_name_and_told(cli: Cli, vault: FakeVault) -> None:
    result = {"point": {"generation": "g1", "sequence": 7}, "name": "patch day"}
    done = {**JOB, "kind": "name-point", "state": "succeeded", "result": result}
    vault.says("POST", "/protections/web/points", done)
    lines = await cli.lines("point", "create", "web", "patch day")
    assert vault.requests[0][1:] == ("/api/v1/protections/web/points", {"name": "patch day"})
    assert "point 7, patch day" in lines


async def test_a_named_point_is_asked_for_by_its_name(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web/points/name%3Apatch%20day", POINT)
    assert await cli.json("point", "show", "web", "name:patch day") == POINT
