import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.vaults import equip, protect


@pytest.fixture
async def carl(vault: Vault) -> Asking:
    return await asking(vault, "carl", OperatorRole.CONTRIBUTOR)


async def test_what_there_is_is_listed(vault: Vault, carl: Asking) -> None:
    protection = await protect(vault)
    for path, names in (
        ("/machines", ["web"]),
        ("/networks", ["bubble", "dr-lan", "lan"]),
        ("/policies", ["quick"]),
    ):
        listed = await carl.get(path)
        assert ([item["name"] for item in listed["items"]], listed["next_cursor"]) == (names, None)
    (machine,) = (await carl.get("/machines"))["items"]
    assert machine["protection"] == protection.id
    assert await carl.get("/machines/web") == await carl.get("/machines/machine-1") == machine


async def test_a_list_goes_on_where_the_page_before_ended(vault: Vault, carl: Asking) -> None:
    await equip(vault)
    first = await carl.get("/networks?limit=2")
    rest = await carl.get(f"/networks?limit=2&cursor={first['next_cursor']}")
    assert [item["name"] for item in first["items"] + rest["items"]] == ["bubble", "dr-lan", "lan"]
    assert rest["next_cursor"] is None


async def test_a_machine_that_is_not_there_is_not_found(carl: Asking) -> None:
    assert await carl.refusal("GET", "/machines/web") == (404, "unknown-machine")
