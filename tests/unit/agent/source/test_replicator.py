import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from agent.hypervisor.interface import HypervisorError, Mark, TrackingLostError
from agent.source.grants import HeldGrant
from agent.source.replicator import (
    MAX_ADOPTED_VIEW_SECONDS,
    MAX_BACKOFF_SECONDS,
    MIN_BACKOFF_SECONDS,
    ProtectionReplicator,
)
from agent.source.state import Assignment, SourceState, StateFolder
from agent.source.status import ReplicationState, ReplicationStatus
from replikera.blocks.extents import Extents
from replikera.ports.streams import StreamClosedError
from replikera.system.files import SystemFiles
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.fake_hypervisor import MACHINE_ID, FakeHypervisor, describe
from tests.support.fake_target import FakeTarget
from tests.support.memory_stream import Direction, Faults, MemoryDialler
from tests.support.source_hosts import source_host
from tests.support.virtual_clock import VirtualClock

PROTECTION = "11111111-1111-4111-8111-111111111111"
GENERATION = "22222222-2222-4222-8222-222222222222"
SIZE = 3 << 20
ASSIGNMENT = Assignment(
    PROTECTION, 1, GENERATION, MACHINE_ID, "target-host", "b:1", timedelta(seconds=30)
)


@dataclass(repr=False)  # a failing test would print megabytes of disks
class Rig:
    """One source with a hypervisor and a target in memory. Time moves by sleeping only."""

    folder: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    target: FakeTarget = field(default_factory=FakeTarget)
    faults: list[Faults] = field(default_factory=list)
    statuses: list[ReplicationStatus] = field(default_factory=list)
    dialler: MemoryDialler | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    running_task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.hypervisor = FakeHypervisor(self.clock, describe({"disk-a": SIZE, "disk-b": 1 << 20}))
        self.target.on_change = self.changed.set
        self.states = StateFolder(SystemFiles(), self.folder)
        self.states.prepare()
        if self.states.load(PROTECTION) is None:
            self.states.save(SourceState(ASSIGNMENT))

    @property
    def state(self) -> SourceState:
        state = self.states.load(PROTECTION)
        assert state is not None
        return state

    def observe(self, status: ReplicationStatus) -> None:
        self.statuses.append(status)
        self.changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ProtectionReplicator]:
        async with asyncio.TaskGroup() as group:
            self.dialler = MemoryDialler(group, self.target.serve, faults=self.faults)
            self.faults = []
            host = source_host(self.folder, self.hypervisor, self.dialler, self.clock, self.observe)
            replicator = ProtectionReplicator(host, self.state, HeldGrant())
            self.running_task = group.create_task(replicator.run())
            try:
                yield replicator
            finally:
                self.running_task.cancel()

    async def until(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_reached():
                self.changed.clear()
                await self.changed.wait()

    async def run_until(self, is_reached: Callable[[], bool]) -> None:
        async with self.running():
            await self.until(is_reached)

    async def run_until_sequence(self, sequence: int) -> None:
        await self.run_until(lambda: self.state.head.sequence >= sequence)

    async def run_until_resync(self) -> str:
        """Return why, once the replicator has stopped by itself."""
        async with self.running(), asyncio.timeout(10):
            assert self.running_task is not None
            await asyncio.wait([self.running_task])
        resync = self.state.resync
        assert resync is not None
        return resync.code

    def assert_points_equal_views(self) -> None:
        for sequence, disks in self.target.points.items():
            taken_at = self.target.trailers[sequence - 1].capture_ended_at
            assert disks == self.hypervisor.history[taken_at], f"point {sequence}"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "protections")
    content = Random(1).randbytes(SIZE)
    rig.hypervisor.write("disk-a", 0, content[: 1 << 20])
    rig.hypervisor.write("disk-a", 2 << 20, content[:700_000])
    rig.hypervisor.write("disk-b", 65536, b"b" * 4096)
    return rig


