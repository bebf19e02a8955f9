import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.messages import GrantEnded, Incoming
from agent.replica.permission import LOOK_SECONDS, Permission, admitted, terms_of
from agent.replica.replica import Replica
from tests.support.segments import ACCEPTED, GENERATION, PROTECTION
from tests.unit.agent.fakes import settle
from tests.unit.agent.replica.conversing import OFFICE, TARGET, Rig, rig_in


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await rig_in(tmp_path)


def replica_of(rig: Rig) -> Replica:
    return rig.store.get(PROTECTION)


async def permission_until(rig: Rig, seconds: float) -> Permission:
    reader = OFFICE.reader(TARGET, rig.clock)
    signed = OFFICE.grant(not_after=rig.clock.now() + timedelta(seconds=seconds))
    replica = replica_of(rig)
    return Permission(replica, reader, rig.clock, await admitted(replica, reader, signed))


def test_terms_are_those_of_the_replica_on_this_host() -> None:
    terms = terms_of(ACCEPTED, TARGET)
    assert (terms.protection_id, terms.epoch, terms.generation) == (PROTECTION, 1, GENERATION)
    assert (terms.source_host_id, terms.target_host_id) == (ACCEPTED.source_host_id, TARGET)


async def test_permission_lasts_as_long_as_its_grant(rig: Rig) -> None:
    permission = await permission_until(rig, 10)
    permission.check()
    await rig.clock.advance(10)
    with pytest.raises(ReplicaError) as raised:
        permission.check()
    assert raised.value.code == "grant-expired"
    assert not raised.value.is_diverged


async def test_end_of_a_grant_is_told_behind_what_arrived(rig: Rig) -> None:
    permission = await permission_until(rig, 1000)
    incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(permission.watch(incoming))
        await rig.clock.advance(999)
        assert incoming.empty()
        await rig.clock.advance(1)
        assert incoming.get_nowait() == GrantEnded()
        watching.cancel()


async def test_grant_renewed_behind_its_end_is_watched_again(rig: Rig) -> None:
    permission = await permission_until(rig, 100)
    incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(permission.watch(incoming))
        await rig.clock.advance(100)
        assert incoming.get_nowait() == GrantEnded()
        later = rig.clock.now() + timedelta(seconds=1000)
        await permission.renew(OFFICE.grant(version=2, not_after=later))
        permission.check()
        await rig.clock.advance(LOOK_SECONDS)
        assert incoming.empty()
        await rig.clock.advance(1000)
        assert incoming.get_nowait() == GrantEnded()
        watching.cancel()
        await settle()


async def test_grant_is_admitted_once_its_version_is_durable(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = OFFICE.reader(TARGET, rig.clock)

    def fail(_version: int) -> int:
        raise ReplicaError("disk-full", "Full.", "Free some.")

    monkeypatch.setattr(replica_of(rig)._lineage, "note_grant", fail)
    with pytest.raises(ReplicaError, match="Full"):
        await admitted(replica_of(rig), reader, OFFICE.grant())
