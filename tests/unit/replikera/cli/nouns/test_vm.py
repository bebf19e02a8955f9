from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

GIB = 1024**3
MACHINE = {
    "id": "m1",
    "name": "web",
    "host": "hv1",
    "site": "a",
    "is_running": True,
    "disks": [{"disk_id": "d0", "size": GIB}, {"disk_id": "d1", "size": GIB}],
    "nics": [{"nic_id": "n0", "name": "lan", "network": "production"}, {"network": ""}],
    "protection": "p1",
}
PARTIAL = {"name": "db", "is_running": False, "disks": [{"size": GIB}, {"size": None}]}


async def test_machines_are_listed(cli: Cli, vault: FakeVault) -> None:
    answer = {"items": [MACHINE, PARTIAL, {"name": "new"}]}
    vault.says("GET", "/machines", answer)
    assert (await cli.json("vm", "list"))["items"] == answer["items"]
    assert await cli.lines("vm", "list") == [
        "VM HOST SITE RUNNING DISKS SIZE NETWORKS PROTECTED",
        "web hv1 a yes 2 2.0 GiB production, - yes",
        "db unknown unknown no 2 unknown - no",
        "new unknown unknown unknown unknown unknown - no",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/machines", None)


async def test_no_machine_leads_to_the_hosts(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/machines", {"items": []})
    result = await cli("vm", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No host reports a virtual machine.\nnext: replikera host list\n"


async def test_a_machine_is_shown_with_disks_and_adapters(cli: Cli, vault: FakeVault) -> None:
    machine = {
        **MACHINE,
        "disks": [
            {"disk_id": "d0", "name": "a.vhdx", "size": 1024**3, "storage_class": "gold"},
            {"disk_id": "d1", "name": "b.vhdx", "size": 1024**3, "storage_class": ""},
        ],
        "nics": [
            {"nic_id": "n0", "name": "one", "network": "lan", "subnet": "web"},
            {"nic_id": "n1", "name": "two", "network": ""},
        ],
    }
    vault.says("GET", "/machines/web", machine)
    assert await cli.json("vm", "show", "web") == machine
    lines = await cli.lines("vm", "show", "web")
    assert lines[-6:] == [
        "DISK SIZE STORAGE CLASS NAME",
        "d0 1.0 GiB gold a.vhdx",
        "d1 1.0 GiB - b.vhdx",
        "ADAPTER NAME NETWORK SUBNET",
        "n0 one lan web",
        "n1 two disconnected -",
    ]


async def test_a_machine_leads_to_its_protection_or_to_one(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/machines/web", {"name": "web", "protection": "p1"})
    assert (await cli("vm", "show", "web")).stderr == "next: replikera protection show web\n"
    vault.says("GET", "/machines/web", {"name": "web", "protection": None})
    hint = "next: replikera protection enable web --target-host HOST --policy POLICY\n"
    assert (await cli("vm", "show", "web")).stderr == hint


async def test_where_a_machine_would_go_is_shown_with_the_reasons(
    cli: Cli, vault: FakeVault
) -> None:
    placement = {
        "machine": "web",
        "target_host": "hv2",
        "storage": {"folder": "", "reason": "default path, because no storage mapping for x"},
        "nics": [{"nic_id": "n0", "network": "lan", "subnet": "db", "rule": "same-subnet"}],
    }
    vault.says("GET", "/machines/web/placement", placement)
    command = ("vm", "placement", "web", "--target-host", "hv2")
    assert await cli.json(*command) == placement
    assert vault.queries[0] == {"target_host": "hv2"}
    assert await cli.lines(*command) == [
        "vm web",
        "target host hv2",
        "folder the host's default",
        "folder chosen by default path, because no storage mapping for x",
        "ADAPTER NETWORK SUBNET RULE",
        "n0 lan db same-subnet",
    ]
