"""A base that is half written, made whole for its readers."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.replica.errors import BaseDamagedError
from agent.replica.history import History
from agent.replica.repair import InterruptedApply, interrupted_apply
from replikera.blocks.segment import SegmentFormatError
from tests.support.lineages import LineageBench
from tests.support.segments import Write

GRANULE = 64 << 10


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench(sizes=(4 * GRANULE, GRANULE))
    bench.deliver(Write(0, 0, b"a" * GRANULE), Write(0, 2 * GRANULE, b"a" * GRANULE))
    bench.deliver(Write(0, 512, b"b" * 512), Write(1, 0, b"b" * 512))
    bench.deliver(Write(0, 512, 1024), Write(0, 3 * GRANULE, b"c" * 512))
    bench.interrupt_apply(together=2)
    return bench


def content(bench: LineageBench, repair: InterruptedApply) -> tuple[bytes, ...]:
    disks = []
    storage = bench.lineage._storage
    with storage.open_base(1, bench.disks, repair) as base:
        for disk, geometry in enumerate(bench.disks):
            buffer = bytearray(geometry.size)
            base.read_into(disk, memoryview(buffer), 0)
            rest = bytearray(buffer)
            for offset, length in base.data_extents(disk):
                rest[offset : offset + length] = bytes(length)
            assert not any(rest)
            disks.append(bytes(buffer))
    return tuple(disks)


def repaired(bench: LineageBench, history: History) -> InterruptedApply:
    found = interrupted_apply(bench.lineage._storage, history, bench.disks)
    assert found is not None
    return found


def test_a_base_that_is_whole_needs_none(bench: LineageBench) -> None:
    history = replace(bench.lineage.history, in_doubt=0)
    assert interrupted_apply(bench.lineage._storage, history, bench.disks) is None


def test_undo_makes_it_the_point_below_and_redo_the_point_above(bench: LineageBench) -> None:
    history = bench.lineage.history
    below = repaired(bench, history)
    assert (below.point, content(bench, below)) == (1, bench.contents[1])
    above = repaired(bench, replace(history, floor=2))
    assert (above.point, content(bench, above)) == (3, bench.contents[3])


def flipped(bench: LineageBench, places: Sequence[int]) -> None:
    path = bench.layout.images(1) / "00.img"
    for place in places:
        bench.damage(path, place)


@pytest.mark.parametrize("floor", [0, 2])
def test_rot_beside_the_bytes_in_doubt_is_noticed(bench: LineageBench, floor: int) -> None:
    flipped(bench, [4096])
    with pytest.raises(BaseDamagedError):
        content(bench, repaired(bench, replace(bench.lineage.history, floor=floor)))


@pytest.mark.parametrize("floor", [0, 2])
def test_rot_in_the_bytes_in_doubt_does_not_matter(bench: LineageBench, floor: int) -> None:
    flipped(bench, [512, 1023])
    found = content(bench, repaired(bench, replace(bench.lineage.history, floor=floor)))
    assert found == bench.contents[3 if floor else 1]


def test_without_an_intent_it_is_refused(bench: LineageBench) -> None:
    for path in bench.layout.intents:
        bench.files.remove(path)
    with pytest.raises(SegmentFormatError, match="intent"):
        repaired(bench, bench.lineage.history)
