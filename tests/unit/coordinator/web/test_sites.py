from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import asking


async def test_sites_and_clouds_are_created_and_listed_a_page_at_a_time(vault: Vault) -> None:
    carl = await asking(vault, "carl", OperatorRole.CONTRIBUTOR)
    for name in ("north", "south", "east"):
        made = await carl.post("/sites", {"name": name})
        assert made["name"] == name
    first = await carl.get("/sites?limit=2")
    assert [item["name"] for item in first["items"]] == ["east", "north"]
    rest = await carl.get(f"/sites?limit=2&cursor={first['next_cursor']}")
    assert ([item["name"] for item in rest["items"]], rest["next_cursor"]) == (["south"], None)
    cloud = await carl.post("/clouds", {"name": "gold", "site": "north"})
    assert (cloud["name"], cloud["site"]) == ("gold", "north")
    assert (await carl.get("/clouds"))["items"] == [cloud]


async def test_what_is_wrong_is_said_by_code(vault: Vault) -> None:
    carl = await asking(vault, "carl", OperatorRole.CONTRIBUTOR)
    await carl.post("/sites", {"name": "north"})
    assert await carl.refusal("POST", "/sites", {"name": "north"}) == (409, "site-name-taken")
    assert await carl.refusal("POST", "/sites", {"name": "a/b"}) == (422, "invalid-name")
    cloud = {"name": "gold", "site": "nowhere"}
    assert await carl.refusal("POST", "/clouds", cloud) == (404, "unknown-site")
    assert await carl.refusal("GET", "/sites?cursor=x") == (422, "invalid-cursor")
