"""Lists of the vault, page by page."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from replikera.cli.client import Query, VaultClient
from replikera.cli.errors import AnswerError
from replikera.cli.records import Record, records

PAGE = 1000
"""What the vault gives at most."""

MAX_PAGES = 10_000
"""Ten million items are no list to look at; a vault that never ends is not believed."""


class _Page(NamedTuple):
    items: list[Record]
    next_cursor: str | None


async def pages(
    client: VaultClient, path: tuple[str, ...], query: Query, limit: int | None = None
) -> AsyncIterator[list[Record]]:
    """Yield the items of a list, no more than `limit`, as they come. Raises `CommandError`."""
    async for page in _pages(client, path, query, limit):
        yield page.items


async def whole_list(
    client: VaultClient, path: tuple[str, ...], query: Query, limit: int | None = None
) -> dict[str, object]:
    """Return a list in the vault's form, with all its items or the first `limit`. Raises `CommandError`.

    Its `next_cursor` is null unless more follow.
    """
    found: list[Record] = []
    cursor: str | None = None
    async for page in _pages(client, path, query, limit):
        found += page.items
        cursor = page.next_cursor
    return {"items": found, "next_cursor": cursor}


async def _pages(
    client: VaultClient, path: tuple[str, ...], query: Query, limit: int | None
) -> AsyncIterator[_Page]:
    cursor: str | None = None
    wanted = limit
    for _ in range(MAX_PAGES):
        size = PAGE if wanted is None else min(PAGE, wanted)
        page = _parse(await client.get(*path, query={**query, "limit": size, "cursor": cursor}))
        if page.next_cursor is not None and page.next_cursor == cursor:
            break
        yield _Page(page.items[:wanted], page.next_cursor)
        cursor = page.next_cursor
        wanted = None if wanted is None else wanted - len(page.items)
        if cursor is None or (wanted is not None and wanted <= 0):
            return
    raise AnswerError(
        "list-without-end", "The vault's list does not end", "Ask for a part of it with --limit"
    )


def _parse(answer: Record) -> _Page:
    following = answer.get("next_cursor")
    if not isinstance(answer.get("items"), list) or not isinstance(following, str | None):
        raise AnswerError(
            "answer-not-understood",
            "The vault answered a list without items",
            "Use the same version of replikera here and on the coordinator",
        )
    return _Page(records(answer, "items"), following)
