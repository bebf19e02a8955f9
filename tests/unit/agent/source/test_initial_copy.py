from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from agent.source.host import ViewLimits
from agent.source.status import ReplicationState
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import Faults
from tests.support.source_rig import PROTECTION, SourceRig, swallow_first

MIB = 1 << 20
SIZES = {"disk-a": 9 * MIB, "disk-b": MIB}
EVERY_LOOK = ViewLimits(timedelta(microseconds=1), 1)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceRig:
    # Chunks and batches of one MiB: a disk of nine has many of them.
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB)
    monkeypatch.setattr("agent.source.chunks.CHUNK_PAYLOAD_BYTES", MIB)
    rig = SourceRig(tmp_path / "protections", sizes=dict(SIZES))
    rig.hypervisor.write("disk-a", 0, Random(1).randbytes(8 * MIB))
    rig.hypervisor.write("disk-b", 65536, b"b" * 4096)
    return rig


def writing(rig: SourceRig, seed: int = 1) -> None:
    """Let the guest write before every view, all over the disks."""
    random = Random(seed)

    def write() -> None:
        for _ in range(3):
            place = random.randrange(0, 9 * MIB - 8192) // 512 * 512
            rig.hypervisor.write("disk-a", place, random.randbytes(4096))
        rig.hypervisor.write("disk-a", random.randrange(0, 8) * MIB, bytes(65536))

    rig.hypervisor.before_freeze = write


