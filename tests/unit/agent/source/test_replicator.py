import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.source.grants import HeldGrant
from agent.source.replicator import (
    MAX_BACKOFF_SECONDS,
    MIN_BACKOFF_SECONDS,
    ProtectionReplicator,
    damaged_status,
)
from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from agent.source.status import Failure, ReplicationState
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import Direction, Faults
from tests.support.source_hosts import source_host
from tests.support.source_rig import PROTECTION, SIZES, SourceRig

MIB = 1 << 20
HOSTILE = "../../etc/passwd\x00\n\x1b[2J" + "\u202ename" * 40


@pytest.fixture
def rig(tmp_path: Path) -> SourceRig:
    rig = SourceRig(tmp_path / "protections")
    rig.hypervisor.write("disk-a", 0, Random(1).randbytes(MIB))
    rig.hypervisor.write("disk-b", 65536, b"b" * 4096)
    return rig


async def test_nothing_is_sent_once_a_resync_is_required_until_it_is_ordered(
    rig: SourceRig,
) -> None:
    await rig.run_until_settled(1)
    rig.target.digest = b"x" * 32
    await rig.run_until_resync()
    segments, points = len(rig.target.segments), dict(rig.target.points)

    async with rig.running() as replicator:
        await rig.until(lambda: replicator.status.state is ReplicationState.RESYNC_REQUIRED)
        for _ in range(50):
            await asyncio.sleep(0)
        assert rig.dialler is not None
        assert rig.dialler.links == []
        assert len(rig.target.segments) == segments
        assert rig.target.points == points
        assert await rig.hypervisor.views(PROTECTION) == ()
        await replicator.record.update(SourceState.resynchronizing)
        await rig.until(lambda: rig.state.resyncing is None and rig.target.sequence > 1)
    assert rig.statuses[-1].state is ReplicationState.REPLICATING


@pytest.mark.parametrize(
    "call",
    ["views", "freeze", "open_disk", "changed_ranges", "view_growth", "keep", "mark", "discard"],
)
@pytest.mark.parametrize("error", [HypervisorError("busy", "It moves.", "Wait."), OSError(5, "io")])
async def test_a_hypervisor_that_fails_at_any_call_is_shown_and_tried_again(
    rig: SourceRig, call: str, error: Exception
) -> None:
    rig.hypervisor.failures[call] = [error] * 2
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-a", 4096, b"later")
    # A view that is in nobody's way until it has to be ended.
    await rig.hypervisor.freeze("machine-1", PROTECTION)
    rig.hypervisor.failures.setdefault(call, []).append(error)
    await rig.run_until_settled(3)
    rig.assert_points_equal_views()
    assert not rig.hypervisor.failures[call]
    shown = set(rig.codes())
    assert shown == {"busy" if isinstance(error, HypervisorError) else "state-not-durable"}
    assert rig.state.resync is None
    assert rig.statuses[-1].failure is None


@pytest.mark.parametrize("question", [
    "open", "pass_begin", "chunk_begin", "batch", "chunk_end", "pass_end", "digests", "begin", "end",
])  # fmt: skip
async def test_a_target_that_refuses_any_message_is_quoted_and_asked_again(
    rig: SourceRig, question: str
) -> None:
    rig.target.refuse(question, "disk-full")
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-a", 4096, b"later")
    await rig.run_until_settled(2)

    rig.assert_points_equal_views()
    assert rig.codes() == ["disk-full"]
    shown = next(status for status in rig.statuses if status.failure is not None)
    assert shown.failure is not None
    assert shown.failure.cause == "Because disk-full."
    assert shown.state is ReplicationState.WAITING
    assert rig.statuses[-1].failure is None


@pytest.mark.parametrize("question", ["open", "pass_begin", "batch", "pass_end", "begin", "end"])
async def test_a_target_that_diverged_in_its_own_words_requires_a_resync(
    rig: SourceRig, question: str
) -> None:
    rig.target.refuse(question, "foreign-generation", is_diverged=True)
    assert await rig.run_until_resync() == "foreign-generation"


