from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

POINT = {
    "generation": "g1",
    "sequence": 7,
    "kind": "crash-consistent",
    "name": "",
    "capture_started_at": "2026-11-22T20:14:55.100000Z",
    "capture_ended_at": "2026-11-22T20:14:55.250000Z",
    "sealed_at": "2026-11-22T20:14:56Z",
    "payload_bytes": 65536,
}


async def test_points_are_listed_as_the_vault_orders_them(cli: Cli, vault: FakeVault) -> None:
    answer = {"items": [{**POINT, "sequence": 8, "payload_bytes": None}, POINT]}
    vault.says("GET", "/protections/web%20server/points", answer)
    assert (await cli.json("point", "list", "web server"))["items"] == answer["items"]
    assert await cli.lines("point", "list", "web server") == [
        "POINT KIND NAME CAPTURED FROM TO SEALED CHANGED",
        "8 crash-consistent - 2026-11-22 20:14:55.100Z 2026-11-22 20:14:55.250Z "
        "2026-11-22 20:14:56.000Z unknown",
        "7 crash-consistent - 2026-11-22 20:14:55.100Z 2026-11-22 20:14:55.250Z "
        "2026-11-22 20:14:56.000Z 64.0 KiB",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/protections/web%20server/points", None)


async def test_no_point_yet_leads_to_the_protection(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/protections/web/points", {"items": []})
    result = await cli("point", "list", "web")
    assert result.stderr == (
        "web has no recovery point yet.\nnext: replikera protection show web\n"
    )
