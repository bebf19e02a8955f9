import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.hypervisor.interface import Consistency, Mark, TrackingLostError
from agent.source.assignment import Compression, ThrottleWindow
from agent.source.host import ViewLimits
from agent.source.replicator import ProtectionReplicator
from agent.source.status import ReplicationState
from replikera.blocks.extents import Extents
from replikera.blocks.segment import Codec, PointKind
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import Faults
from tests.support.source_rig import GENERATION, PROTECTION, SIZES, SourceRig, swallow_first

MIB = 1 << 20
SIZE = SIZES["disk-a"]


@pytest.fixture
def rig(tmp_path: Path) -> SourceRig:
    rig = SourceRig(tmp_path / "protections")
    content = Random(1).randbytes(SIZE)
    rig.hypervisor.write("disk-a", 0, content[:MIB])
    rig.hypervisor.write("disk-a", 2 * MIB, content[:700_000])
    rig.hypervisor.write("disk-b", 65536, b"b" * 4096)
    return rig


async def ordered(replicator: ProtectionReplicator, **changes: Any) -> None:
    await replicator.record.update(
        lambda state: state.ordered(replace(state.assignment, **changes))
    )


async def test_cycles_carry_changes_and_say_the_machine_only_when_it_changed(
    rig: SourceRig,
) -> None:
    def write() -> None:
        number = len(rig.hypervisor.history)
        rig.hypervisor.write("disk-a", number * 8192, bytes([number + 1]) * 4096)
        if number == 3:
            rig.hypervisor.description = replace(rig.hypervisor.description, processors=8)

    rig.hypervisor.before_freeze = write
    await rig.run_until_sequence(5)

    rig.assert_points_equal_views()
    machines = [trailer.machine for trailer in rig.target.trailers[:5]]
    assert [machine is not None for machine in machines] == [True, False, False, True, False]
    assert rig.target.segments[0].payload_bytes == 4096


async def test_zeros_that_overwrite_data_reach_the_target_as_records(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-a", 0, bytes(MIB))
    await rig.run_until_sequence(2)

    rig.assert_points_equal_views()
    assert rig.target.segments[0].zero_records == 1
    assert rig.target.segments[0].payload_bytes == 0


async def test_a_cycle_without_changes_makes_a_point_too(rig: SourceRig) -> None:
    await rig.run_until_sequence(2)

    assert rig.target.segments[0].records == 0
    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    assert started[1] > started[0]
    assert rig.statuses[-1].acknowledged_capture_started_at == started[-1]


async def test_captures_start_one_copy_interval_apart(rig: SourceRig) -> None:
    rig.hypervisor.before_freeze = lambda: rig.clock.advance(4.0)
    await rig.run_until_sequence(4)

    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    gaps = {round((after - before).total_seconds(), 3) for before, after in pairwise(started)}
    assert gaps == {30.0}


async def test_the_driver_s_minimum_interval_is_respected(rig: SourceRig) -> None:
    rig.hypervisor.minimum_copy_interval_s = 45.0
    await rig.run_until_sequence(2)

    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    assert round((started[1] - started[0]).total_seconds(), 3) == 45.0


async def test_the_digest_is_durable_before_the_trailer_leaves(rig: SourceRig) -> None:
    pending: list[tuple[bytes | None, bytes]] = []

    def note(question: str) -> None:
        if question == "end":
            opened = rig.state.open
            pending.append((opened.digest if opened else None, b""))

    rig.target.on_question = note
    await rig.run_until_sequence(2)
    assert [digest for digest, _ in pending] == [rig.target.digest]


async def test_a_lost_acknowledgement_is_recognised_and_the_view_becomes_the_mark(
    rig: SourceRig,
) -> None:
    await rig.run_until_settled(1)
    rig.faults = [swallow_first("sealed")]
    rig.hypervisor.write("disk-b", 8192, b"second")
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 2)
    assert rig.state.head.sequence == 1

    rig.hypervisor.write("disk-b", 0, b"after")
    await rig.run_until_settled(3)
    assert rig.target.abandoned == []
    assert rig.target.segments[-1].payload_bytes == 4096
    rig.assert_points_equal_views()