@pytest.mark.parametrize(
    "kind", ["opened", "pass_opened", "receipt", "chunk_durable", "sealed", "digests"]
)
@pytest.mark.parametrize("answer", [b"\xff\xff", b""], ids=["noise", "empty"])
async def test_a_target_that_answers_noise_is_left_and_asked_again(
    rig: SourceRig, kind: str, answer: bytes
) -> None:
    spoiled: list[str] = []

    def spoil(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_SOURCE and not spoiled:
            told = wire.ReplicateResponse.FromString(message).WhichOneof("message")
            spoiled.extend([kind] if told == kind else [])
            return [answer] if spoiled else [message]
        return [message]

    rig.faults = [Faults(tamper=spoil)]
    await rig.run_until_settled(2)
    assert rig.codes()[0] == "protocol-violation"
    rig.assert_points_equal_views()


@pytest.mark.parametrize("kind", ["opened", "pass_opened", "chunk_durable", "sealed", "digests"])
async def test_a_target_that_hangs_at_any_answer_is_left(
    rig: SourceRig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANSWER_SECONDS", "CHUNK_SECONDS", "SEAL_SECONDS"):
        monkeypatch.setattr(f"agent.source.conversation.{name}", 0.05)
    seen: list[str] = []

    def hang(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_SOURCE:
            seen.append(wire.ReplicateResponse.FromString(message).WhichOneof("message") or "")
        return [] if kind in seen and direction is Direction.TO_SOURCE else [message]

    rig.faults = [Faults(tamper=hang)]
    await rig.run_until_settled(2)
    assert "target-unreachable" in rig.codes()
    rig.assert_points_equal_views()


@pytest.mark.parametrize("is_restart", [False, True], ids=["reconnect", "restart"])
@pytest.mark.parametrize("keeps_open", [False, True], ids=["forgets", "keeps"])
async def test_a_conversation_may_break_after_any_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_restart: bool, keeps_open: bool
) -> None:
    for name in (
        "batching.BATCH_BYTES",
        "batching.MAX_RECORD_BYTES",
        "chunks.CHUNK_PAYLOAD_BYTES",
    ):
        monkeypatch.setattr(f"agent.source.{name}", 1 << 15)

    def fresh(name: str) -> SourceRig:
        rig = SourceRig(tmp_path / name, sizes={"disk-a": 1 << 18, "disk-b": 1 << 15})
        rig.target.keeps_open = keeps_open
        random = Random(7)
        rig.hypervisor.write("disk-a", 0, random.randbytes(1 << 17))
        rig.hypervisor.before_freeze = lambda: rig.hypervisor.write(
            "disk-a", random.randrange(0, 1 << 17), random.randbytes(80_000)
        )
        return rig

    clean = fresh("clean")
    await clean.run_until_settled(3)
    assert clean.dialler is not None
    messages = len(clean.dialler.links[0].transcript)
    assert messages > 50
    for cut_after in range(0, messages, 3 if is_restart else 2):
        rig = fresh(str(cut_after))
        rig.faults = [Faults(cut_after=cut_after)]
        if is_restart:
            await rig.run_until(lambda rig=rig: bool(rig.codes()) or rig.state.head.sequence >= 3)  # type: ignore[misc]
        await rig.run_until_settled(3)
        rig.assert_points_equal_views()
        assert rig.state.resync is None, f"cut after {cut_after}"
        views = await rig.hypervisor.views(PROTECTION)
        assert len(views) <= 1, f"cut after {cut_after}"


async def test_an_unexpected_error_is_shown_and_does_not_end_the_protection(
    rig: SourceRig,
) -> None:
    rig.hypervisor.failures["open_disk"] = [ZeroDivisionError("one over zero")]
    await rig.run_until_settled(1)

    failure = next(status.failure for status in rig.statuses if status.failure)
    assert failure.code == "internal-error"
    assert "one over zero" in failure.cause


async def test_a_short_read_is_shown_and_tried_again(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.hypervisor.write("disk-a", 4096, b"later")
    original = rig.hypervisor.open_disk
    short: list[str] = []

    async def shorten(view: object, disk_id: str) -> object:
        disk = await original(view, disk_id)  # type: ignore[arg-type]  # passed on as it came
        if not short:
            short.append(disk_id)
            read = disk.read
            disk.read = lambda length, offset: read(length - 1, offset)  # type: ignore[method-assign]
        return disk

    rig.hypervisor.open_disk = shorten  # type: ignore[assignment,method-assign]  # once
    await rig.run_until_settled(2)
    assert rig.codes() == ["short-read"]
    rig.assert_points_equal_views()


async def test_a_state_that_cannot_be_written_stops_everything_before_it_would_count(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.run_until_settled(1)
    save = StateFolder.save
    failures = [OSError(28, "No space left on device")]

    def fail_once(folder: StateFolder, state: SourceState) -> None:
        if state.open is not None and state.open.digest is not None and failures:
            raise failures.pop()
        save(folder, state)

    monkeypatch.setattr(StateFolder, "save", fail_once)
    await rig.run_until_settled(2)

    assert len(rig.target.trailers) == 2
    assert rig.target.abandoned == [(2, 2)]
    assert rig.codes() == ["state-not-durable"]


async def test_a_required_resync_that_cannot_be_written_is_found_again(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.run_until_settled(1)
    rig.target.digest = b"x" * 32
    save = StateFolder.save
    failures = [OSError(28, "No space left on device")]

    def fail_once(folder: StateFolder, state: SourceState) -> None:
        if state.resync is not None and failures:
            raise failures.pop()
        save(folder, state)

    monkeypatch.setattr(StateFolder, "save", fail_once)
    assert await rig.run_until_resync() == "diverged"
    assert "state-not-durable" in rig.codes()


async def test_a_file_damaged_while_it_runs_is_shown_and_waited_for(
    rig: SourceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.run_until_settled(1)
    path = rig.folder / f"{PROTECTION}.json"
    save = StateFolder.save
    good: list[bytes] = []

    def damage(folder: StateFolder, state: SourceState) -> None:
        save(folder, state)
        if state.open is not None and not good:
            good.append(path.read_bytes())
            path.write_bytes(b"{")
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(StateFolder, "save", damage)
    async with rig.running():
        await rig.until(lambda: "bad-state-file" in rig.codes())
        path.write_bytes(good[0])
        await rig.until(lambda: rig.state.head.sequence >= 2)
    rig.assert_points_equal_views()


async def test_waiting_grows_with_failures_within_its_bounds(rig: SourceRig) -> None:
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


async def test_an_order_does_not_wait_for_the_backoff(rig: SourceRig) -> None:
    async with rig.running() as replicator:
        assert rig.dialler is not None
        rig.dialler.unreachable = 1 << 20
        await rig.until(lambda: bool(rig.codes()))
        paused = replace(rig.assignment, is_paused=True)
        await replicator.record.update(lambda state: state.ordered(paused))
        await rig.until(lambda: rig.statuses[-1].state is ReplicationState.PAUSED)
        assert rig.statuses[-1].failure is None


async def test_a_machine_with_a_hostile_name_replicates_and_shows_it_harmless(
    rig: SourceRig,
) -> None:
    rig.hypervisor.description = replace(rig.hypervisor.description, name=HOSTILE)
    await rig.run_until_settled(2)
    rig.hypervisor.resize("disk-b", 2 * MIB)
    assert await rig.run_until_resync() == "disks-changed"
    failure = rig.statuses[-1].failure
    assert failure is not None
    assert failure.cause.isprintable()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\x00b", "..", "x" * 256])
async def test_a_disk_with_a_hostile_name_is_told_and_waited_for(rig: SourceRig, name: str) -> None:
    good = rig.hypervisor.description
    disks = (replace(good.disks[0], name=name), *good.disks[1:])
    rig.hypervisor.description = replace(good, disks=disks)

    def mend() -> bool:
        if rig.codes():
            rig.hypervisor.description = good
        return rig.state.head.sequence >= 1

    await rig.run_until(mend)
    assert rig.codes() == ["unsupported-machine"]
    rig.assert_points_equal_views()


async def test_progress_sent_bytes_and_comparison_are_reported(rig: SourceRig) -> None:
    await rig.run_until_settled(2)
    initial = [status for status in rig.statuses if status.state is ReplicationState.INITIAL]
    done = [status.done_bytes for status in initial]
    assert done == sorted(done)
    assert initial[-1].done_bytes == initial[-1].total_bytes > MIB
    assert initial[-1].sent_bytes >= MIB
    assert rig.statuses[-1].compared_at is not None
    assert rig.statuses[-1].warning is None


async def test_nothing_is_reported_of_what_is_being_stopped(rig: SourceRig) -> None:
    async with rig.running() as replicator:
        await rig.until(lambda: rig.state.head.sequence >= 1)
        await replicator.record.update(SourceState.stopping)
        seen = len(rig.statuses)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(rig.statuses) == seen
        assert await rig.hypervisor.views(PROTECTION) == ()


def test_a_damaged_protection_is_shown_as_that() -> None:
    failure = Failure("bad-state-file", "Because.", "Do.")
    status = damaged_status(PROTECTION, failure)
    assert (status.state, status.failure) == (ReplicationState.RESYNC_REQUIRED, failure)


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


async def test_a_stream_that_breaks_while_the_agent_stops_does_not_keep_it(
    rig: SourceRig,
) -> None:
    stream = BreakingStream()
    host = source_host(rig.folder, rig.hypervisor, stream, rig.clock, rig.observe)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(ProtectionReplicator(host, rig.state, HeldGrant()).run())
        await stream.read.wait()
        task.cancel()
    assert task.cancelled()
    assert rig.statuses == []


Act = Callable[[SourceRig], None]


@pytest.mark.parametrize(
    "act",
    [
        lambda rig: rig.hypervisor.lose_views(),
        lambda rig: rig.hypervisor.lose_marks(),
        lambda rig: (rig.hypervisor.lose_views(), rig.hypervisor.lose_marks()),
    ],
    ids=["views", "mark", "both"],
)
@pytest.mark.parametrize("calls", range(1, 30, 3))
async def test_lost_views_and_marks_lead_to_equal_points_or_to_a_resync(
    rig: SourceRig, act: Act, calls: int
) -> None:
    counted: list[str] = []

    def count(question: str) -> None:
        counted.append(question)
        rig.hypervisor.write("disk-a", len(counted) * 512, b"guest" * 10)
        if len(counted) == calls:
            act(rig)

    rig.target.on_question = count
    await rig.run_until(lambda: rig.state.head.sequence >= 3 or rig.state.resync is not None)
    rig.assert_points_equal_views()
    if rig.state.resync is not None:
        assert rig.state.resync.code in {"mark-missing", "tracking-lost", "mark-foreign"}
        rig.change(lambda state: state.resynchronizing())
        reached = rig.target.sequence
        await rig.run_until_settled(reached + 1)
        rig.assert_points_equal_views()
    assert len(SIZES) == 2
