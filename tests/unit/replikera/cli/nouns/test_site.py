from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

SITE = {"id": "s1", "name": "dc-a", "created_at": "2026-11-22T20:14:55Z"}


async def test_a_site_is_created(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/sites", SITE, status=201)
    assert await cli.json("site", "create", "dc-a") == SITE
    result = await cli("site", "create", "dc-a")
    assert result.stderr == "next: replikera host invite --site dc-a\n"
    assert vault.requests == [("POST", "/api/v1/sites", {"name": "dc-a"})] * 2


async def test_a_name_that_is_taken_ends_with_7(cli: Cli, vault: FakeVault) -> None:
    vault.refuses("POST", "/sites", 409, code="site-exists", detail="Taken", remedy="Choose")
    result = await cli("site", "create", "dc-a")
    assert (result.exit_code, result.stderr) == (7, "error: Taken.\nremedy: Choose.\n")


async def test_sites_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/sites", {"items": [SITE], "next_cursor": None})
    assert await cli.lines("site", "list") == [
        "SITE CREATED ID",
        "dc-a 2026-11-22 20:14:55Z s1",
    ]
