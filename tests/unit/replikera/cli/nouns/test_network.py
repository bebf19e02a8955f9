from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli


async def test_networks_are_listed(cli: Cli, vault: FakeVault) -> None:
    answer = {
        "items": [
            {
                "name": "lan",
                "host": "hv1",
                "site": "a",
                "is_isolated": False,
                "subnets": ["10.0.0.0/24", "10.0.1.0/24"],
            },
            {"name": "test", "host": "hv2", "site": "b", "is_isolated": True, "subnets": []},
            {"name": "odd"},
        ]
    }
    vault.says("GET", "/networks", answer)
    assert (await cli.json("network", "list"))["items"] == answer["items"]
    assert await cli.lines("network", "list") == [
        "NETWORK HOST SITE ISOLATED SUBNETS",
        "lan hv1 a no 10.0.0.0/24, 10.0.1.0/24",
        "test hv2 b yes -",
        "odd unknown unknown unknown unknown",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/networks", None)
