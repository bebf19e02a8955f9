from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

MAPPING = {
    "id": "m1",
    "primary_host": "hv1",
    "primary_network": "lan",
    "secondary_host": "hv2",
    "secondary_network": "lan",
    "test_network": "bubble",
}
CREATE = ("network-mapping", "create", "--primary", "hv1/lan", "--secondary", "hv2/lan")


async def test_a_mapping_is_created(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/network-mappings", MAPPING, status=201)
    assert await cli.json(*CREATE, "--test-network", "bubble") == MAPPING
    body = {key: value for key, value in MAPPING.items() if key != "id"}
    assert vault.requests == [("POST", "/api/v1/network-mappings", body)]


async def test_the_test_network_may_be_left_out(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/network-mappings", {**MAPPING, "test_network": None}, status=201)
    assert await cli.lines(*CREATE) == [
        "PRIMARY SECONDARY TEST NETWORK ID",
        "hv1/lan hv2/lan none m1",
    ]
    assert "test_network" not in vault.requests[0][2]


async def test_mappings_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/network-mappings", {"items": [MAPPING]})
    assert (await cli.json("network-mapping", "list"))["items"] == [MAPPING]
    assert (await cli.lines("network-mapping", "list"))[1:] == ["hv1/lan hv2/lan bubble m1"]
