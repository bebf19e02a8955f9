from datetime import datetime

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from replikera.history import Line, verify
from tests.unit.coordinator.asking import asking


async def test_events_are_for_everybody_and_tell_nobodys_name(vault: Vault) -> None:
    owner = await asking(vault, "olga", OperatorRole.OWNER)
    reader = await asking(vault, "rita", OperatorRole.READER)
    site = await owner.post("/sites", {"name": "north"})
    newest, *older = (await reader.get("/events"))["items"]
    assert (newest["kind"], newest["subject"]) == ("site-created", site["id"])
    assert not {"actor", "digest"} & newest.keys()
    assert (await reader.get("/events?kind=site-created"))["items"] == [newest]
    assert (await reader.get(f"/events?subject={site['id']}"))["items"] == [newest]
    after = older[1]["number"]
    numbers = [item["number"] for item in (await reader.get(f"/events?after={after}"))["items"]]
    assert numbers == [older[0]["number"], newest["number"]]


async def test_the_audit_log_is_chained_and_whole_a_page_at_a_time(vault: Vault) -> None:
    owner = await asking(vault, "olga", OperatorRole.OWNER)
    auditor = await asking(vault, "alf", OperatorRole.AUDITOR)
    await owner.post("/sites", {"name": "north"})
    items, cursor = [], ""
    while True:
        page = await auditor.get(f"/audit?limit=2{cursor}")
        items += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    lines = [
        (
            Line(
                item["number"],
                datetime.fromisoformat(item["occurred_at"]),
                item["actor"],
                item["kind"],
                item["subject"],
                item["detail"],
            ),
            bytes.fromhex(item["digest"]),
        )
        for item in items
    ]
    number, digest = verify(lines)
    head = (await auditor.get("/vault"))["head"]
    assert (number, digest.hex()) == (head["number"], head["digest"])
    assert items[-1]["actor"] == "operator/olga"
    following = await auditor.get(f"/audit?after={items[-2]['number']}")
    assert following["items"] == items[-1:]


async def test_the_audit_log_is_closed_to_others(vault: Vault) -> None:
    for role in (OperatorRole.READER, OperatorRole.OPERATOR, OperatorRole.CONTRIBUTOR):
        other = await asking(vault, f"op-{role}", role)
        assert await other.refusal("GET", "/audit") == (403, "role-not-allowed")
