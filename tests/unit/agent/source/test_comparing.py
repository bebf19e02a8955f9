from pathlib import Path
from random import Random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from agent.hypervisor.interface import HypervisorError
from agent.source.capture import Capture
from agent.source.comparing import (
    MAX_OPEN_QUESTIONS,
    QUESTION_LEAVES,
    Comparison,
    Leaf,
    extents_of,
    leaves_of,
)
from agent.source.errors import RefusedError
from agent.source.host import READ_AHEAD_BYTES
from agent.source.verification import LEAF_BYTES
from replikera.blocks.extents import Extents
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import Direction, Faults
from tests.support.source_parts import SourceParts

MIB = 1 << 20
SIZES = {"disk-a": 6 * MIB, "disk-b": 2 * MIB + 512}


@pytest.fixture
def parts(tmp_path: Path) -> SourceParts:
    parts = SourceParts(tmp_path, SIZES)
    parts.hypervisor.write("disk-a", 0, Random(1).randbytes(3 * MIB))
    parts.hypervisor.write("disk-b", MIB, Random(2).randbytes(MIB + 512))
    parts.target.sequence, parts.target.digest = 4, b"d" * 32
    parts.target.points[4] = {name: bytes(disk) for name, disk in parts.hypervisor.disks.items()}
    return parts


def spoil(parts: SourceParts, name: str, offset: int) -> None:
    disk = bytearray(parts.target.points[4][name])
    disk[offset] ^= 1
    parts.target.points[4][name] = bytes(disk)


async def differing(parts: SourceParts, capture: Capture, leaves: list[Leaf]) -> list[Leaf]:
    async with parts.conversing() as (conversation, _):
        return await Comparison(conversation, capture, 4, parts.lane).differing(leaves)


def everything() -> list[Leaf]:
    return list(leaves_of([Extents.whole(size) for size in SIZES.values()]))


async def test_equal_disks_have_no_difference(parts: SourceParts) -> None:
    capture = await parts.views.take(())
    assert await differing(parts, capture, everything()) == []
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_every_difference_is_found_also_where_nothing_is_allocated_here(
    parts: SourceParts,
) -> None:
    capture = await parts.views.take(())
    for name, offset in (("disk-a", 5), ("disk-a", 5 * MIB), ("disk-b", 2 * MIB + 511)):
        spoil(parts, name, offset)
    assert await differing(parts, capture, everything()) == [
        (0, 0, MIB),
        (0, 5 * MIB, MIB),
        (1, 2 * MIB, 512),
    ]


async def test_what_is_not_allocated_is_not_read(parts: SourceParts) -> None:
    capture = await parts.views.take(())
    read: list[int] = []
    async with parts.conversing() as (conversation, _):
        comparison = Comparison(conversation, capture, 4, parts.lane, read.append)
        assert await comparison.differing([(0, 4 * MIB, MIB), (0, 0, MIB)]) == []
        assert comparison.read_bytes(everything()) == sum(
            length
            for disk in capture.disks
            for _, length in disk.allocated.align(MIB, disk.geometry.size)
        )
    assert sum(read) == MIB


async def test_two_questions_are_on_their_way_and_no_more(
    parts: SourceParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.comparing.QUESTION_LEAVES", 1)
    events: list[str] = []

    def note(direction: Direction, message: bytes) -> list[bytes]:
        is_question = direction is Direction.TO_TARGET
        parsed = wire.ReplicateRequest if is_question else wire.ReplicateResponse
        if parsed.FromString(message).WhichOneof("message") == "digests":
            events.append("ask" if is_question else "answer")
        return [message]

    capture = await parts.views.take(())
    async with parts.conversing(Faults(tamper=note)) as (conversation, _):
        found = await Comparison(conversation, capture, 4, parts.lane).differing(everything())
    assert found == []
    assert events.count("ask") == events.count("answer") == len(everything())
    ahead, most = 0, 0
    for event in events:
        ahead += 1 if event == "ask" else -1
        most = max(most, ahead)
    assert 1 <= most <= MAX_OPEN_QUESTIONS
    assert QUESTION_LEAVES <= 256


async def test_a_short_read_is_told_and_nothing_is_held(parts: SourceParts) -> None:
    capture = await parts.views.take(())
    capture.disks[0].reader._data = b"short"  # type: ignore[attr-defined]  # the fake's own
    with pytest.raises(HypervisorError, match="gave"):
        await differing(parts, capture, everything())
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_a_point_that_is_gone_is_told_in_the_target_s_words(parts: SourceParts) -> None:
    capture = await parts.views.take(())
    parts.target.refuse("digests", "unknown-point")
    with pytest.raises(RefusedError) as raised:
        await differing(parts, capture, everything())
    assert raised.value.failure.code == "unknown-point"


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 8)), max_size=8))
def test_leaves_and_extents_are_the_same_bytes(table: list[tuple[int, int]]) -> None:
    extents = Extents.of((at * 262_144, length * 262_144) for at, length in table)
    leaves = list(leaves_of([Extents.empty(), extents]))
    assert all(disk == 1 and 0 < length <= LEAF_BYTES for disk, _, length in leaves)
    assert extents_of(leaves, 2) == (Extents.empty(), extents)


def test_a_digest_is_that_of_the_plain_bytes() -> None:
    # What the other side computes is fixed by the wire: BLAKE3 of the bytes, nothing around them.
    assert len(blake3(b"").digest()) == 32