async def test_a_lost_acknowledgement_without_its_view_sends_a_superset(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.faults = [swallow_first("sealed")]
    rig.hypervisor.write("disk-b", 0, b"second")
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 2)
    rig.hypervisor.lose_views()
    rig.hypervisor.write("disk-b", 131072, b"third")
    await rig.run_until_sequence(3)

    assert rig.target.segments[-1].payload_bytes == 2 * 4096
    rig.assert_points_equal_views()


async def test_an_attempt_that_never_became_a_point_is_abandoned_and_made_anew(
    rig: SourceRig,
) -> None:
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-a", 0, b"x" * 4096)
    rig.faults = [Faults(cut_after=4)]
    await rig.run_until_sequence(2)

    assert rig.target.abandoned == [(2, 2)]
    assert [segment.header.attempt for segment in rig.target.segments] == [2, 4]
    rig.assert_points_equal_views()


async def test_attempts_are_above_the_target_s_floor(rig: SourceRig) -> None:
    rig.target.attempt_floor = 7
    await rig.run_until_settled(1)
    assert rig.target.bases[0].header.attempt == 8


async def test_an_open_segment_goes_on_in_the_same_process(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB // 4)
    monkeypatch.setattr("agent.source.batching.MAX_RECORD_BYTES", MIB // 4)
    await rig.run_until_settled(1)
    rig.target.keeps_open = True
    for name in ("disk-a", "disk-b"):
        rig.hypervisor.write(name, 0, Random(5).randbytes(SIZES[name]))
    views = len(rig.hypervisor.history)
    rig.faults = [Faults(cut_after=count) for count in (12, 17, 25)]
    await rig.run_until_settled(2)

    rig.assert_points_equal_views()
    assert len(rig.hypervisor.history) == views + 1
    assert rig.target.abandoned == []
    sealed = rig.target.segments[-1]
    assert len(sealed.resumed) == 3
    assert sealed.resumed == sorted(sealed.resumed)


async def test_an_open_segment_does_not_outlive_the_agent(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB)
    await rig.run_until_settled(1)
    rig.target.keeps_open = True
    rig.hypervisor.write("disk-a", 0, Random(5).randbytes(SIZE))
    rig.faults = [Faults(cut_after=10)]
    await rig.run_until(lambda: bool(rig.codes()))
    await rig.run_until_settled(2)
    rig.assert_points_equal_views()
    assert rig.target.abandoned == [(2, 2)]
    assert rig.target.segments[-1].resumed == []


async def test_a_target_that_lost_the_open_segment_gets_another(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB)
    await rig.run_until_settled(1)
    rig.target.keeps_open = True
    rig.hypervisor.write("disk-a", 0, Random(5).randbytes(SIZE))
    rig.faults = [Faults(cut_after=10)]

    def forget() -> bool:
        if rig.codes():
            rig.target.keeps_open = False
        return rig.state.head.sequence >= 2

    await rig.run_until(forget)
    rig.assert_points_equal_views()
    assert len(rig.target.abandoned) == 1


async def test_no_view_is_left_after_a_broken_conversation(rig: SourceRig) -> None:
    rig.faults = [Faults(cut_after=count) for count in (3, 4, 9, 14)]
    async with rig.running():
        await rig.until(lambda: rig.state.head.sequence >= 3)
        assert len(await rig.hypervisor.views(PROTECTION)) <= 1


async def test_a_view_the_target_may_have_acknowledged_is_not_kept_for_ever(
    rig: SourceRig,
) -> None:
    await rig.run_until_settled(1)
    rig.faults = [swallow_first("sealed")]
    rig.hypervisor.write("disk-b", 0, b"second")
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 2)
    (awaited,) = await rig.hypervisor.views(PROTECTION)
    rig.clock.advance(3601)
    rig.hypervisor.calls.clear()
    await rig.run_until_settled(3)
    assert rig.hypervisor.calls.index("discard") < rig.hypervisor.calls.index("freeze")
    assert rig.state.mark_id != awaited.view_id
    rig.assert_points_equal_views()


@pytest.mark.parametrize("sequence", [1, 4])
async def test_a_target_with_another_history_requires_a_resync(
    rig: SourceRig, sequence: int
) -> None:
    await rig.run_until_settled(2)
    rig.target.sequence = sequence
    rig.target.digest = b"x" * 32

    assert await rig.run_until_resync() == "diverged"
    assert rig.statuses[-1].failure == rig.state.resync


async def test_lost_tracking_requires_a_resync(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    lost = TrackingLostError("tracking-lost", "The log was reset.", "Resynchronise.")
    rig.hypervisor.failures["changed_ranges"] = [lost]

    assert await rig.run_until_resync() == "tracking-lost"
    await rig.run_until(lambda: not rig.hypervisor._views)


async def test_a_mark_of_somebody_else_requires_a_resync(rig: SourceRig) -> None:
    await rig.run_until_settled(3)
    rig.hypervisor.lose_views()
    rig.change(lambda state: replace(state, unsettled_view_id="", open=None))
    rig.hypervisor.replace_mark(PROTECTION, Mark("other", "machine-1", PROTECTION))

    assert await rig.run_until_resync() == "mark-foreign"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"disk-a": SIZE, "disk-b": 2 * MIB}, "disk-b.vhdx has 2097152"),
        ({"disk-a": SIZE, "disk-b": MIB, "disk-c": MIB}, "disk-c.vhdx is new"),
        ({"disk-a": SIZE}, "disk-b.vhdx is gone"),
    ],
)
async def test_other_disks_require_a_resync_and_older_points_stay(
    rig: SourceRig, change: dict[str, int], named: str
) -> None:
    await rig.run_until_settled(2)
    probe = SourceRig(rig.folder.with_name("probe"), sizes=change)
    rig.hypervisor.description = probe.hypervisor.description
    for name, size in change.items():
        disk = rig.hypervisor.disks.get(name, bytearray())
        rig.hypervisor.disks[name] = bytearray(bytes(disk).ljust(size, b"\0")[:size])

    assert await rig.run_until_resync() == "disks-changed"
    assert named in str(rig.state.resync)
    assert {1, 2} <= set(rig.target.points)


