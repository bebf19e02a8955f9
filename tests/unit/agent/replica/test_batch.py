"""How much is applied at once, and the space it may take."""

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from agent.replica import batch, slices
from agent.replica.batch import choose, needed_bytes, within_records
from agent.replica.fence import FencedFiles
from agent.replica.images import VhdxImages
from agent.replica.journal import open_redo
from agent.replica.points import PointRecord
from agent.replica.storage import Storage
from tests.support.lineages import LineageBench
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import Write

MIB = 1 << 20
BLOCK = 2 * MIB
FORMAT = VhdxImages(SeededRandomness(1))


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench(sizes=(64 * MIB,), image_format=FORMAT)
    bench.deliver(Write(0, 4 * MIB, b"a" * 4096))
    return bench


def records(*payloads: int) -> list[PointRecord]:
    small = LineageBench()
    small.deliver()
    (record,) = small.lineage.history.records
    return [
        replace(record, point=replace(record.point, payload_bytes=payload)) for payload in payloads
    ]


def needed(bench: LineageBench, *sequences: int) -> int:
    storage = Storage(FencedFiles(bench.files), bench.layout, FORMAT)
    with ExitStack() as stack:
        base = stack.enter_context(storage.open_base(1, bench.disks))
        redos = [
            stack.enter_context(open_redo(bench.files, bench.layout.redo_file(sequence)))
            for sequence in sequences
        ]
        return last_of(needed_bytes(redos, base))


def last_of(steps: Generator[None, None, int]) -> int:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return int(end.value)


def test_points_are_taken_together_up_to_their_number_and_payload() -> None:
    assert choose(records(*[1] * 40)) == 32
    assert choose(records(*[20 * MIB] * 5)) == 3
    assert choose(records(100 * MIB, 1)) == 1
    assert choose(records(1, 100 * MIB, 1)) == 1


def test_and_up_to_their_records(bench: LineageBench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        bench.deliver(Write(0, 0, 512), Write(0, 1024, 512))
    with ExitStack() as stack:
        redos = [
            stack.enter_context(open_redo(bench.files, bench.layout.redo_file(sequence)))
            for sequence in (2, 3, 4)
        ]
        assert within_records(redos) == 3
        monkeypatch.setattr(batch, "MAX_RECORDS", 5)
        assert within_records(redos) == 2
        monkeypatch.setattr(batch, "MAX_RECORDS", 1)
        assert within_records(redos) == 1


def test_undo_is_what_has_blocks_and_growth_the_blocks_that_have_none(
    bench: LineageBench,
) -> None:
    bench.deliver(Write(0, 4 * MIB, b"b" * (1 << 20)), Write(0, 8 * MIB, b"c" * 512))
    assert MIB + BLOCK <= needed(bench, 2) < MIB + BLOCK + 65536


def test_a_block_that_two_slices_touch_is_counted_once(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [*range(8 * MIB, 12 * MIB, 256 << 10), *range(4 * MIB, 6 * MIB, 256 << 10)]
    bench.deliver(*(Write(0, place, b"c" * 512) for place in sorted(places)))
    whole = needed(bench, 2)
    monkeypatch.setattr(slices, "MIN_SLICE_RECORDS", 1)
    assert 2 * BLOCK <= whole <= needed(bench, 2) < 2 * BLOCK + 65536


def test_where_the_volume_leaves_holes_growth_is_what_is_written(bench: LineageBench) -> None:
    bench.files.allocation_unit = 4096
    bench.deliver(*(Write(0, place, b"c" * 512) for place in range(8 * MIB, 48 * MIB, BLOCK)))
    assert 20 * 4096 <= needed(bench, 2) < 20 * 4096 + 65536


def test_and_a_block_that_is_there_may_be_a_hole(bench: LineageBench) -> None:
    bench.files.allocation_unit = 4096
    bench.deliver(Write(0, 5 * MIB, b"b" * (1 << 20)))
    undo = growth = MIB
    assert undo + growth <= needed(bench, 2) < undo + growth + 65536


def test_zeros_over_nothing_take_nothing(bench: LineageBench) -> None:
    bench.deliver(Write(0, 16 * MIB, 48 * MIB))
    assert needed(bench, 2) < 1024


def test_a_batch_may_overwrite_what_it_wrote_itself(bench: LineageBench) -> None:
    for mark in (b"b", b"c"):
        bench.deliver(Write(0, 8 * MIB, mark * MIB))
    assert MIB + BLOCK <= needed(bench, 2, 3) < MIB + BLOCK + 65536


@pytest.mark.parametrize("unit", [None, 4096])
def test_what_an_apply_takes_is_never_more_than_was_asked_for(unit: int | None) -> None:
    bench = LineageBench(sizes=(MIB,))
    bench.files.allocation_unit = unit
    bench.deliver(Write(0, 0, b"a" * (MIB // 2)))
    bench.deliver(
        *(Write(0, number * 3072, bytes([65 + number % 26]) * 512) for number in range(300))
    )
    with open_redo(bench.files, bench.layout.redo_file(2)) as redo:
        storage = bench.lineage._storage
        with storage.open_base(1, bench.disks) as base:
            asked = last_of(needed_bytes([redo], base))
    bench.files.capacity = 1 << 40
    free = bench.files.free_space(bench.layout.folder)
    bench.interrupt_apply()
    bench.apply()
    redo_bytes = 8192 * 40
    assert free - bench.files.free_space(bench.layout.folder) <= asked + redo_bytes
