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
    assert await cli.json("vm", "list") == answer
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
