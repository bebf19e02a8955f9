"""What the vault orders of a running replication: pause, other settings, resync, verification, the end of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from agent.replica.accepted import AcceptedReplica
from agent.source.assignment import Compression
from agent.source.replicators import Replicators
from agent.source.status import ReplicationState
from tests.integration.replication.sites import (
    GENERATION,
    PROTECTION,
    SOURCE,
    Sites,
)
from tests.support.memory_stream import Faults

VERIFICATION = "77777777-0000-4000-8000-000000000007"
LATER = "88888888-0000-4000-8000-000000000008"
NEW_GENERATION = "33333333-3333-4333-8333-333333333333"


@pytest.fixture
async def sites(tmp_path: Path) -> Sites:
    sites = Sites(tmp_path)
    await sites.secondary.accept()
    return sites


def is_in(sites: Sites, state: ReplicationState) -> Callable[[], bool]:
    return lambda: bool(sites.primary.statuses) and sites.primary.statuses[-1].state is state


async def pause(sites: Sites, replicators: Replicators, *, is_paused: bool = True) -> None:
    await replicators.start(replace(sites.primary.assignment, is_paused=is_paused), b"")


async def test_a_pause_stops_everything_but_the_tracking(sites: Sites) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(2)
        await pause(sites, replicators)
        await primary.until(is_in(sites, ReplicationState.PAUSED))
        head = primary.state.head.sequence
        assert await primary.hypervisor().views(PROTECTION) == ()
        assert await primary.hypervisor().mark(PROTECTION) is not None
        primary.write()
        await pause(sites, replicators, is_paused=False)
        await primary.until_sequence(head + 2)
    assert primary.state.resync is None
    assert await sites.assert_all_points_equal_their_views() >= head + 2


async def test_a_pause_outlives_the_agent(sites: Sites) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(1)
        await pause(sites, replicators)
        await primary.until(is_in(sites, ReplicationState.PAUSED))
    primary.statuses.clear()
    async with primary.running(sites.dialler(), is_ordered=False) as replicators:
        await primary.until(is_in(sites, ReplicationState.PAUSED))
        await pause(sites, replicators, is_paused=False)
        await primary.until_sequence(3)
    assert await sites.assert_all_points_equal_their_views() >= 3


@pytest.mark.parametrize("cut_after", range(0, 40, 4))
async def test_a_pause_at_any_moment_of_the_initial_pass_loses_nothing(
    sites: Sites, cut_after: int
) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler([Faults(cut_after=cut_after)])) as replicators:
        await primary.until(lambda: primary.has_failed() or primary.state.head.sequence >= 3)
        await pause(sites, replicators)
        await primary.until(is_in(sites, ReplicationState.PAUSED))
        await pause(sites, replicators, is_paused=False)
        await primary.until_sequence(3)
    assert await sites.assert_all_points_equal_their_views() >= 3


@pytest.mark.parametrize("compression", list(Compression))
async def test_settings_change_while_it_runs(sites: Sites, compression: Compression) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(2)
        changed = replace(
            primary.assignment, compression=compression, copy_frequency=timedelta(seconds=5)
        )
        await replicators.start(changed, b"")
        ((assignment, _),) = replicators.held()
        assert assignment == changed
        await primary.until_sequence(6)
        assert primary.state.assignment == changed
    assert await sites.assert_all_points_equal_their_views() >= 6


async def lose_tracking(sites: Sites) -> None:
    sites.primary.lose_tracking()
    await sites.primary.until(is_in(sites, ReplicationState.RESYNC_REQUIRED))


async def test_a_resync_goes_on_from_the_points_that_are_there(sites: Sites) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(3)
        await lose_tracking(sites)
        before = sites.secondary.store.get(PROTECTION).points()
        await replicators.resync(PROTECTION)
        await primary.until_sequence(before[-1].sequence + 3)
    points = sites.secondary.store.get(PROTECTION).points()
    assert points[: len(before)] == before
    assert primary.state.resync is None
    await sites.assert_all_points_equal_their_views()


@pytest.mark.parametrize("cut_after", range(12))
@pytest.mark.parametrize("is_restart", [False, True], ids=["reconnect", "restart"])
async def test_a_resync_may_break_after_any_message(
    sites: Sites, cut_after: int, *, is_restart: bool
) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler()):
        await primary.until_sequence(3)
        await lose_tracking(sites)
    head = primary.state.head.sequence
    faults = [Faults(cut_after=cut_after)]
    async with primary.running(sites.dialler(faults), is_ordered=False) as replicators:
        primary.statuses.clear()
        await replicators.resync(PROTECTION)
        await primary.until(lambda: primary.has_failed() or primary.state.head.sequence > head)
        if not is_restart:
            await primary.until_sequence(head + 2)
    if is_restart:
        sites.secondary.restart()
        await sites.secondary.store.open()
        async with primary.running(sites.dialler(), is_ordered=False):
            await primary.until_sequence(head + 2)
    assert primary.state.resync is None
    assert await sites.assert_all_points_equal_their_views() >= head + 2


async def test_a_verification_compares_every_byte_and_replication_goes_on(sites: Sites) -> None:
    primary = sites.primary

    def is_verified(verification_id: str) -> bool:
        shown = primary.statuses[-1].verification
        is_this = shown is not None and shown.verification_id == verification_id
        return is_this and shown is not None and shown.is_finished

    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(2)
        for verification_id in (VERIFICATION, VERIFICATION, LATER):
            await replicators.verify(PROTECTION, verification_id)
            await primary.until(partial(is_verified, verification_id))
            shown = primary.statuses[-1].verification
            assert shown is not None
            assert (shown.differing_bytes, shown.checked_bytes) == (0, shown.total_bytes)
            assert shown.total_bytes == 5 << 20
        await primary.until_sequence(primary.state.head.sequence + 1)
    assert await sites.assert_all_points_equal_their_views() >= 3


async def test_what_tracking_missed_is_found_and_repaired(sites: Sites) -> None:
    primary = sites.primary
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(2)
        primary.write_untracked()
        await replicators.verify(PROTECTION, VERIFICATION)
        await primary.until(is_in(sites, ReplicationState.RESYNC_REQUIRED))
        failure = primary.statuses[-1].failure
        assert failure is not None
        assert failure.code == "verify-failed"
        head = primary.state.head.sequence
        await replicators.resync(PROTECTION)
        await primary.until_sequence(head + 2)
    newest = sites.secondary.store.get(PROTECTION).points()[-1]
    recovered = await sites.secondary.recovered(newest.sequence)
    assert recovered == primary.history[newest.capture_ended_at]


async def test_what_is_stopped_leaves_nothing_and_may_begin_anew(sites: Sites) -> None:
    primary, store = sites.primary, sites.secondary.store
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(2)
        for _ in range(2):
            await replicators.stop(PROTECTION)
        assert (replicators.held(), replicators.statuses()) == ((), ())
        assert await primary.hypervisor().views(PROTECTION) == ()
        assert await primary.hypervisor().mark(PROTECTION) is None
        assert primary.states.protection_ids() == []
        for _ in range(2):
            await store.remove(PROTECTION, False)
        assert store.all() == ()
        accepted = AcceptedReplica(
            PROTECTION, 2, NEW_GENERATION, SOURCE, "machine", "web", timedelta(days=1)
        )
        await store.accept(accepted)
        anew = replace(primary.assignment, epoch=2, generation=NEW_GENERATION)
        await replicators.start(anew, sites.office.grant(epoch=2, generation=NEW_GENERATION))
        await primary.until(lambda: primary.state.head.sequence >= 2)
    assert {point.generation for point in store.get(PROTECTION).points()} == {NEW_GENERATION}
    assert GENERATION != NEW_GENERATION
    assert await sites.assert_all_points_equal_their_views() >= 2


async def test_kept_disks_of_a_removed_replica_are_its_newest_point(sites: Sites) -> None:
    primary, store = sites.primary, sites.secondary.store
    async with primary.running(sites.dialler()) as replicators:
        await primary.until_sequence(3)
        await replicators.stop(PROTECTION)
    newest = store.get(PROTECTION).points()[-1]
    kept = await store.remove(PROTECTION, True)
    assert await store.remove(PROTECTION, True) == kept
    contents = sorted(sites.secondary.content(path) for path in kept)
    assert contents == sorted(primary.history[newest.capture_ended_at].values())
