from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

EVENT = {
    "number": 7,
    "occurred_at": "2026-11-22T20:14:55Z",
    "kind": "site-created",
    "subject": "s1",
    "detail": "dc-a",
}


async def test_events_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/events", {"items": [EVENT, {**EVENT, "detail": ""}], "next_cursor": None})
    assert await cli.lines("event", "list") == [
        "NUMBER TIME KIND DETAIL SUBJECT",
        "7 2026-11-22 20:14:55Z site-created dc-a s1",
        "7 2026-11-22 20:14:55Z site-created - s1",
    ]
    assert set(vault.queries[0]) == {"limit"}


async def test_events_are_chosen_by_kind_subject_and_number(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/events", {"items": [], "next_cursor": None})
    chosen = ("--kind", "site-created", "--subject", "s1", "--after", "0")
    result = await cli("event", "list", *chosen)
    assert result.stderr.startswith("Nothing of that kind happened.")
    query = vault.queries[0]
    assert (query["kind"], query["subject"], query["after"]) == ("site-created", "s1", "0")
