from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from replikera.cli import paging
from replikera.cli.client import VaultClient
from replikera.cli.errors import AnswerError
from replikera.cli.paging import PAGE, pages, whole_list
from replikera.cli.profile import load_profile
from replikera.system.files import SystemFiles
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli


@pytest.fixture
def client(cli: Cli) -> Callable[[], VaultClient]:
    profile = load_profile(SystemFiles(), cli.profile, datetime.now(UTC))
    return lambda: VaultClient(profile, cli.ports)


def page(numbers: range, following: str | None) -> dict[str, Any]:
    return {"items": [{"n": number} for number in numbers], "next_cursor": following}


async def test_a_list_is_followed_to_its_end(
    client: Callable[[], VaultClient], vault: FakeVault
) -> None:
    vault.says(
        *("GET", "/jobs"), page(range(3), "a b"), page(range(3, 5), "c"), page(range(5, 6), None)
    )
    async with client() as open_client:
        found = await whole_list(open_client, ("jobs",), {"state": "failed", "subject": None})
    assert found == page(range(6), None)
    assert vault.queries == [
        {"state": "failed", "limit": str(PAGE)},
        {"state": "failed", "limit": str(PAGE), "cursor": "a b"},
        {"state": "failed", "limit": str(PAGE), "cursor": "c"},
    ]


async def test_a_limit_asks_for_no_more_than_is_wanted(
    client: Callable[[], VaultClient], vault: FakeVault
) -> None:
    vault.says("GET", "/jobs", page(range(PAGE), "a"), page(range(PAGE, PAGE + 5), "b"))
    async with client() as open_client:
        found = await whole_list(open_client, ("jobs",), {}, PAGE + 5)
    assert found == page(range(PAGE + 5), "b")
    assert [query["limit"] for query in vault.queries] == [str(PAGE), "5"]


async def test_a_vault_that_gives_more_than_asked_is_cut(
    client: Callable[[], VaultClient], vault: FakeVault
) -> None:
    vault.says("GET", "/jobs", page(range(9), "a"))
    async with client() as open_client:
        assert await whole_list(open_client, ("jobs",), {}, 2) == page(range(2), "a")


async def test_pages_come_one_by_one(client: Callable[[], VaultClient], vault: FakeVault) -> None:
    vault.says("GET", "/audit", page(range(2), "a"), page(range(2, 3), None))
    async with client() as open_client:
        sizes = [len(items) async for items in pages(open_client, ("audit",), {"after": 0})]
    assert sizes == [2, 1]


async def test_a_cursor_that_leads_nowhere_is_noticed(
    client: Callable[[], VaultClient], vault: FakeVault
) -> None:
    vault.says("GET", "/jobs", page(range(1), "again"))
    async with client() as open_client:
        with pytest.raises(AnswerError, match="does not end"):
            await whole_list(open_client, ("jobs",), {})
    assert len(vault.requests) == 2


async def test_a_list_without_end_is_given_up(
    client: Callable[[], VaultClient], vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "MAX_PAGES", 3)
    vault.says("GET", "/jobs", *(page(range(1), str(number)) for number in range(9)))
    async with client() as open_client:
        with pytest.raises(AnswerError, match="does not end"):
            await whole_list(open_client, ("jobs",), {})
    assert len(vault.requests) == 3


@pytest.mark.parametrize("answer", [{}, {"items": {}}, {"items": [], "next_cursor": 5}])
async def test_what_is_no_list_is_an_error(
    client: Callable[[], VaultClient], vault: FakeVault, answer: object
) -> None:
    vault.says("GET", "/jobs", answer)
    async with client() as open_client:
        with pytest.raises(AnswerError, match="list without items"):
            await whole_list(open_client, ("jobs",), {})
