import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import HostId, JobId
from coordinator.domain.jobs import Job
from coordinator.store import schema
from coordinator.store.database import Store
from coordinator.store.paging import MAX_LIMIT, Ordering, Page, check_limit
from coordinator.store.records import Records
from tests.unit.coordinator.examples import NOW, SOURCE, enabling


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    store = Store(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def job(name: str, second: int) -> Job:
    return replace(enabling()[1], id=JobId(name), created_at=NOW + timedelta(seconds=second))


async def all_pages(records: Records, limit: int) -> list[Page[Job]]:
    pages = [await records.jobs_page(None, limit)]
    while pages[-1].next_cursor is not None:
        pages.append(await records.jobs_page(pages[-1].next_cursor, limit))
    return pages


async def test_the_pages_hold_every_item_once_and_in_order(tmp_path: Path) -> None:
    random = Random(4)
    async with opened(tmp_path / "vault.db") as store:
        for limit in (1, 2, 3, 7, 40):
            # Few different times, so that many jobs share one.
            names = {"".join(random.choices("ab~é\"'", k=3)) for _ in range(21)}
            made = tuple(job(name, random.randrange(4)) for name in names)
            async with store.write() as records:
                await records.save(Decision(made), BY_VAULT)
                pages = await all_pages(records, limit)
                await records.save(Decision(removed=made), BY_VAULT)
            assert all(len(page.items) == limit for page in pages[:-1])
            found = [item for page in pages for item in page.items]
            assert found == sorted(made, key=newest_first, reverse=True)


def newest_first(item: Job) -> tuple[datetime, bytes]:
    return item.created_at, item.id.encode()


async def test_what_comes_between_pages_neither_repeats_nor_hides_anything(tmp_path: Path) -> None:
    async with opened(tmp_path / "vault.db") as store:
        async with store.write() as records:
            await records.save(Decision(tuple(job(f"job-{at}", at) for at in range(6))), BY_VAULT)
        async with store.read() as reading:
            first = await reading.jobs_page(None, 3)
        async with store.write() as records:
            await records.jobs.remove(first.items[-1])
            await records.save(Decision((job("newer", 9), job("in between", 1))), BY_VAULT)
        async with store.read() as reading:
            second = await reading.jobs_page(first.next_cursor, 9)
    assert [item.id for item in first.items] == ["job-5", "job-4", "job-3"]
    assert [item.id for item in second.items] == ["job-2", "job-1", "in between", "job-0"]
    assert second.next_cursor is None


async def test_names_are_paged_in_their_order(tmp_path: Path) -> None:
    names = ["a", "B", "b", "ä", "10", "9"]
    hosts = tuple(replace(SOURCE, id=HostId(f"id-{name}"), name=name) for name in names)
    async with opened(tmp_path / "vault.db") as store:
        async with store.write() as records:
            await records.save(Decision(hosts), BY_VAULT)
        async with store.read() as reading:
            first = await reading.hosts.page(None, 4)
            rest = await reading.hosts.page(first.next_cursor, 4)
            whole = await reading.hosts.page()
    assert [host.name for host in (*first.items, *rest.items)] == ["10", "9", "B", "a", "b", "ä"]
    assert whole == Page((*first.items, *rest.items), None)
    assert whole.of((1, 2)) == Page((1, 2), None)


def cursor_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


JOBS_LIST = "-jobs.created_at-jobs.id"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "äöü",
        "x" * 4000,
        cursor_of({}),
        cursor_of([]),
        cursor_of([JOBS_LIST]),
        cursor_of([JOBS_LIST, 1]),
        cursor_of([JOBS_LIST, "1", "x"]),
        cursor_of([JOBS_LIST, True, "x"]),
        cursor_of([JOBS_LIST, 1.5, "x"]),
        cursor_of([JOBS_LIST, 2**63, "x"]),
        cursor_of([JOBS_LIST, -(2**63) - 1, "x"]),
        cursor_of([JOBS_LIST, 1, None]),
        cursor_of([JOBS_LIST, 1, "\ud800"]),
        cursor_of([JOBS_LIST, 1, "x", "y"]),
        cursor_of(["+jobs.created_at+jobs.id", 1, "x"]),
        cursor_of(["+hosts.name+hosts.id", "a", "x"]),
        base64.urlsafe_b64encode(b"[" * 900).decode(),
    ],
)
async def test_a_cursor_that_is_not_of_the_list_is_refused(tmp_path: Path, cursor: str) -> None:
    async with opened(tmp_path / "vault.db") as store, store.read() as records:
        with pytest.raises(InvalidValueError) as caught:
            await records.jobs_page(cursor)
    assert (caught.value.code, caught.value.field) == ("invalid-cursor", "cursor")


async def test_a_cursor_of_the_list_is_taken_with_and_without_padding(tmp_path: Path) -> None:
    cursor = cursor_of([JOBS_LIST, 1, "x"])
    async with opened(tmp_path / "vault.db") as store, store.read() as records:
        for form in (cursor, cursor.rstrip("=")):
            assert await records.jobs_page(form) == Page((), None)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1])
def test_a_page_has_a_size_within_bounds(limit: int) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_limit(limit)
    assert (caught.value.code, caught.value.field) == ("invalid-limit", "limit")
    assert check_limit(1) == 1
    assert check_limit(MAX_LIMIT) == MAX_LIMIT


def test_a_page_of_a_list_in_order_needs_no_sorting_of_the_whole() -> None:
    terms = Ordering(schema.events.c.number, descending=True).terms
    assert [str(term) for term in terms] == ["events.number DESC"]