async def test_everything_becomes_point_1_and_its_view_the_mark(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert rig.target.segments == []
    (base,) = rig.target.bases
    assert base.zero_records > 0
    assert rig.target.trailers[0].machine == rig.hypervisor.description.to_json()
    assert rig.state.initial is None
    assert rig.state.mark_id == "view-1"
    assert len(rig.hypervisor.history) == 1


async def test_the_total_is_known_before_anything_is_sent(rig: SourceRig) -> None:
    await rig.run_until_settled(1)
    initial = [status for status in rig.statuses if status.state is ReplicationState.INITIAL]
    first = next(status for status in initial if status.total_bytes)
    assert (first.done_bytes, first.total_bytes) == (0, 8 * MIB + 65536)
    done = [status.done_bytes for status in initial]
    assert done == sorted(done)
    assert initial[-1].done_bytes == initial[-1].total_bytes
    assert 0 < initial[-1].sent_bytes <= 8 * MIB + 65536


async def test_a_view_that_grows_old_is_replaced_and_the_pass_goes_on(rig: SourceRig) -> None:
    writing(rig)
    rig.limits = EVERY_LOOK
    # Time passes with every question of the target: every batch is looked at.
    rig.target.on_question = lambda _question: rig.clock.advance(11)
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert len(rig.hypervisor.history) > 3
    assert await rig.hypervisor.views(PROTECTION) == () or rig.state.head.sequence
    (base,) = rig.target.bases
    # Legs send what changed, not everything again.
    assert sum(base.chunk_bytes) < 16 * MIB


async def test_a_view_that_grows_large_is_replaced_too(rig: SourceRig) -> None:
    writing(rig)
    rig.limits = ViewLimits(timedelta(days=1), 1000)
    rig.hypervisor.growth = lambda view: 1000 if view.view_id == "view-1" else 0
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert len(rig.hypervisor.history) == 2


@pytest.mark.parametrize("is_restart", [False, True], ids=["reconnect", "restart"])
@pytest.mark.parametrize("is_view_lost", [False, True], ids=["view", "no-view"])
async def test_a_broken_pass_goes_on_where_it_is_durable(
    rig: SourceRig, *, is_restart: bool, is_view_lost: bool
) -> None:
    writing(rig)
    lost: list[int] = []

    def lose() -> bool:
        if is_view_lost and rig.codes() and not lost:
            lost.append(1)
            rig.hypervisor.lose_views()
        return bool(rig.codes())

    rig.faults = [Faults(cut_after=30)]
    if is_restart:
        await rig.run_until(lambda: bool(rig.codes()))
        lose()
        await rig.run_until_settled(1)
    else:
        await rig.run_until(lambda: lose() and rig.state.head.sequence > 0)

    rig.assert_points_equal_views()
    (base,) = rig.target.bases
    assert len(rig.hypervisor.history) == (2 if is_view_lost else 1)
    assert any(asked.sequence == 0 for asked in rig.target.compared) == is_view_lost
    if not is_view_lost:
        assert sum(base.chunk_bytes) <= 10 * MIB
    assert rig.state.resync is None


async def test_a_pass_with_a_mark_needs_no_comparison_after_its_view_is_lost(
    rig: SourceRig,
) -> None:
    writing(rig)
    rig.limits = ViewLimits(timedelta(days=1), 1000)
    rig.hypervisor.growth = lambda view: 1000 if view.view_id == "view-1" else 0
    rig.faults = [Faults(cut_after=60)]
    await rig.run_until(lambda: bool(rig.codes()))
    assert rig.state.mark_id == "view-1"
    rig.hypervisor.lose_views()
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert all(asked.sequence for asked in rig.target.compared)


async def test_a_seed_is_compared_and_only_what_differs_is_sent(rig: SourceRig) -> None:
    seed = bytearray(rig.hypervisor.disks["disk-a"])
    seed[5 * MIB] ^= 1
    # Data where the source has zeros must go too.
    seed[8 * MIB + 70_000] = 7
    rig.target.seed = {"disk-a": bytes(seed), "disk-b": bytes(rig.hypervisor.disks["disk-b"])}
    await rig.run_until_settled(1)

    rig.assert_points_equal_views()
    (base,) = rig.target.bases
    assert sum(base.chunk_bytes) == MIB
    asked = {
        each.offset
        for question in rig.target.compared
        for each in question.ranges
        if question.sequence == 0 and each.disk == 0
    }
    assert asked == {at * MIB for at in range(8)}


async def test_a_seed_that_is_the_disk_sends_nothing(rig: SourceRig) -> None:
    rig.target.seed = {name: bytes(disk) for name, disk in rig.hypervisor.disks.items()}
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert sum(rig.target.bases[0].chunk_bytes) == 0


async def test_a_seeded_pass_goes_on_after_a_break(rig: SourceRig) -> None:
    writing(rig)
    noise = Random(9).randbytes(9 * MIB)
    rig.target.seed = {
        "disk-a": bytes(rig.hypervisor.disks["disk-a"][: 4 * MIB]) + noise[: 5 * MIB]
    }
    rig.faults = [Faults(cut_after=count) for count in (12, 18, 24)]
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()


async def test_a_target_that_lost_chunks_is_compared(rig: SourceRig) -> None:
    rig.faults = [Faults(cut_after=30)]
    await rig.run_until(lambda: bool(rig.codes()))
    base = rig.target.base
    assert base is not None
    assert base.chunk > 2
    # It stands two chunks back, and one of what it says it has is wrong.
    base.chunk, base.digest = 1, b"x" * 32
    base.disks[0][:4096] = b"?" * 4096
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert any(asked.sequence == 0 for asked in rig.target.compared)


async def test_a_target_that_lost_the_pass_gets_all_of_it(rig: SourceRig) -> None:
    rig.faults = [Faults(cut_after=30)]
    await rig.run_until(lambda: bool(rig.codes()))
    rig.target.base = None
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert len(rig.target.bases) == 2


async def test_the_digest_is_durable_before_the_end_leaves(rig: SourceRig) -> None:
    noted: list[bytes | None] = []

    def note(question: str) -> None:
        if question == "pass_end":
            opened = rig.state.open
            noted.append(opened.digest if opened else None)

    rig.target.on_question = note
    await rig.run_until_settled(1)
    assert noted == [rig.state.head.digest]


async def test_a_lost_acknowledgement_is_recognised_and_the_view_becomes_the_mark(
    rig: SourceRig,
) -> None:
    rig.faults = [swallow_first("sealed")]
    async with rig.running():
        await rig.until(lambda: rig.target.sequence == 1)
    assert rig.state.head.sequence == 0

    rig.hypervisor.write("disk-b", 0, b"after")
    await rig.run_until_settled(2)
    assert rig.target.abandoned == []
    assert rig.target.segments[0].payload_bytes == 4096
    rig.assert_points_equal_views()


async def test_an_end_that_was_lost_on_its_way_is_sent_again(rig: SourceRig) -> None:
    failed: list[int] = []

    def die(question: str) -> None:
        if question == "pass_end" and not failed:
            failed.append(1)
            raise StreamClosedError("the target dies before it seals")

    rig.target.on_question = die
    await rig.run_until(lambda: bool(failed) and bool(rig.codes()))
    assert rig.target.sequence == 0
    rig.hypervisor.lose_views()
    rig.hypervisor.write("disk-b", 4096, b"written meanwhile")
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert rig.target.points[1]["disk-b"][4096:4104] == b"written "


async def test_disks_that_change_during_the_pass_begin_it_anew(rig: SourceRig) -> None:
    rig.faults = [Faults(cut_after=30)]
    await rig.run_until(lambda: bool(rig.codes()))
    rig.hypervisor.lose_views()
    rig.hypervisor.resize("disk-b", 2 * MIB)
    await rig.run_until(lambda: rig.state.head.sequence == 1)

    rig.assert_points_equal_views()
    assert [base.header.attempt for base in rig.target.bases] == [1, 2]
    warnings = {status.warning.code for status in rig.statuses if status.warning}
    assert warnings == {"disks-changed"}
    assert rig.state.resync is None


async def test_disks_that_change_between_two_views_begin_it_anew_in_the_same_conversation(
    rig: SourceRig,
) -> None:
    rig.limits = ViewLimits(timedelta(days=1), 1000)
    rig.hypervisor.growth = lambda view: 1000 if view.view_id == "view-1" else 0

    def resize() -> None:
        if len(rig.hypervisor.history) == 1:
            rig.hypervisor.resize("disk-b", 2 * MIB)

    rig.hypervisor.before_freeze = resize
    await rig.run_until_settled(1)
    rig.assert_points_equal_views()
    assert [base.header.attempt for base in rig.target.bases] == [1, 2]
    assert len(rig.target.opened) == 1
    assert len(rig.target.points[1]["disk-b"]) == 2 * MIB
    assert len(await rig.hypervisor.all_views()) <= 1


async def test_disks_excluded_during_the_pass_begin_it_anew(rig: SourceRig) -> None:
    rig.faults = [Faults(cut_after=30)]
    await rig.run_until(lambda: bool(rig.codes()))
    excluding = replace(rig.assignment, excluded_disk_ids=("disk-b",))
    rig.change(lambda state: state.ordered(excluding))
    await rig.run_until_settled(1)
    assert set(rig.target.points[1]) == {"disk-a"}
    rig.assert_points_equal_views()


async def test_an_answer_about_other_disks_is_a_violation(rig: SourceRig) -> None:
    opened = wire.PassOpened(chunk=0, digest=bytes(32), watermarks=[0])
    rig.target.answers["pass_begin"] = [wire.ReplicateResponse(pass_opened=opened)]
    await rig.run_until_settled(1)
    assert rig.codes() == ["protocol-violation"]
    rig.assert_points_equal_views()


async def test_a_target_that_seals_something_else_requires_a_resync(rig: SourceRig) -> None:
    sealed = wire.Sealed(generation="other", sequence=1, chain_digest=b"y" * 32)
    rig.target.answers["pass_end"] = [wire.ReplicateResponse(sealed=sealed)]
    assert await rig.run_until_resync() == "diverged"


async def test_a_pause_makes_the_view_the_mark_and_goes_on_from_it(rig: SourceRig) -> None:
    writing(rig)
    async with rig.running() as replicator:
        await rig.until(lambda: rig.target.base is not None and rig.target.base.chunk >= 2)
        paused = replace(rig.assignment, is_paused=True)
        await replicator.record.update(lambda state: state.ordered(paused))
        await rig.until(lambda: rig.statuses[-1].state is ReplicationState.PAUSED)
        await rig.until(lambda: rig.state.mark_id != "")
        assert await rig.hypervisor.views(PROTECTION) == ()
        chunk = rig.target.base and rig.target.base.chunk
        await replicator.record.update(lambda state: state.ordered(rig.assignment))
        await rig.until(lambda: rig.state.head.sequence >= 1)
    rig.assert_points_equal_views()
    (base,) = rig.target.bases
    assert chunk
    assert base.chunk > chunk
    assert sum(base.chunk_bytes) < 12 * MIB
