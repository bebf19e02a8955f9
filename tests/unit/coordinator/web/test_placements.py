from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import asking
from tests.unit.coordinator.vaults import equip


async def test_everybody_may_ask_where_a_machine_would_go(vault: Vault) -> None:
    await equip(vault)
    rita = await asking(vault, "rita", OperatorRole.READER)
    assert await rita.get("/machines/web/placement?target_host=b1") == {
        "machine": "web",
        "target_host": "b1",
        "storage": {
            "folder": "",
            "reason": "default path, because no storage mapping for disks without a class",
        },
        "nics": [
            {"nic_id": "nic-0", "network": "dr-lan", "subnet": "", "rule": "no-subnets"},
            {"nic_id": "nic-1", "network": "", "subnet": "", "rule": "not-mapped"},
        ],
    }
    assert await rita.refusal("GET", "/machines/web/placement") == (422, "invalid-request")
    assert await rita.refusal("GET", "/machines/web/placement?target_host=c1") == (
        404,
        "unknown-host",
    )
