import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.source.answers import Opened
from agent.source.conversation import Conversation
from agent.source.errors import (
    InterruptedReplicationError,
    RefusedError,
    TargetDeniedError,
)
from agent.source.grants import HeldGrant
from agent.source.link import TargetLink
from agent.source.record import ProtectionRecord
from agent.source.state import SourceState
from replikera.denials import Denials
from replikera.identity import Credentials
from replikera.ports.streams import StreamClosedError
from replikera.trust.deny_list import open_deny_list
from tests.support.authority import VAULT_ID
from tests.support.fake_hypervisor import FakeHypervisor, describe
from tests.support.fake_target import FakeTarget
from tests.support.grants import GrantOffice, terms
from tests.support.memory_stream import Faults, MemoryDialler
from tests.support.source_hosts import SOURCE, source_host
from tests.support.source_rig import ASSIGNMENT, GENERATION, PROTECTION
from tests.support.virtual_clock import VirtualClock

TARGET = "target-host"
OFFICE = GrantOffice(terms(PROTECTION, GENERATION, SOURCE, TARGET))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.target = FakeTarget()
        self.grant = HeldGrant(OFFICE.grant())
        self.opened: list[Opened] = []
        self.faults: list[Faults] = []

    def link(self, group: asyncio.TaskGroup) -> TargetLink:
        self.dialler = MemoryDialler(group, self.target.serve, faults=self.faults)
        hypervisor = FakeHypervisor(self.clock, describe({"disk-a": 65536}))
        self.host = source_host(
            self.folder, hypervisor, self.dialler, self.clock, lambda _status: None, office=OFFICE
        )
        self.host.folder.prepare()
        self.record = ProtectionRecord(self.host.folder, self.host.worker, SourceState(ASSIGNMENT))
        return TargetLink(self.host, self.record, self.grant)

    async def order(self, **changes: object) -> None:
        assignment = replace(self.record.state.assignment, **changes)  # type: ignore[arg-type]  # by name
        await self.record.update(lambda state: state.ordered(assignment))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def deny(denials: Denials, version: int, *hosts: str) -> None:
    signed = OFFICE.deny_list(version, *hosts)
    root = OFFICE.authority.root_pem
    now = VirtualClock().now()
    denials.update(open_deny_list(signed, vault_id=VAULT_ID, root_certificate=root, now=now))


async def until(is_reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_reached():
            await asyncio.sleep(0)


async def test_conversation_is_open_under_the_grant_while_it_lasts(rig: Rig) -> None:
    async def replicate(_conversation: Conversation, opened: Opened) -> None:
        rig.opened.append(opened)

    async with asyncio.TaskGroup() as group:
        await rig.link(group).converse(replicate)
    assert [opened.sequence for opened in rig.opened] == [0]
    (opening,) = rig.target.opened
    assert (opening.protection_id, opening.grant) == (PROTECTION, rig.grant.signed)


async def test_newer_grants_are_presented_as_they_come(rig: Rig) -> None:
    newer = [OFFICE.grant(version=version) for version in (2, 3)]

    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        for number, signed in enumerate(newer, start=1):
            rig.grant.replace(signed)
            await until(lambda expected=number: len(rig.target.presented) == expected)  # type: ignore[misc]

    async with asyncio.TaskGroup() as group:
        await rig.link(group).converse(replicate)
    assert rig.target.presented == newer


async def test_grant_that_came_while_the_conversation_was_opened_is_presented(rig: Rig) -> None:
    newer = OFFICE.grant(version=2)
    rig.target.on_change = lambda: rig.grant.replace(newer)

    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        await until(lambda: rig.target.presented == [newer])

    async with asyncio.TaskGroup() as group:
        await rig.link(group).converse(replicate)


async def test_denied_target_is_not_dialled(rig: Rig) -> None:
    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        link = rig.link(group)
        deny(rig.host.denials, 1, TARGET)
        with pytest.raises(TargetDeniedError, match=f"target host {TARGET} is not trusted"):
            await link.converse(replicate)
    assert rig.dialler.links == []


async def test_target_that_is_denied_meanwhile_is_left_in_the_middle(rig: Rig) -> None:
    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        deny(rig.host.denials, 1, "somebody-else")
        await asyncio.sleep(0)
        deny(rig.host.denials, 2, TARGET)
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        with pytest.raises(TargetDeniedError) as raised:
            await rig.link(group).converse(replicate)
    assert raised.value.failure.code == "target-denied"
    assert "readmitted" in raised.value.failure.remedy


async def test_renewed_credentials_outdate_the_conversation_until_the_next(rig: Rig) -> None:
    seen: list[bool] = []

    async with asyncio.TaskGroup() as group:
        link = rig.link(group)

        async def replicate(_conversation: Conversation, _opened: Opened) -> None:
            seen.append(link.is_outdated)
            rig.host.holder.replace(Credentials(str(len(seen)).encode(), b"", b""))
            seen.append(link.is_outdated)

        await link.converse(replicate)
        await link.converse(replicate)
    assert seen == [False, True, False, True]


async def test_another_address_outdates_the_conversation_and_is_dialled_next(rig: Rig) -> None:
    seen: list[bool] = []

    async with asyncio.TaskGroup() as group:
        link = rig.link(group)

        async def replicate(_conversation: Conversation, _opened: Opened) -> None:
            seen.append(link.is_outdated)
            await rig.order(target_address=f"host:{len(seen)}")
            seen.append(link.is_outdated)

        await link.converse(replicate)
        await link.converse(replicate)
    assert seen == [False, True, False, True]


@pytest.mark.parametrize("order", ["pause", "stop"])
async def test_what_is_not_to_be_sent_any_more_ends_the_conversation_at_once(
    rig: Rig, order: str
) -> None:
    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        await rig.order(target_address="elsewhere:1")
        await asyncio.sleep(0)
        if order == "pause":
            await rig.order(is_paused=True)
        else:
            await rig.record.update(SourceState.stopping)
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        with pytest.raises(InterruptedReplicationError):
            await rig.link(group).converse(replicate)


async def test_refusal_weighs_more_than_the_broken_stream(rig: Rig) -> None:
    rig.target.refuse("open", "grant-expired")

    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        with pytest.raises(RefusedError) as raised:
            await rig.link(group).converse(replicate)
    assert raised.value.failure.code == "grant-expired"


async def test_unreachable_target_is_told_as_that(rig: Rig) -> None:
    async def replicate(_conversation: Conversation, _opened: Opened) -> None:
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        link = rig.link(group)
        rig.dialler.unreachable = 1
        with pytest.raises(StreamClosedError, match="cannot be reached"):
            await link.converse(replicate)
