import asyncio
from datetime import timedelta

import pytest

from coordinator.domain.commands import by_operator
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.policy_settings import PolicySettings
from coordinator.orchestration.catalogue import create_policy
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import NOW


async def test_a_repeated_request_is_recognised_and_another_with_its_key_refused(
    vault: Vault,
) -> None:
    asked = by_operator("ann", "key-1", b"digest")
    event = Event(NOW, EventKind.POLICY_CREATED, "p")
    async with vault.store.write() as records:
        assert await records.done(by_operator("ann")) is None
        assert await records.done(asked) is None
        await records.save(Decision(events=(event,)), asked, result="p")
    async with vault.store.read() as reading:
        assert await reading.done(asked) == "p"
        assert await reading.done(by_operator("ann", "key-2", b"digest")) is None
        assert await reading.done(by_operator("bob", "key-1", b"digest")) is None
        with pytest.raises(RefusedError) as caught:
            await reading.done(by_operator("ann", "key-1", b"other"))
    assert caught.value.code == "idempotency-key-reused"
    async with vault.store.write() as records:
        await records.requests.forget(NOW)
        assert await records.done(asked) == "p"
        await records.requests.forget(NOW + timedelta(seconds=1))
        assert await records.done(asked) is None


async def test_the_same_request_at_the_same_time_acts_once(vault: Vault) -> None:
    asked = by_operator("ann", "once", b"digest")
    settings = PolicySettings(timedelta(minutes=5), timedelta(days=7))
    made = await asyncio.gather(
        *(create_policy(vault, asked, "weekly", settings) for _ in range(8))
    )
    assert len({policy.id for policy in made}) == 1
    async with vault.store.read() as records:
        assert len(await records.policies.all()) == 1
        assert len((await records.history.page(kind=EventKind.POLICY_CREATED)).items) == 1