def swallow_first(kind: str) -> Faults:
    """Return faults that swallow the target's first message of a kind and everything after it."""
    seen: list[str] = []

    def tamper(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_SOURCE:
            seen.append(wire.ReplicateResponse.FromString(message).WhichOneof("message") or "")
        return [] if kind in seen else [message]

    return Faults(tamper=tamper)


async def test_the_initial_segment_carries_what_holds_data_and_leads_to_a_point(rig: Rig) -> None:
    await rig.run_until_sequence(1)

    rig.assert_points_equal_views()
    segment = rig.target.segments[0]
    assert segment.header.sequence == 1
    assert segment.zero_records == 0
    assert max(segment.payload_lengths) == 1 << 20
    assert segment.payload_bytes < 2 << 20
    assert rig.target.trailers[0].machine == rig.hypervisor.description.to_json()


async def test_cycles_carry_changes_and_say_the_machine_only_when_it_changed(rig: Rig) -> None:
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
    assert rig.target.segments[1].payload_bytes == 4096


async def test_zeros_that_overwrite_data_reach_the_target_as_records(rig: Rig) -> None:
    await rig.run_until_sequence(1)
    rig.hypervisor.write("disk-a", 0, bytes(1 << 20))
    await rig.run_until_sequence(2)

    rig.assert_points_equal_views()
    assert rig.target.segments[1].zero_records == 1
    assert rig.target.segments[1].payload_bytes == 0


async def test_a_cycle_without_changes_makes_a_point_too(rig: Rig) -> None:
    await rig.run_until_sequence(2)

    assert rig.target.segments[1].records == 0
    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    assert started[1] > started[0]
    assert rig.statuses[-1].acknowledged_capture_started_at == started[-1]


async def test_captures_start_one_copy_interval_apart(rig: Rig) -> None:
    rig.hypervisor.before_freeze = lambda: rig.clock.advance(4.0)
    await rig.run_until_sequence(4)

    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    gaps = {(after - before).total_seconds() for before, after in pairwise(started)}
    assert gaps == {30.0}


async def test_the_driver_s_minimum_interval_is_respected(rig: Rig) -> None:
    rig.hypervisor.minimum_copy_interval_s = 45.0
    await rig.run_until_sequence(2)

    started = [trailer.capture_started_at for trailer in rig.target.trailers]
    assert (started[1] - started[0]).total_seconds() == 45.0


async def test_the_digest_is_durable_before_the_trailer_leaves(rig: Rig) -> None:
    rig.faults = [swallow_first("sealed")]
    pending: list[bytes | None] = []
    seal = rig.target._seal

    def note(end: wire.SegmentEnd) -> wire.ReplicateResponse:
        opened = rig.state.open
        pending.append(opened.digest if opened else None)
        return seal(end)

    rig.target._seal = note  # type: ignore[method-assign]  # looks at the file at the moment of the end
    async with rig.running():
        await rig.until(lambda: bool(pending))
    assert pending == [rig.target.digest]


async def test_a_lost_acknowledgement_is_recognised_and_the_view_becomes_the_mark(rig: Rig) -> None:
    rig.faults = [swallow_first("sealed")]
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 1)
    assert rig.state.head.sequence == 0

    rig.hypervisor.write("disk-b", 0, b"after")
    await rig.run_until_sequence(2)

    assert rig.target.abandoned == []
    assert rig.target.segments[1].payload_bytes == 4096
    rig.assert_points_equal_views()


async def test_a_lost_acknowledgement_without_its_view_sends_a_superset(rig: Rig) -> None:
    await rig.run_until_sequence(1)
    rig.faults = [swallow_first("sealed")]
    rig.hypervisor.write("disk-b", 0, b"second")
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 2)
    rig.hypervisor.lose_views()
    rig.hypervisor.write("disk-b", 131072, b"third")
    await rig.run_until_sequence(3)

    assert rig.target.segments[-1].payload_bytes == 2 * 4096
    rig.assert_points_equal_views()


async def test_an_initial_acknowledgement_lost_together_with_its_view_requires_a_resync(
    rig: Rig,
) -> None:
    rig.faults = [swallow_first("sealed")]
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 1)
    rig.hypervisor.lose_views()

    assert await rig.run_until_resync() == "mark-missing"


async def test_an_attempt_that_never_became_a_point_is_abandoned_and_made_anew(rig: Rig) -> None:
    rig.faults = [Faults(cut_after=4)]
    await rig.run_until_sequence(1)

    assert rig.target.abandoned == [(1, 1)]
    assert [segment.header.attempt for segment in rig.target.segments[:2]] == [1, 3]
    # Until the point was kept: the next cycle may have begun meanwhile.
    calls = rig.hypervisor.calls
    assert calls[: calls.index("keep")].count("freeze") == 2
    rig.assert_points_equal_views()


async def test_attempts_are_above_the_target_s_floor(rig: Rig) -> None:
    rig.target.attempt_floor = 7
    await rig.run_until_sequence(1)

    assert rig.target.segments[0].header.attempt == 8


