from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

CLOUD = {"id": "c1", "name": "gold", "site": "dc-a", "created_at": "2026-11-22T20:14:55Z"}


async def test_a_cloud_is_created_at_a_site(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/clouds", CLOUD, status=201)
    assert await cli.json("cloud", "create", "gold", "--site", "dc-a") == CLOUD
    assert vault.requests == [("POST", "/api/v1/clouds", {"name": "gold", "site": "dc-a"})]
    lines = await cli.lines("cloud", "create", "gold", "--site", "dc-a")
    assert lines[1] == "gold dc-a 2026-11-22 20:14:55Z c1"


async def test_clouds_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/clouds", {"items": [CLOUD], "next_cursor": None})
    assert await cli.lines("cloud", "list") == [
        "CLOUD SITE CREATED ID",
        "gold dc-a 2026-11-22 20:14:55Z c1",
    ]