async def test_excluding_a_disk_later_requires_a_resync_and_including_it_again_not(
    rig: SourceRig,
) -> None:
    async with rig.running() as replicator:
        await rig.until(lambda: rig.state.head.sequence >= 1)
        await ordered(replicator, excluded_disk_ids=("disk-b",))
        await rig.until(lambda: rig.statuses[-1].state is ReplicationState.RESYNC_REQUIRED)
    assert rig.state.resync is not None
    assert rig.state.resync.code == "disks-changed"
    rig.change(lambda state: state.ordered(rig.assignment).resynchronizing())
    await rig.run_until_settled(rig.target.sequence + 1)
    rig.assert_points_equal_views()


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"disk-a": Extents.empty()}, "changes-incomplete"),
        (
            {"disk-a": Extents.empty(), "disk-b": Extents.of([(MIB, 4096)])},
            "changes-out-of-bounds",
        ),
    ],
)
async def test_doubtful_changes_require_a_resync(
    rig: SourceRig, report: dict[str, Extents], code: str
) -> None:
    await rig.run_until_settled(1)
    rig.hypervisor.changed_filter = lambda _found: report

    assert await rig.run_until_resync() == code


async def test_a_target_that_seals_something_else_requires_a_resync(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    sealed = wire.Sealed(generation=GENERATION, sequence=2, chain_digest=b"y" * 32)
    rig.target.answers["end"] = [wire.ReplicateResponse(sealed=sealed)]

    assert await rig.run_until_resync() == "diverged"


async def test_a_sample_that_differs_requires_a_resync(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-b", 0, b"x" * 4096)

    def spoil(question: str) -> None:
        if question == "digests":
            disks = rig.target.points[rig.target.sequence]
            disks["disk-b"] = b"?" + disks["disk-b"][1:]

    rig.target.on_question = spoil
    assert await rig.run_until_resync() == "verify-failed"
    assert "disk-b.vhdx, offset 0" in str(rig.state.resync)
    assert rig.state.head.sequence == 2


async def test_a_new_frequency_counts_from_now_on(rig: SourceRig) -> None:
    async with rig.running() as replicator:
        await rig.until(lambda: rig.state.head.sequence >= 2)
        await ordered(replicator, copy_frequency=timedelta(minutes=5))
        reached = rig.target.sequence
        await rig.until(lambda: rig.state.head.sequence >= reached + 3)
    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    gaps = [round((after - before).total_seconds()) for before, after in pairwise(started)]
    assert gaps[0] == 30
    assert gaps[-1] == 300


async def test_a_new_address_is_dialled_at_the_next_opportunity(rig: SourceRig) -> None:
    async with rig.running() as replicator:
        await rig.until(lambda: rig.state.head.sequence >= 1)
        assert rig.dialler is not None
        links = len(rig.dialler.links)
        await ordered(replicator, target_address="c:2")
        await rig.until(lambda: rig.dialler is not None and len(rig.dialler.links) > links)
        reached = rig.target.sequence
        await rig.until(lambda: rig.target.sequence > reached)
    assert rig.codes() == []


@pytest.mark.parametrize(
    ("compression", "codec"),
    [
        (Compression.OFF, Codec.NONE),
        (Compression.LZ4, Codec.LZ4),
        (Compression.ZSTD, Codec.ZSTD),
    ],
)
async def test_payload_is_stored_as_ordered_and_equal_all_the_same(
    rig: SourceRig, compression: Compression, codec: Codec
) -> None:
    rig.change(lambda state: state.ordered(replace(rig.assignment, compression=compression)))
    rig.hypervisor.write("disk-a", 0, b"some text " * 100_000)
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-b", 0, b"more text " * 50_000)
    await rig.run_until_settled(2)
    rig.assert_points_equal_views()
    assert codec in rig.target.bases[0].codecs
    assert rig.target.segments[0].codecs == {codec}
    sent = rig.target.segments[0].payload_bytes
    assert (sent < 100_000) is (codec is not Codec.NONE)
    assert rig.target.trailers[1].payload_bytes == sent


async def test_a_throttle_slows_a_cycle_down(rig: SourceRig) -> None:
    window = ThrottleWindow(127, 0, 1440, 100_000)
    rig.change(lambda state: state.ordered(replace(rig.assignment, throttle=(window,))))
    await rig.run_until_settled(1)
    began = rig.clock.monotonic()
    rig.hypervisor.write("disk-a", 0, Random(3).randbytes(2 * MIB))
    await rig.run_until_settled(2)
    rig.assert_points_equal_views()
    assert rig.clock.monotonic() - began >= 1.0


async def test_a_pause_ends_the_conversation_and_a_resumption_needs_no_resync(
    rig: SourceRig,
) -> None:
    await rig.run_until_settled(1)
    window = ThrottleWindow(127, 0, 1440, 0)
    rig.hypervisor.write("disk-a", 0, b"before the pause")
    async with rig.running() as replicator:
        # Nothing may leave: the attempt is stuck in its middle.
        await ordered(replicator, throttle=(window,))
        await rig.until(lambda: rig.state.open is not None)
        await ordered(replicator, is_paused=True)
        await rig.until(lambda: rig.statuses[-1].state is ReplicationState.PAUSED)
        await rig.until(lambda: not rig.hypervisor._views)
        rig.hypervisor.write("disk-b", 0, b"during the pause")
        assert rig.dialler is not None
        links = len(rig.dialler.links)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(rig.dialler.links) == links
        assert rig.statuses[-1].failure is None
        await ordered(replicator, is_paused=False, throttle=())
        await rig.until(lambda: rig.state.head.sequence >= 2)
    rig.assert_points_equal_views()
    assert rig.state.resync is None
    assert rig.target.segments[-1].header.sequence >= 2
    assert rig.codes() == []


async def test_a_view_of_a_cycle_that_must_go_is_a_warning(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-a", 0, b"x" * 4096)
    rig.limits = ViewLimits(timedelta(days=1), 1000)
    rig.hypervisor.growth = lambda view: 1000 if view.view_id == "view-2" else 0
    await rig.run_until_settled(2)
    rig.assert_points_equal_views()
    warnings = [status.warning for status in rig.statuses if status.warning]
    assert {warning.code for warning in warnings} == {"view-limit"}
    assert "view-2" in warnings[0].cause
    assert rig.codes() == []
    assert rig.statuses[-1].warning is None
    assert rig.target.abandoned == [(2, 2)]


async def test_a_held_view_is_given_up_while_the_target_is_away(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.target.keeps_open = True
    rig.hypervisor.write("disk-a", 0, Random(3).randbytes(2 * MIB))
    rig.faults = [Faults(cut_after=6)]

    def leave() -> bool:
        if rig.codes() and rig.dialler is not None and not rig.dialler.unreachable:
            rig.dialler.unreachable = 1 << 20
        return not rig.hypervisor._views and bool(rig.codes())

    async with rig.running():
        await rig.until(leave)
        assert any(status.warning for status in rig.statuses)
        assert rig.dialler is not None
        rig.dialler.unreachable = 0
        await rig.until(lambda: rig.state.head.sequence >= 2)
    rig.assert_points_equal_views()


async def test_a_target_that_was_away_catches_up_without_a_resync(rig: SourceRig) -> None:
    await rig.run_until_settled(2)
    async with rig.running():
        assert rig.dialler is not None
        rig.dialler.unreachable = 50
        for number in range(20):
            rig.hypervisor.write("disk-a", number * 65536, bytes([number]) * 4096)
        reached = rig.target.sequence
        await rig.until(lambda: rig.state.head.sequence >= reached + 2)
    rig.assert_points_equal_views()
    assert rig.state.resync is None
    assert not rig.target.bases[1:]


HOURLY = {"application_consistent_interval": timedelta(hours=1)}


async def test_application_consistent_points_come_on_their_interval(rig: SourceRig) -> None:
    frequent = replace(rig.assignment, copy_frequency=timedelta(minutes=20), **HOURLY)  # type: ignore[arg-type]  # by name
    rig.change(lambda state: state.ordered(frequent))
    await rig.run_until_settled(1)
    await rig.run_until_settled(3)
    # Over a restart too.
    await rig.run_until_settled(9)
    kinds = [trailer.kind for trailer in rig.target.trailers[:9]]
    asked, other = PointKind.APPLICATION_CONSISTENT, PointKind.CRASH_CONSISTENT
    assert kinds == [other, asked, other, other, asked, other, other, asked, other]


async def test_a_view_that_is_not_consistent_is_a_warning_and_no_failure(rig: SourceRig) -> None:
    rig.hypervisor.fallback = "the VSS writer SqlServerWriter failed"
    frequent = replace(rig.assignment, copy_frequency=timedelta(minutes=20), **HOURLY)  # type: ignore[arg-type]  # by name
    rig.change(lambda state: state.ordered(frequent))
    async with rig.running() as replicator:
        await rig.until(lambda: rig.state.head.sequence >= 3)
        warning = replicator.status.warning
        assert warning is not None
        assert warning.code == "not-application-consistent"
        assert "SqlServerWriter" in warning.cause
        rig.hypervisor.fallback = ""
        await rig.until(lambda: rig.state.head.sequence >= 7)
        assert replicator.status.warning is None
    asked = [at for at, each in enumerate(rig.hypervisor.asked) if each is Consistency.APPLICATION]
    assert {after - before for before, after in pairwise(asked)} == {3}
    assert rig.codes() == []


async def test_the_warning_goes_with_the_order(rig: SourceRig) -> None:
    rig.hypervisor.fallback = "no integration services"
    rig.change(lambda state: state.ordered(replace(rig.assignment, **HOURLY)))  # type: ignore[arg-type]  # by name
    async with rig.running() as replicator:
        await rig.until(lambda: rig.state.head.sequence >= 2)
        assert replicator.status.warning is not None
        await ordered(replicator, application_consistent_interval=timedelta())
        reached = rig.state.head.sequence
        await rig.until(lambda: rig.state.head.sequence > reached + 1)
        assert replicator.status.warning is None


async def test_a_clock_set_back_does_not_put_off_consistency_for_ever(rig: SourceRig) -> None:
    rig.change(lambda state: state.ordered(replace(rig.assignment, **HOURLY)))  # type: ignore[arg-type]  # by name
    await rig.run_until_settled(2)
    rig.clock._start -= timedelta(days=365)
    asked = rig.hypervisor.asked.count(Consistency.APPLICATION)
    reached = rig.target.sequence
    await rig.run_until_settled(reached + 1)
    assert rig.hypervisor.asked.count(Consistency.APPLICATION) == asked + 1


async def test_a_verification_runs_beside_the_cycles_until_all_is_compared(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.checks.SLICE_BYTES", MIB)
    monkeypatch.setattr("agent.source.checks.QUESTION_LEAVES", 1)
    monkeypatch.setattr("agent.source.checks.MAX_SLICE_LEAVES", 1)
    await rig.run_until_settled(1)
    rig.target.on_question = lambda _question: rig.clock.advance(31)
    rig.change(lambda state: state.verifying(GENERATION))
    await rig.run_until_settled(3)
    half = rig.state.verification
    assert half is not None
    assert half.is_running
    await rig.run_until(
        lambda: bool(rig.statuses[-1].verification and rig.statuses[-1].verification.is_finished)
    )
    done = rig.statuses[-1].verification
    assert done is not None
    assert (done.checked_bytes, done.total_bytes) == (4 * MIB, 4 * MIB)
    assert (done.verification_id, done.differing_bytes) == (GENERATION, 0)
    assert rig.statuses[-1].compared_at is not None
    rig.assert_points_equal_views()


async def test_a_verification_takes_another_view_when_its_own_is_too_old_and_no_copy_is_due(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.checks.MAX_SLICE_LEAVES", 1)
    rare = replace(rig.assignment, copy_frequency=timedelta(hours=24))
    rig.limits = ViewLimits(max_age=timedelta(seconds=30))
    await rig.run_until_settled(1)
    views: list[str] = []

    began, asked = rig.clock.monotonic(), list[float]()

    def look(_question: str) -> None:
        views.append(str(rig.state.head.sequence))
        asked.append(rig.clock.monotonic() - began)
        rig.clock.advance(40)

    rig.target.on_question = look
    rig.change(lambda state: state.ordered(rare).verifying(GENERATION))
    await rig.run_until(
        lambda: bool(rig.statuses[-1].verification and rig.statuses[-1].verification.is_finished)
    )
    assert len(set(views)) > 1
    assert max(asked) < 3600
    rig.assert_points_equal_views()


async def test_all_disks_of_a_view_are_closed_before_it_is_kept(rig: SourceRig) -> None:
    open_disks: list[int] = []

    def note(name: str) -> None:
        if name == "keep":
            open_disks.append(sum(not disk.is_closed for disk in rig.hypervisor.opened))

    rig.hypervisor.after_call = note
    await rig.run_until_settled(3)
    assert set(open_disks) == {0}
