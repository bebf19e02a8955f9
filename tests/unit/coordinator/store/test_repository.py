from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import UnknownObjectError
from coordinator.domain.identifiers import HostId
from coordinator.store.database import Store
from coordinator.store.repository import the_one
from tests.unit.coordinator.examples import LATER, SOURCE, TARGET


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "vault.db")
    await store.open()
    async with store.write() as records:
        await records.save(Decision((TARGET, SOURCE)), BY_VAULT)
    yield store
    await store.close()


async def test_an_aggregate_is_found_by_id_and_by_name(store: Store) -> None:
    async with store.read() as records:
        assert await records.hosts.get("a1") == await records.hosts.get("source") == SOURCE
        assert await records.hosts.find("source") == SOURCE
        assert await records.hosts.find("a1") is None
        assert await records.hosts.is_taken("a1")
        assert not await records.hosts.is_taken("source")


async def test_saving_again_replaces_the_aggregate(store: Store) -> None:
    async with store.write() as records:
        await records.hosts.save(replace(SOURCE, last_seen_at=LATER))
    async with store.read() as reading:
        assert await reading.hosts.get("a1") == replace(SOURCE, last_seen_at=LATER)
        assert await reading.hosts.get("b1") == TARGET


async def test_lists_are_ordered_by_name_and_bounded(store: Store) -> None:
    async with store.read() as records:
        assert await records.hosts.all() == (SOURCE, TARGET)
        assert await records.hosts.all(limit=1) == (SOURCE,)


async def test_what_is_not_there_is_named_with_where_to_look(store: Store) -> None:
    async with store.read() as records:
        with pytest.raises(UnknownObjectError, match="no host c1.*replikera host list") as caught:
            await records.hosts.get("c1")
    assert caught.value.code == "unknown-host"


async def test_a_host_that_is_named_like_anothers_id_does_not_hide_it(store: Store) -> None:
    async with store.write() as records:
        await records.hosts.save(replace(TARGET, id=HostId("c1"), name=SOURCE.id))
        assert await records.hosts.get(SOURCE.id) == SOURCE


def test_the_one_of_one_is_it() -> None:
    assert the_one(("x",), "test failover", "x") == "x"
    with pytest.raises(UnknownObjectError) as caught:
        the_one((), "test failover", "x")
    assert caught.value.code == "unknown-test-failover"
