import pytest

from coordinator.domain.inventory import Inventory
from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.vaults import BUBBLE, DR_LAN, equip, protect

BACK = {
    "primary_host": "b1",
    "primary_network": "dr-lan",
    "secondary_host": "a1",
    "secondary_network": "lan",
}


@pytest.fixture
async def carl(vault: Vault) -> Asking:
    return await asking(vault, "carl", OperatorRole.CONTRIBUTOR)


async def test_a_mapping_is_created_and_shown(vault: Vault, carl: Asking) -> None:
    await equip(vault)
    response = await carl.ask("POST", "/network-mappings", BACK)
    assert response.status == 201
    listed = (await carl.get("/network-mappings"))["items"]
    assert {item["primary_host"] for item in listed} == {"a1", "b1"}
    (made,) = (item for item in listed if item["primary_host"] == "b1")
    assert made == BACK | {
        "id": made["id"],
        "test_network": None,
        "health": "healthy",
        "cause": None,
        "remedy": None,
    }
    assert await carl.get(f"/network-mappings/{made['id']}") == made | {"protections": []}
    assert await carl.refusal("POST", "/network-mappings", BACK) == (409, "network-mapped-already")


async def test_a_mapping_tells_which_protections_it_concerns(vault: Vault, carl: Asking) -> None:
    await protect(vault)
    concerned = {
        "name": "web",
        "nics": [{"nic_id": "nic-0", "network": "dr-lan", "subnet": "", "rule": "no-subnets"}],
    }
    assert (await carl.get("/network-mappings/mapping"))["protections"] == [concerned]
    changed = await carl.post("/network-mappings/mapping/update", {"test_network": None})
    assert (changed["test_network"], changed["protections"]) == (None, [concerned])
    changed = await carl.post("/network-mappings/mapping/update", {"secondary_network": "bubble"})
    assert (changed["secondary_network"], changed["test_network"]) == ("bubble", None)
    headers = {"Idempotency-Key": "once"}
    for _ in range(2):
        gone = await carl.post("/network-mappings/mapping/delete", {}, **headers)
        assert gone == {"id": "mapping", "protections": ["web"]}
    assert (await carl.get("/network-mappings"))["items"] == []
    assert await carl.refusal("GET", "/network-mappings/mapping") == (
        404,
        "unknown-network-mapping",
    )


async def test_a_broken_mapping_says_so_in_the_list(vault: Vault, carl: Asking) -> None:
    await equip(vault)
    async with vault.store.write() as records:
        await records.inventories.replace(TARGET.id, Inventory((), (DR_LAN,)))
    (shown,) = (await carl.get("/network-mappings"))["items"]
    assert shown["health"] == "warning"
    assert "bubble" in shown["cause"]
    assert "network-mapping update mapping" in shown["remedy"]
    async with vault.store.write() as records:
        await records.inventories.replace(TARGET.id, Inventory((), (BUBBLE,)))
    (shown,) = (await carl.get("/network-mappings"))["items"]
    assert (shown["health"], "dr-lan" in shown["cause"]) == ("critical", True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"primary_network": "lan"}, 422, "invalid-request"),
        ({"secondary_network": ""}, 422, "invalid-request"),
        ({"secondary_network": "void"}, 404, "unknown-network"),
        ({"test_network": "dr-lan"}, 422, "network-not-isolated"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(
    vault: Vault, carl: Asking, body: object, status: int, code: str
) -> None:
    await equip(vault)
    path = "/network-mappings/mapping/update"
    assert await carl.refusal("POST", path, body) == (status, code)


async def test_an_operator_changes_no_mapping(vault: Vault) -> None:
    await equip(vault)
    otto = await asking(vault, "otto", OperatorRole.OPERATOR)
    for verb in ("update", "delete"):
        assert await otto.refusal("POST", f"/network-mappings/mapping/{verb}", {}) == (
            403,
            "role-not-allowed",
        )
