from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from agent.hypervisor.interface import TrackingLostError
from agent.source.host import ViewLimits
from agent.source.state import SourceState
from agent.source.status import ReplicationState
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.fake_received import Segment
from tests.support.memory_stream import Faults
from tests.support.source_rig import PROTECTION, SourceRig, swallow_first

MIB = 1 << 20
SIZES = {"disk-a": 9 * MIB, "disk-b": MIB}


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceRig:
    """A protection with two points, whose tracking is lost."""
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB)
    monkeypatch.setattr("agent.source.slabs.SLAB_LEAVES", 2)
    rig = SourceRig(tmp_path / "protections", sizes=dict(SIZES))
    rig.hypervisor.write("disk-a", 0, Random(1).randbytes(6 * MIB))
    rig.hypervisor.write("disk-b", 65536, b"b" * 4096)
    await rig.run_until_settled(2)
    rig.hypervisor.write("disk-a", 3 * MIB, b"written while nobody tracked")
    rig.hypervisor.lose_views()
    rig.hypervisor.lose_marks()
    assert await rig.run_until_resync() == "mark-missing"
    rig.statuses.clear()
    rig.target.compared.clear()
    return rig


def order(rig: SourceRig) -> None:
    rig.change(lambda state: state.resynchronizing())


def sealed(rig: SourceRig) -> list[Segment]:
    return [segment for segment in rig.target.segments if segment.is_sealed]


async def test_only_what_differs_travels_and_older_points_stay(rig: SourceRig) -> None:
    before = rig.state.head.sequence
    order(rig)
    await rig.run_until_settled(before + 1)

    rig.assert_points_equal_views()
    assert sorted(rig.target.points) == list(range(1, before + 2))
    assert sealed(rig)[-1].payload_bytes == MIB
    assert rig.state.resyncing is None
    assert rig.state.resync is None
    states = [status.state for status in rig.statuses]
    assert ReplicationState.RESYNCHRONIZING in states
    assert states[-1] is ReplicationState.REPLICATING
    comparing = [each for each in rig.statuses if each.state is ReplicationState.RESYNCHRONIZING]
    assert max(each.total_bytes for each in comparing) == 6 * MIB + 65536


async def test_afterwards_cycles_go_on_with_changes_alone(rig: SourceRig) -> None:
    before = rig.state.head.sequence
    order(rig)
    await rig.run_until_settled(before + 1)
    rig.hypervisor.write("disk-b", 0, b"x")
    await rig.run_until_settled(before + 3)
    rig.assert_points_equal_views()
    assert sealed(rig)[before].payload_bytes == 4096


async def test_data_that_only_the_target_has_is_overwritten_with_zeros(rig: SourceRig) -> None:
    disks = rig.target.points[rig.target.sequence]
    spoiled = bytearray(disks["disk-a"])
    spoiled[8 * MIB : 8 * MIB + 4096] = b"?" * 4096
    disks["disk-a"] = bytes(spoiled)
    order(rig)
    await rig.run_until_settled(rig.state.head.sequence + 1)
    newest = rig.target.points[rig.target.sequence]
    assert newest["disk-a"] == rig.hypervisor.disks["disk-a"]
    assert sealed(rig)[-1].zero_records == 1


@pytest.mark.parametrize("sequence", [1, 2, 7])
async def test_the_target_s_head_is_taken_as_it_is(rig: SourceRig, sequence: int) -> None:
    content = rig.target.points[1]
    rig.target.points = {sequence: content}
    rig.target.sequence, rig.target.digest = sequence, b"x" * 32
    rig.target.attempt_floor = 40
    order(rig)
    await rig.run_until(lambda: rig.state.resyncing is None and not rig.state.unsettled_view_id)

    assert rig.target.sequence > sequence
    segment = rig.target.segments[-1]
    assert segment.header.previous == b"x" * 32 or segment.header.sequence > sequence + 1
    assert segment.header.attempt > 40
    assert (sequence + 1, 39) <= rig.target.abandoned[-1] <= (sequence + 1, 100)
    assert rig.target.points[rig.target.sequence] == {
        name: bytes(disk) for name, disk in rig.hypervisor.disks.items()
    }


async def test_a_target_without_any_point_gets_an_initial_pass(rig: SourceRig) -> None:
    rig.target.sequence, rig.target.digest = 0, bytes(32)
    rig.target.points.clear()
    rig.target.trailers.clear()
    order(rig)
    await rig.run_until(lambda: rig.target.sequence >= 1 and rig.state.head.sequence >= 1)
    rig.assert_points_equal_views()
    assert rig.target.bases[-1].header.attempt > rig.target.bases[0].header.attempt


@pytest.mark.parametrize("is_restart", [False, True], ids=["reconnect", "restart"])
async def test_it_goes_on_after_a_break_at_every_message(
    rig: SourceRig, *, is_restart: bool
) -> None:
    for cut_after in range(0, 40, 3):
        order(rig)
        before = rig.target.sequence
        rig.hypervisor.write("disk-a", cut_after * 4096, bytes([cut_after + 1]) * 4096)
        rig.faults = [Faults(cut_after=cut_after)]
        if is_restart:
            shown = len(rig.codes())
            await rig.run_until(
                lambda shown=shown: len(rig.codes()) > shown or rig.state.resyncing is None  # type: ignore[misc]
            )
        await rig.run_until(lambda: rig.state.resyncing is None and not rig.state.unsettled_view_id)
        rig.assert_points_equal_views()
        assert rig.target.sequence > before
        assert rig.state.resync is None


