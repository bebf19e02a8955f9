import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, squeezed

MAPPING = {
    "id": "m1",
    "primary_host": "hv1",
    "primary_network": "lan",
    "secondary_host": "hv2",
    "secondary_network": "lan",
    "test_network": "bubble",
    "health": "healthy",
    "cause": None,
    "remedy": None,
}
NAMES = ("primary_host", "primary_network", "secondary_host", "secondary_network", "test_network")
CONCERNED = {
    "name": "web",
    "nics": [
        {"nic_id": "n1", "network": "lan", "subnet": "db", "rule": "same-subnet"},
        {"nic_id": "n2", "network": "", "subnet": "", "rule": "network-gone"},
    ],
}
DETAIL = {**MAPPING, "protections": [CONCERNED]}
CREATE = ("network-mapping", "create", "--primary", "hv1/lan", "--secondary", "hv2/lan")


async def test_a_mapping_is_created(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/network-mappings", DETAIL, status=201)
    assert await cli.json(*CREATE, "--test-network", "bubble") == DETAIL
    body = {key: MAPPING[key] for key in NAMES}
    assert vault.requests == [("POST", "/api/v1/network-mappings", body)]


async def test_the_test_network_may_be_left_out(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/network-mappings", {**DETAIL, "test_network": None}, status=201)
    result = await cli(*CREATE)
    assert squeezed(result.stdout) == [
        "PRIMARY SECONDARY TEST NETWORK HEALTH ID",
        "hv1/lan hv2/lan none healthy m1",
    ]
    assert "protections of web: their adapters go there" in result.stderr
    assert "test_network" not in vault.requests[0][2]


async def test_mappings_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/network-mappings", {"items": [MAPPING]})
    assert (await cli.json("network-mapping", "list"))["items"] == [MAPPING]
    assert (await cli.lines("network-mapping", "list"))[1:] == ["hv1/lan hv2/lan bubble healthy m1"]


async def test_a_mapping_is_shown_with_where_adapters_go_and_why(
    cli: Cli, vault: FakeVault
) -> None:
    broken = {"health": "critical", "cause": "It is gone.", "remedy": "Make it."}
    vault.says("GET", "/network-mappings/m1", {**DETAIL, **broken})
    lines = await cli.lines("network-mapping", "show", "m1")
    assert lines[3:] == [
        "health critical",
        "id m1",
        "cause It is gone.",
        "remedy Make it.",
        "PROTECTION ADAPTER NETWORK SUBNET RULE",
        "web n1 lan db same-subnet",
        "web n2 disconnected - network-gone",
    ]


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (("--secondary-network", "x"), {"secondary_network": "x"}),
        (("--test-network", "y"), {"test_network": "y"}),
        (("--no-test-network",), {"test_network": None}),
        (
            ("--secondary-network", "x", "--test-network", "y"),
            {"secondary_network": "x", "test_network": "y"},
        ),
    ],
)
async def test_only_what_is_named_is_changed(
    cli: Cli, vault: FakeVault, options: tuple[str, ...], body: object
) -> None:
    vault.says("POST", "/network-mappings/m1/update", {**DETAIL, "protections": []})
    result = await cli("network-mapping", "update", "m1", *options)
    assert result.exit_code == 0
    assert "It concerns no protection." in result.stderr
    assert vault.requests == [("POST", "/api/v1/network-mappings/m1/update", body)]


@pytest.mark.parametrize("options", [(), ("--test-network", "y", "--no-test-network")])
async def test_a_change_of_nothing_or_of_both_is_refused(
    cli: Cli, vault: FakeVault, options: tuple[str, ...]
) -> None:
    result = await cli("network-mapping", "update", "m1", *options)
    assert result.exit_code == 2
    assert vault.requests == []


async def test_deleting_tells_whose_adapters_stay_disconnected(cli: Cli, vault: FakeVault) -> None:
    gone = {"id": "m1", "protections": ["web", "db"]}
    vault.says("POST", "/network-mappings/m1/delete", gone)
    result = await cli("network-mapping", "delete", "m1")
    assert result.stdout == "Network mapping m1 is deleted.\n"
    assert "protections of web, db: their adapters on that network stay" in result.stderr
    assert await cli.json("network-mapping", "delete", "m1") == gone
