from typing import Any

import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, squeezed

SITES = [{"name": name, "created_at": "2026-11-22T20:14:55Z", "id": "i"} for name in "abc"]


def page(first: int, last: int, following: str | None) -> dict[str, Any]:
    return {"items": SITES[first:last], "next_cursor": following}


async def test_items_of_all_pages_are_rows_and_the_hint_follows(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/audit", page(0, 2, "one"), page(2, 3, None))
    result = await cli("audit", "list")
    assert (result.exit_code, len(squeezed(result.stdout))) == (0, 4)
    assert result.stderr == "next: replikera audit verify\n"
    assert [query.get("cursor") for query in vault.queries] == [None, "one"]
    assert {query["after"] for query in vault.queries} == {"0"}


async def test_nothing_is_said_in_words_on_standard_error(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/sites", page(0, 0, None))
    result = await cli("site", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "This vault has no site.\nnext: replikera site create NAME\n"


async def test_nothing_is_an_empty_list_for_programs(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/sites", page(0, 0, None))
    assert await cli.json("site", "list") == {"items": [], "next_cursor": None}
    assert await cli.yaml("site", "list") == {"items": [], "next_cursor": None}


async def test_a_limit_stops_and_says_that_there_is_more(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/sites", page(0, 2, "more"))
    result = await cli("site", "list", "--limit", "2")
    assert len(squeezed(result.stdout)) == 3
    assert result.stderr == "These are the first 2; there are more.\n"
    assert [query["limit"] for query in vault.queries] == ["2"]
    found = await cli.json("site", "list", "--limit", "2")
    assert found == {"items": SITES[:2], "next_cursor": "more"}


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": {}}])
async def test_an_answer_that_is_no_list_is_an_error(
    cli: Cli, vault: FakeVault, answer: dict[str, object]
) -> None:
    vault.says("GET", "/sites", answer)
    result = await cli("site", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "list without items" in result.stderr