async def test_what_was_compared_is_not_compared_again(rig: SourceRig) -> None:
    order(rig)
    rig.faults = [Faults(cut_after=9)]
    await rig.run_until(lambda: bool(rig.codes()))
    asked = len(rig.target.compared)
    assert asked >= 2
    resyncing = rig.state.resyncing
    assert resyncing is not None
    left = resyncing.coverage
    assert left.is_doubtful
    assert left.doubtful[0].total() < 9 * MIB
    rig.target.compared.clear()
    await rig.run_until_settled(rig.state.head.sequence + 1)
    again = {
        (each.disk, each.offset)
        for question in rig.target.compared[:-1]
        for each in question.ranges
    }
    assert (0, 0) not in again
    rig.assert_points_equal_views()


async def test_a_view_that_must_go_is_replaced_and_what_changed_added(rig: SourceRig) -> None:
    order(rig)
    rig.limits = ViewLimits(timedelta(seconds=5), 1 << 40)
    rig.target.on_question = lambda _question: rig.clock.advance(11)
    numbers = iter(range(100))

    def write() -> None:
        rig.hypervisor.write("disk-a", next(numbers) * 65536, b"guest" * 100)
        if len(rig.hypervisor.history) > 12:
            rig.limits = ViewLimits()
            rig.target.on_question = lambda _question: None

    rig.hypervisor.before_freeze = write
    before = len(rig.hypervisor.history)
    await rig.run_until(lambda: rig.state.resyncing is None and not rig.state.unsettled_view_id)
    rig.assert_points_equal_views()
    assert len(rig.hypervisor.history) - before > 2


async def test_lost_tracking_during_it_compares_everything_again(rig: SourceRig) -> None:
    order(rig)
    rig.faults = [Faults(cut_after=9)]
    await rig.run_until(lambda: bool(rig.codes()))
    rig.hypervisor.lose_views()
    rig.hypervisor.write("disk-a", 0, b"written while nobody tracked")
    lost = TrackingLostError("tracking-lost", "The log was reset.", "Resynchronise.")
    rig.hypervisor.failures["changed_ranges"] = [lost]
    await rig.run_until_settled(rig.state.head.sequence + 1)
    rig.assert_points_equal_views()


async def test_a_lost_acknowledgement_of_its_segment_is_recognised(rig: SourceRig) -> None:
    order(rig)
    before = rig.target.sequence
    rig.faults = [swallow_first("sealed")]
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == before + 1)
    await rig.run_until_settled(before + 2)
    assert rig.state.resyncing is None
    rig.assert_points_equal_views()


async def test_a_target_whose_head_moves_meanwhile_is_compared_anew(rig: SourceRig) -> None:
    order(rig)
    rig.faults = [Faults(cut_after=9)]
    await rig.run_until(lambda: bool(rig.codes()))
    rig.target.points[9] = rig.target.points[1]
    rig.target.sequence, rig.target.digest = 9, b"9" * 32
    await rig.run_until(lambda: rig.state.resyncing is None and not rig.state.unsettled_view_id)
    assert rig.target.points[rig.target.sequence]["disk-a"] == rig.hypervisor.disks["disk-a"]


async def test_other_disks_end_it_with_their_names(rig: SourceRig) -> None:
    order(rig)
    rig.hypervisor.resize("disk-b", 2 * MIB)
    assert await rig.run_until_resync() == "disks-changed"
    failure = rig.state.resync
    assert failure is not None
    assert "disk-b.vhdx" in failure.cause
    assert "enable it again" in failure.remedy
    await rig.run_until(lambda: not rig.hypervisor._views)


async def test_one_ordered_while_cycles_run_waits_for_the_cycle(rig: SourceRig) -> None:
    order(rig)
    await rig.run_until_settled(rig.state.head.sequence + 1)
    before = rig.target.sequence
    async with rig.running() as replicator:
        await rig.until(lambda: rig.target.sequence > before)
        await replicator.record.update(SourceState.resynchronizing)
        await rig.until(lambda: rig.state.resyncing is None and rig.target.sequence > before + 1)
    rig.assert_points_equal_views()
    assert rig.codes() == []


async def test_a_pause_keeps_what_was_compared(rig: SourceRig) -> None:
    order(rig)
    async with rig.running() as replicator:
        await rig.until(lambda: len(rig.target.compared) >= 2)
        paused = replace(rig.assignment, is_paused=True)
        await replicator.record.update(lambda state: state.ordered(paused))
        await rig.until(lambda: rig.statuses[-1].state is ReplicationState.PAUSED)
        await rig.until(lambda: rig.state.mark_id != "" and rig.state.leg is None)
        assert await rig.hypervisor.views(PROTECTION) == ()
        await replicator.record.update(lambda state: state.ordered(rig.assignment))
        await rig.until(lambda: rig.state.resyncing is None)
    rig.assert_points_equal_views()


async def test_a_refusal_is_shown_and_it_goes_on(rig: SourceRig) -> None:
    order(rig)
    rig.target.refuse("digests", "unknown-point")
    rig.target.answers["begin"] = []
    await rig.run_until_settled(rig.state.head.sequence + 1)
    assert "unknown-point" in rig.codes()
    assert isinstance(rig.target.compared[-1], wire.DigestRequest)
