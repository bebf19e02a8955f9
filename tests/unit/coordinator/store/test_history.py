import pytest

from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.events import Event, EventKind
from coordinator.orchestration.vault import Vault
from coordinator.store.history import MAX_DETAIL_LENGTH
from tests.unit.coordinator.examples import NOW
from tests.unit.coordinator.vaults import protect


async def test_every_decision_goes_on_with_the_chain(vault: Vault) -> None:
    async with vault.store.read() as records:
        before = await records.head()
    await protect(vault)
    async with vault.store.read() as records:
        head = await records.head()
        assert head.number > before.number
        newest = await records.history.line(head.number)
        assert newest is not None
        assert (newest.kind, newest.digest) == (EventKind.MACHINE_PROTECTED, head.digest)
    assert await vault.store.verify_history() == head


async def test_a_line_of_the_history_tells_who_asked(vault: Vault) -> None:
    protection = await protect(vault)
    async with vault.store.read() as records:
        lines = (await records.history.page(subject=protection.id, after=0)).items
    told = {line.kind: line.actor for line in lines}
    assert told[EventKind.PROTECTION_ENABLING] == "operator/ann"
    assert told[EventKind.REPLICA_ACCEPTED] == "host/target"
    assert told[EventKind.REPLICATION_STARTED] == "host/source"
    assert told[EventKind.MACHINE_PROTECTED] == "host/target"


async def test_the_history_is_listed_by_kind_by_object_and_behind_a_line(vault: Vault) -> None:
    await protect(vault)
    async with vault.store.read() as records:
        everything = (await records.history.page()).items
        numbers = [line.number for line in everything]
        assert numbers == sorted(numbers, reverse=True)
        (created,) = (await records.history.page(kind=EventKind.VAULT_CREATED)).items
        assert created.subject == vault.record.id
        after = (await records.history.page(after=numbers[-3])).items
        assert [line.number for line in after] == sorted(numbers[:-3])
        page = await records.history.page(limit=2, after=0)
        following = await records.history.page(page.next_cursor, 2, after=0)
        assert [line.number for line in (*page.items, *following.items)] == [1, 2, 3, 4]
        with pytest.raises(InvalidValueError):
            await records.history.page(page.next_cursor)


async def test_a_long_detail_is_cut(vault: Vault) -> None:
    event = Event(NOW, EventKind.HOST_INVITED, "x", "y" * (MAX_DETAIL_LENGTH + 1))
    async with vault.store.write() as records:
        await records.save(Decision(events=(event,)), BY_VAULT)
        line = await records.history.line((await records.head()).number)
    assert line is not None
    assert line.detail == "y" * (MAX_DETAIL_LENGTH - 1) + "…"
    await vault.store.verify_history()


async def test_the_history_goes_on_behind_what_was_skipped(vault: Vault) -> None:
    async with vault.store.write() as records:
        before = await records.head()
        await records.history.skip_to(5000)
        await records.history.skip_to(10)
        events = tuple(Event(NOW, EventKind.HOST_INVITED, name) for name in "ab")
        await records.save(Decision(events=events), BY_VAULT)
        await records.save(Decision(events=events[:1]), BY_VAULT)
        assert [line.number for line in (await records.history.page(limit=3)).items] == [
            5003,
            5002,
            5001,
        ]
    async with vault.store.write() as records:
        await records.save(Decision(events=events[:1]), BY_VAULT)
        assert (await records.head()).number == 5004
        assert await records.history.line(before.number + 1) is None
    assert (await vault.store.verify_history()).number == 5004