async def test_no_view_is_left_after_a_broken_conversation(rig: Rig) -> None:
    rig.faults = [Faults(cut_after=3), Faults(cut_after=4)]
    async with rig.running():
        await rig.until(lambda: rig.state.head.sequence >= 2)
        await rig.until(lambda: rig.statuses[-1].done_bytes == rig.statuses[-1].total_bytes)
    tag = PROTECTION
    assert len(await rig.hypervisor.views(tag)) <= 1


async def test_a_view_the_target_may_have_acknowledged_is_not_kept_for_ever(rig: Rig) -> None:
    rig.faults = [swallow_first("sealed")]
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 1)
    assert len(await rig.hypervisor.views(PROTECTION)) == 1
    rig.clock.advance(MAX_ADOPTED_VIEW_SECONDS + 1)

    assert await rig.run_until_resync() == "mark-missing"
    assert await rig.hypervisor.views(PROTECTION) == ()


@pytest.mark.parametrize("sequence", [1, 3])
async def test_a_target_with_another_history_requires_a_resync(rig: Rig, sequence: int) -> None:
    await rig.run_until_sequence(2)
    rig.target.sequence = sequence
    rig.target.digest = b"x" * 32

    assert await rig.run_until_resync() == "diverged"
    assert rig.statuses[-1].state is ReplicationState.RESYNC_REQUIRED
    assert rig.statuses[-1].failure == rig.state.resync


async def test_nothing_is_sent_any_more_once_a_resync_is_required(rig: Rig) -> None:
    await rig.run_until_sequence(1)
    rig.target.digest = b"x" * 32
    await rig.run_until_resync()
    segments = len(rig.target.segments)

    async with rig.running() as replicator:
        await replicator.run()
        assert replicator.status.state is ReplicationState.RESYNC_REQUIRED
    assert rig.dialler is not None
    assert rig.dialler.links == []
    assert len(rig.target.segments) == segments
    assert await rig.hypervisor.views(PROTECTION) == ()


async def test_lost_tracking_requires_a_resync(rig: Rig) -> None:
    await rig.run_until_sequence(1)
    lost = TrackingLostError("tracking-lost", "The log was reset.", "Resynchronise.")
    rig.hypervisor.failures["changed_ranges"] = [lost]

    assert await rig.run_until_resync() == "tracking-lost"
    assert await rig.hypervisor.views(PROTECTION) == ()


async def test_a_vanished_mark_requires_a_resync(rig: Rig) -> None:
    await rig.run_until_sequence(1)
    rig.hypervisor.lose_marks()
    rig.hypervisor.lose_views()

    assert await rig.run_until_resync() == "mark-missing"


async def test_a_mark_of_somebody_else_requires_a_resync(rig: Rig) -> None:
    await rig.run_until_sequence(3)
    rig.hypervisor.lose_views()
    rig.states.save(replace(rig.state, unsettled_view_id="", open=None))
    rig.hypervisor.replace_mark(PROTECTION, Mark("other", MACHINE_ID, PROTECTION))

    assert await rig.run_until_resync() == "mark-foreign"


async def test_a_changed_disk_size_requires_a_resync(rig: Rig) -> None:
    await rig.run_until_sequence(1)
    rig.hypervisor.resize("disk-b", 2 << 20)

    assert await rig.run_until_resync() == "disks-changed"
    assert "disk-b.vhdx" in str(rig.state.resync)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"disk-a": Extents.empty()}, "changes-incomplete"),
        (
            {"disk-a": Extents.empty(), "disk-b": Extents.of([(1 << 20, 4096)])},
            "changes-out-of-bounds",
        ),
    ],
)
async def test_doubtful_changes_require_a_resync(
    rig: Rig, report: dict[str, Extents], code: str
) -> None:
    await rig.run_until_sequence(1)
    rig.hypervisor.changed_filter = lambda _found: report

    assert await rig.run_until_resync() == code


async def test_a_target_that_diverged_in_its_own_words_requires_a_resync(rig: Rig) -> None:
    rig.target.refuse("open", "foreign-generation", is_diverged=True)

    assert await rig.run_until_resync() == "foreign-generation"


async def test_a_target_that_seals_something_else_requires_a_resync(rig: Rig) -> None:
    sealed = wire.Sealed(generation=GENERATION, sequence=1, chain_digest=b"y" * 32)
    rig.target.answers["end"] = [wire.ReplicateResponse(sealed=sealed)]

    assert await rig.run_until_resync() == "diverged"


