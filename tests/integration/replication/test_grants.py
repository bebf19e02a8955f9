"""Replication under grants: what permits it, what ends it, and that it goes on from the mark afterwards."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.source.status import Failure, ReplicationState
from replikera.identity import Credentials
from replikera.trust.deny_list import open_deny_list
from replikera.wire.v1 import replication_pb2 as wire
from tests.integration.replication.sites import PROTECTION, TARGET, Sites, office
from tests.support.authority import VAULT_ID
from tests.support.memory_stream import Direction

STRANGER = "aaaaaaaa-0000-4000-8000-00000000000f"


@pytest.fixture
async def sites(tmp_path: Path) -> Sites:
    sites = Sites(tmp_path)
    await sites.secondary.accept()
    return sites


def ends_in(sites: Sites, seconds: float) -> datetime:
    return sites.clock.now() + timedelta(seconds=seconds)


def failures(sites: Sites) -> list[Failure]:
    return [status.failure for status in sites.primary.statuses if status.failure is not None]


async def run_until_refused(sites: Sites) -> Failure:
    await sites.run_until(sites.primary.has_failed)
    return failures(sites)[0]


def presented(sites: Sites, link: int = 0) -> list[str]:
    """Return what the source said in a conversation."""
    return [
        wire.ReplicateRequest.FromString(message).WhichOneof("message") or ""
        for direction, message in sites.links[link].transcript
        if direction is Direction.TO_TARGET and len(message) < 10_000
    ]


async def test_a_grant_that_ends_stops_replication_and_a_new_one_continues_it_without_a_resync(
    sites: Sites,
) -> None:
    sites.primary.grant = sites.office.grant(not_after=ends_in(sites, 100))
    reached = 0
    async with sites.primary.running(sites.dialler()) as replicators:
        await sites.primary.until(sites.primary.has_failed)
        (waiting,) = replicators.statuses()
        assert waiting.state is ReplicationState.WAITING
        assert waiting.failure is not None
        assert waiting.failure.code == "grant-expired"
        assert "Connect the source host to the vault" in waiting.failure.remedy
        reached = sites.primary.state.head.sequence
        mark = await sites.primary.hypervisor().mark(PROTECTION)
        assert reached == sites.secondary.store.get(PROTECTION).head.sequence > 2
        # Hours pass, and the guest goes on.
        await sites.clock.sleep(20_000)
        sites.primary.write()
        assert await sites.primary.hypervisor().mark(PROTECTION) == mark
        assert sites.primary.state.head.sequence == reached

        renewed = sites.office.grant(version=2, not_after=ends_in(sites, 100_000))
        await replicators.renew_grant(PROTECTION, renewed)
        await sites.primary.until_sequence(reached + 2)
        (going,) = replicators.statuses()
        assert (going.state, going.failure) == (ReplicationState.REPLICATING, None)
    assert sites.primary.state.resync is None
    assert {failure.code for failure in failures(sites)} == {"grant-expired"}
    assert await sites.assert_all_points_equal_their_views() >= reached + 2


async def test_a_source_that_is_silent_when_its_grant_ends_is_cut_off(sites: Sites) -> None:
    sites.primary.frequency = timedelta(hours=20)
    sites.primary.grant = sites.office.grant(not_after=ends_in(sites, 3600))
    failure = await run_until_refused(sites)
    assert failure.code == "grant-expired"
    # Well before the next cycle: the target ended what nobody used.
    assert sites.clock.now() < sites.clock.start + timedelta(hours=2)
    assert sites.primary.state.head.sequence == 1


async def test_a_newer_grant_that_is_presented_in_time_keeps_the_conversation(sites: Sites) -> None:
    sites.primary.grant = sites.office.grant(not_after=ends_in(sites, 100))
    async with sites.primary.running(sites.dialler()) as replicators:
        await sites.primary.until_sequence(2)
        renewed = sites.office.grant(version=2, not_after=ends_in(sites, 100_000))
        await replicators.renew_grant(PROTECTION, renewed)
        await sites.primary.until_sequence(8)
    assert sites.clock.now() > sites.clock.start + timedelta(seconds=100)
    assert failures(sites) == []
    assert len(sites.links) == 1
    assert presented(sites).count("present") == 1
    assert sites.secondary.store.get(PROTECTION).grant_version == 2


async def test_a_renewed_grant_survives_a_restart_of_the_source(sites: Sites) -> None:
    sites.primary.grant = sites.office.grant(not_after=ends_in(sites, 100))
    async with sites.primary.running(sites.dialler()) as replicators:
        await sites.primary.until_sequence(2)
        renewed = sites.office.grant(version=2, not_after=ends_in(sites, 100_000))
        await replicators.renew_grant(PROTECTION, renewed)
    sites.clock.advance(1000)
    # The order that started it comes again with the grant of then.
    await sites.run_until_sequence(4)
    assert failures(sites) == []


async def test_a_source_without_a_grant_waits_for_one(sites: Sites) -> None:
    sites.primary.grant = b""
    async with sites.primary.running(sites.dialler()) as replicators:
        await sites.primary.until(sites.primary.has_failed)
        assert failures(sites)[0].code == "grant-missing"
        await replicators.renew_grant(PROTECTION, sites.office.grant())
        await sites.primary.until_sequence(1)
    assert await sites.assert_all_points_equal_their_views() >= 1


async def test_a_grant_that_was_replaced_does_not_come_back(sites: Sites, tmp_path: Path) -> None:
    sites.primary.grant = sites.office.grant(version=2)
    await sites.run_until_sequence(1)
    sites.secondary.restart()
    await sites.secondary.store.open()
    sites.primary.grants.save(PROTECTION, sites.office.grant(version=1))
    sites.primary.grant = b""
    failure = await run_until_refused(sites)
    assert failure.code == "grant-superseded"
    assert "Version 1" in failure.cause
    assert sites.primary.state.resync is None


def signed_by_another_vault(_sites: Sites) -> bytes:
    return office().grant()


def for_another_protection(sites: Sites) -> bytes:
    return sites.office.grant(protection_id="99999999-1111-4111-8111-111111111111")


def of_another_epoch(sites: Sites) -> bytes:
    return sites.office.grant(epoch=2)


def of_another_source(sites: Sites) -> bytes:
    return sites.office.grant(source_host_id=STRANGER)


def for_another_target(sites: Sites) -> bytes:
    return sites.office.grant(target_host_id=STRANGER)


def of_tomorrow(sites: Sites) -> bytes:
    return sites.office.grant(not_before=ends_in(sites, 86_400))


def with_a_changed_byte(sites: Sites) -> bytes:
    signed = bytearray(sites.office.grant())
    signed[40] ^= 1
    return bytes(signed)


@pytest.mark.parametrize(
    "make",
    [
        signed_by_another_vault,
        for_another_protection,
        of_another_epoch,
        of_another_source,
        for_another_target,
        of_tomorrow,
        with_a_changed_byte,
    ],
)
async def test_a_grant_of_something_else_permits_nothing(
    sites: Sites, make: Callable[[Sites], bytes]
) -> None:
    # Into the file, as a source that does not look would: the target decides.
    sites.primary.states.prepare()
    sites.primary.grants.save(PROTECTION, make(sites))
    sites.primary.grant = b""
    await sites.run_until(sites.primary.has_failed)
    failure = failures(sites)[0]
    assert failure.code in {"grant-invalid", "grant-missing"}
    assert PROTECTION in failure.cause
    assert failure.remedy
    assert sites.secondary.store.get(PROTECTION).head.sequence == 0
    assert sites.secondary.store.get(PROTECTION).grant_version == 0


async def test_a_renewed_certificate_is_presented_from_the_next_cycle_on(sites: Sites) -> None:
    async with sites.primary.running(sites.dialler()):
        await sites.primary.until_sequence(2)
        sites.primary.holder.replace(Credentials(b"newer", b"", b""))
        await sites.primary.until_sequence(4)
        assert len(sites.links) == 2
    assert failures(sites) == []
    states = {status.state for status in sites.primary.statuses}
    assert ReplicationState.RESYNC_REQUIRED not in states
    assert await sites.assert_all_points_equal_their_views() >= 4


async def test_a_target_that_the_vault_denies_is_left_at_once(sites: Sites) -> None:
    def deny(version: int, *hosts: str) -> None:
        signed = sites.office.deny_list(version, *hosts)
        root = sites.office.authority.root_pem
        denied = open_deny_list(
            signed, vault_id=VAULT_ID, root_certificate=root, now=sites.clock.now()
        )
        sites.primary.denials.update(denied)

    sites.primary.frequency = timedelta(hours=20)
    async with sites.primary.running(sites.dialler()) as replicators:
        await sites.primary.until_sequence(1)
        deny(1, TARGET)
        await sites.primary.until(sites.primary.has_failed)
        (waiting,) = replicators.statuses()
        assert waiting.state is ReplicationState.WAITING
        assert waiting.failure is not None
        assert waiting.failure.code == "target-denied"
        assert TARGET in waiting.failure.cause
        await sites.clock.sleep(100)
        assert len(sites.links) == 1
        deny(2)
        await sites.primary.until_sequence(2)
    assert sites.primary.state.resync is None
