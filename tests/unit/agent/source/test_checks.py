from pathlib import Path
from random import Random

import pytest

from agent.source.capture import Capture
from agent.source.checks import (
    LEAST_SLICE_SECONDS,
    MAX_SLICE_LEAVES,
    SAMPLES,
    SLICE_BYTES,
    SLICE_SECONDS,
    Checks,
    sample,
)
from agent.source.errors import ResyncRequiredError
from agent.source.state import Head
from agent.source.verification import LEAF_BYTES
from replikera.blocks.extents import Extents
from tests.support.seeded_randomness import SeededRandomness
from tests.support.source_parts import SourceParts

MIB = 1 << 20
SIZE = 20 * MIB
VERIFICATION = "44444444-1111-4111-8111-111111111111"


class Bench(SourceParts):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"disk-a": SIZE, "disk-b": MIB})
        self.hypervisor.write("disk-a", 0, Random(1).randbytes(4 * MIB))
        self.target.sequence, self.target.digest = 1, b"d" * 32
        self.target.points[1] = {name: bytes(disk) for name, disk in self.hypervisor.disks.items()}

    async def captured(self) -> Capture:
        capture = await self.views.take(())
        head = Head(1, b"d" * 32, capture.started_at, b"m" * 32, capture.geometries)
        await self.record.update(lambda state: state.verifying(VERIFICATION))
        await self.record.update(
            lambda state: type(state)(state.assignment, head, verification=state.verification)
        )
        return capture

    def spoil(self, offset: int) -> None:
        disk = bytearray(self.target.points[1]["disk-a"])
        disk[offset] ^= 1
        self.target.points[1]["disk-a"] = bytes(disk)

    async def check(
        self, capture: Capture, changed: Extents | None = None, *, allowed: tuple[float, ...] = ()
    ) -> None:
        """Check a point; `allowed` is for how long its view may stay, each time that is asked."""
        left = iter(allowed)

        async def allowance() -> float:
            return next(left, 0.0)

        extents = [changed if changed is not None else Extents.empty(), Extents.empty()]
        async with self.conversing() as (conversation, _):
            await Checks(self.protection, conversation, allowance).after(capture, extents)


def checked_bytes(bench: Bench) -> int:
    verification = bench.state.verification
    assert verification is not None
    return verification.checked_bytes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_point_that_is_right_is_noted_as_compared(bench: Bench) -> None:
    capture = await bench.captured()
    await bench.check(capture)
    assert bench.state.compared_at == bench.clock.now()
    assert bench.host.folder.load(bench.state.assignment.protection_id) == bench.state


async def test_samples_are_of_what_changed_and_of_what_is_allocated(bench: Bench) -> None:
    capture = await bench.captured()
    changed = [Extents.of([(17 * MIB + 4096, 4096)]), Extents.empty()]
    seen = set()
    for seed in range(50):
        leaves = sample(capture, changed, SeededRandomness(seed))
        assert 1 <= len(leaves) <= SAMPLES
        assert (0, 17 * MIB, MIB) in leaves
        assert all(offset < 4 * MIB for _, offset, _ in leaves if offset != 17 * MIB)
        seen.update(leaves)
    assert len(seen) == 5


async def test_nothing_changed_and_nothing_allocated_gives_no_sample(bench: Bench) -> None:
    capture = await bench.captured()
    bare = [Extents.empty(), Extents.empty()]
    disks = tuple(
        type(disk)(disk.number, disk.geometry, disk.reader, Extents.empty())
        for disk in capture.disks
    )
    empty = Capture(capture.view, capture.started_at, disks, b"", b"", capture.opened)
    assert sample(empty, bare, SeededRandomness(1)) == []


async def test_the_last_leaf_of_a_disk_is_as_long_as_the_disk_allows(bench: Bench) -> None:
    odd = SourceParts(bench._folder / "odd", {"disk-a": LEAF_BYTES + 512})
    capture = await odd.views.take(())
    changed = [Extents.of([(LEAF_BYTES, 512)])]
    assert sample(capture, changed, SeededRandomness(1)) == [(0, LEAF_BYTES, 512)]