async def test_a_refusal_is_shown_in_the_target_s_words_and_tried_again(rig: Rig) -> None:
    rig.target.refuse("batch", "disk-full")
    await rig.run_until_sequence(1)

    shown = [status.failure for status in rig.statuses if status.failure is not None]
    assert [(failure.code, failure.cause) for failure in shown] == [
        ("disk-full", "Because disk-full.")
    ]
    waiting = next(status for status in rig.statuses if status.failure is not None)
    assert waiting.state is ReplicationState.WAITING
    assert rig.statuses[-1].failure is None


async def test_a_failing_hypervisor_is_shown_and_tried_again(rig: Rig) -> None:
    rig.hypervisor.failures["freeze"] = [HypervisorError("busy", "The machine moves.", "Wait.")]
    await rig.run_until_sequence(1)

    codes = {status.failure.code for status in rig.statuses if status.failure}
    assert codes == {"busy"}


async def test_an_unexpected_error_is_shown_and_does_not_end_the_protection(rig: Rig) -> None:
    rig.hypervisor.failures["open_disk"] = [ZeroDivisionError("one over zero")]
    await rig.run_until_sequence(1)

    failure = next(status.failure for status in rig.statuses if status.failure)
    assert failure.code == "internal-error"
    assert "one over zero" in failure.cause


async def test_a_state_that_cannot_be_written_stops_the_segment_before_it_is_acknowledged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = StateFolder.save
    failures = [OSError(28, "No space left on device")]

    def fail_once(folder: StateFolder, state: SourceState) -> None:
        if state.open is not None and state.open.digest is not None and failures:
            raise failures.pop()
        save(folder, state)

    monkeypatch.setattr(StateFolder, "save", fail_once)
    await rig.run_until_sequence(1)

    assert len(rig.target.trailers) == 1
    assert rig.target.abandoned == [(1, 1)]
    codes = [status.failure.code for status in rig.statuses if status.failure]
    assert codes[0] == "state-not-durable"


async def test_waiting_grows_with_failures_within_its_bounds(rig: Rig) -> None:
    async with rig.running() as replicator:
        assert rig.dialler is not None
        rig.dialler.unreachable = 40
        await rig.until(lambda: rig.state.head.sequence >= 1)
        assert replicator.status.acknowledged_sequence >= 1
    waits = rig.clock.slept[:40]
    assert waits[0] == MIN_BACKOFF_SECONDS
    assert all(MIN_BACKOFF_SECONDS <= wait <= MAX_BACKOFF_SECONDS for wait in waits)
    assert max(waits) > MAX_BACKOFF_SECONDS / 2
    failure = next(status.failure for status in rig.statuses if status.failure)
    assert failure.code == "target-unreachable"
    assert "target-host" in failure.cause


async def test_all_disks_of_a_view_are_closed_before_it_is_kept(rig: Rig) -> None:
    keep = rig.hypervisor.keep
    open_disks: list[int] = []

    async def note(view: object) -> Mark:
        open_disks.append(sum(not disk.is_closed for disk in rig.hypervisor.opened))
        return await keep(view)  # type: ignore[arg-type]  # passed on as it came

    rig.hypervisor.keep = note  # type: ignore[method-assign]  # observes one call
    await rig.run_until_sequence(2)
    assert set(open_disks) == {0}


async def test_progress_is_reported_while_a_segment_is_sent(rig: Rig) -> None:
    await rig.run_until_sequence(1)

    initial = [status for status in rig.statuses if status.state is ReplicationState.INITIAL]
    done = [status.done_bytes for status in initial]
    assert done == sorted(done)
    assert initial[-1].done_bytes == initial[-1].total_bytes > 1 << 20


class BreakingStream:
    """A stream that breaks in the moment its reader is cancelled."""

    peer = "target-host"

    def __init__(self) -> None:
        self.read = asyncio.Event()

    async def dial(self, host_id: str, address: str) -> "BreakingStream":
        return self

    async def send(self, message: bytes) -> None:
        return

    async def receive(self) -> bytes:
        self.read.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise StreamClosedError("broken in the same moment") from None
        raise AssertionError("nothing comes")

    async def close(self) -> None:
        return


async def test_a_stream_that_breaks_while_the_agent_stops_does_not_keep_it(rig: Rig) -> None:
    stream = BreakingStream()
    host = source_host(rig.folder, rig.hypervisor, stream, rig.clock, rig.observe)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(ProtectionReplicator(host, rig.state, HeldGrant()).run())
        await stream.read.wait()
        task.cancel()
    assert task.cancelled()
    assert rig.statuses == []