async def test_a_difference_requires_a_resync_and_names_its_place(bench: Bench) -> None:
    capture = await bench.captured()
    bench.spoil(17 * MIB + 5)
    with pytest.raises(ResyncRequiredError) as raised:
        await bench.check(capture, Extents.of([(17 * MIB, 512)]))
    failure = raised.value.failure
    assert failure.code == "verify-failed"
    assert f"disk disk-a.vhdx, offset {17 * MIB}" in failure.cause
    assert "point 1" in failure.cause
    assert bench.state.compared_at is None


async def test_a_verification_goes_on_slice_by_slice_until_all_is_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.checks.SLICE_BYTES", 2 * MIB)
    monkeypatch.setattr("agent.source.checks.QUESTION_LEAVES", 1)
    capture = await bench.captured()
    checked = []
    for _ in range(30):
        await bench.check(capture)
        verification = bench.state.verification
        assert verification is not None
        checked.append(verification.checked_bytes)
        # The rest is read again from the file.
        bench.restart()
        if not verification.is_running:
            break
    # Two leaves a time where there is data; where there is none, more.
    assert checked[:2] == [2 * MIB, 4 * MIB]
    assert checked[-1] == SIZE + MIB
    assert bench.state.verification is not None
    assert bench.state.verification.finished_at is not None
    assert bench.state.verification.differing_bytes == 0


async def test_a_slice_is_over_after_its_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.checks.QUESTION_LEAVES", 1)
    capture = await bench.captured()
    saved: list[int] = []

    def answer(_question: str) -> None:
        verification = bench.state.verification
        saved.append(verification.checked_bytes if verification is not None else -1)
        bench.clock.advance(SLICE_SECONDS)

    bench.target.on_question = answer
    await bench.check(capture, allowed=(99.0, 99.0))
    assert checked_bytes(bench) == 4 * MIB
    assert saved[-1] == 2 * MIB, "what the first slice has compared is noted"


async def test_a_verification_goes_on_with_the_view_for_as_long_as_it_may(bench: Bench) -> None:
    capture = await bench.captured()
    bench.target.on_question = lambda _question: bench.clock.advance(SLICE_SECONDS)
    await bench.check(capture, allowed=(99.0,) * 30)
    assert checked_bytes(bench) == SIZE + MIB


async def test_a_cycle_that_is_late_compares_a_little(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.checks.QUESTION_LEAVES", 1)
    capture = await bench.captured()
    bench.target.on_question = lambda _question: bench.clock.advance(LEAST_SLICE_SECONDS)
    await bench.check(capture, allowed=(-7.0, -7.0))
    assert checked_bytes(bench) == 2 * MIB


async def test_a_verification_that_is_called_off_ends_with_its_slice(bench: Bench) -> None:
    capture = await bench.captured()
    asked: list[str] = []

    def call_off(question: str) -> None:
        asked.append(question)
        bench.clock.advance(SLICE_SECONDS)
        bench.record._state = bench.record._state.verifying("")

    bench.target.on_question = call_off
    await bench.check(capture, allowed=(99.0,) * 30)
    assert bench.state.verification is None
    assert len(asked) < 4


async def test_a_verification_that_finds_a_difference_is_over(bench: Bench) -> None:
    bench.spoil(19 * MIB)
    capture = await bench.captured()
    with pytest.raises(ResyncRequiredError, match=f"offset {19 * MIB}"):
        await bench.check(capture)
    verification = bench.state.verification
    assert verification is not None
    assert (verification.differing_bytes, verification.is_running) == (MIB, False)


async def test_a_verification_ordered_meanwhile_is_not_lost(bench: Bench) -> None:
    capture = await bench.captured()
    newer = "55555555-1111-4111-8111-111111111111"
    ordered: list[str] = []

    def order(question: str) -> None:
        if question == "digests" and not ordered:
            ordered.append(question)
            state = bench.record._state.verifying(newer)
            bench.record._state = state

    bench.target.on_question = order
    await bench.check(capture)
    assert bench.state.verification is not None
    assert bench.state.verification.verification_id == newer
    assert bench.state.verification.checked_bytes in {0, SIZE + MIB}


def test_a_slice_is_bounded_where_nothing_is_allocated() -> None:
    assert MAX_SLICE_LEAVES * LEAF_BYTES >= SLICE_BYTES
