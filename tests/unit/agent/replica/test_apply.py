"""A batch of points forward, or back."""

import random
from collections.abc import Generator
from unittest.mock import patch

import pytest

from agent.replica import apply, batch, slices
from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.history import History
from agent.replica.images import VhdxImages
from agent.replica.log_reader import DamagedLogError
from agent.replica.storage import Storage
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import Write

MIB = 1 << 20
GRANULE = 64 << 10


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(4)
    return bench


def storage_of(bench: LineageBench) -> Storage:
    return Storage(FencedFiles(bench.files), bench.layout, RawImages())


def history(bench: LineageBench) -> History:
    return bench.lineage.history


def base(bench: LineageBench) -> tuple[bytes, ...]:
    folder = bench.layout.images(1)
    names = [name for name in bench.files.list_directory(folder) if name.endswith(".img")]
    return tuple(bench.files.read_bytes(folder / name, limit=1 << 20) for name in names)


def test_the_base_is_written_after_undo_and_intent_are_durable(bench: LineageBench) -> None:
    storage, position, layout = storage_of(bench), history(bench).position, bench.layout
    with apply.open_batch(storage, position, history(bench).above[:2]) as redos:
        for _ in apply.prepare(storage, position, redos, bench.now(0)):
            assert base(bench) == bench.contents[1]
        assert base(bench) == bench.contents[1]
        for path in (layout.undo_file(2), layout.undo_file(3), *layout.intents):
            assert bench.files.status(path) is not None
        assert bench.files.pending() == []
        for _ in apply.write_base(storage, position, redos, lambda: False):
            pass
    assert base(bench) == bench.contents[3]
    assert bench.files.pending() == []


@pytest.mark.parametrize("is_complete", [False, True])
def test_a_base_goes_back_from_half_and_from_whole(
    bench: LineageBench, *, is_complete: bool
) -> None:
    storage, position = storage_of(bench), history(bench).position
    bench.interrupt_apply(together=3)
    if is_complete:
        with apply.open_batch(storage, position, history(bench).above) as redos:
            for _ in apply.write_base(storage, position, redos, lambda: False):
                pass
    assert base(bench) != bench.contents[1]
    for _ in apply.roll_back(storage, position, 4, bench.disks):
        pass
    assert base(bench) == bench.contents[1]
    assert bench.files.list_directory(bench.layout.undo) == []
    assert bench.files.status(bench.layout.intents[0]) is None
    assert bench.files.pending() == []
    with storage.open_base(1, bench.disks) as reader:
        reader.read_into(0, memoryview(bytearray(4096)), 0)  # its checksums are those of then


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_damaged_segment_is_named_before_anything_is_sealed(
    bench: LineageBench, number: int
) -> None:
    storage, position = storage_of(bench), history(bench).position
    bench.damage_payload(bench.layout.redo_file(number), bytes([number]) * 512)
    with (
        apply.open_batch(storage, position, history(bench).above) as redos,
        pytest.raises(DamagedLogError, match="checksum") as raised,
    ):
        for _ in apply.prepare(storage, position, redos, bench.now(0)):
            pass
    assert raised.value.log == number - 2
    assert bench.files.list_directory(bench.layout.undo) == []


def test_a_segment_that_is_gone_or_another_is_named(bench: LineageBench) -> None:
    storage, above = storage_of(bench), history(bench).above
    position = history(bench).position
    data = bench.files.read_bytes(bench.layout.redo_file(4), limit=MIB)
    for is_gone in (False, True):
        bench.files.remove(bench.layout.redo_file(3))
        if not is_gone:
            bench.files.append(bench.layout.redo_file(3), data)
        with pytest.raises(DamagedLogError) as raised, apply.open_batch(storage, position, above):
            pass
        assert raised.value.log == 1


def test_it_does_not_begin_what_may_not_fit(bench: LineageBench) -> None:
    bench.apply(1, together=3)
    bench.deliver(Write(0, 0, b"x" * 4096))
    bench.deliver(Write(0, 0, b"y" * 512))
    bench.files.capacity = 1 << 40
    bench.files.capacity -= bench.files.free_space(bench.layout.folder) - (4 << 20) - 4096
    with pytest.raises(ReplicaError) as error:
        bench.apply(together=2)
    assert error.value.code == "disk-full"
    assert bench.files.list_directory(bench.layout.undo) == [
        bench.layout.undo_file(number).name for number in (2, 3, 4)
    ]
    bench.files.capacity = None
    bench.apply(together=2)
    bench.assert_all_points_are_right()


def test_fewer_are_applied_together_where_not_all_fit(bench: LineageBench) -> None:
    bench.apply(1, together=3)
    for number in range(4):
        bench.deliver(Write(0, 0, bytes([number]) * 4096))
    bench.files.capacity = 1 << 40
    bench.files.capacity -= bench.files.free_space(bench.layout.folder) - (4 << 20) - 9000
    bench.apply(together=4)
    assert history(bench).position.sequence == 6
    bench.assert_all_points_are_right()


def test_an_apply_that_is_stopped_goes_on_later(bench: LineageBench) -> None:
    with patch.object(batch, "MAX_POINTS", 2):
        for steps in range(16):
            generator = bench.lineage.apply_next(bench.now(0))
            for _ in range(steps):
                next(generator, None)
            generator.close()
            bench.assert_all_points_are_right()
    bench.apply(3)
    assert history(bench).position.sequence == 4
    bench.assert_all_points_are_right()


def test_points_inside_a_half_written_batch_are_right(bench: LineageBench) -> None:
    bench.interrupt_apply(together=3)
    assert history(bench).in_doubt == 3
    bench.assert_all_points_are_right()
    bench.reopen()
    assert history(bench).in_doubt == 3
    bench.assert_all_points_are_right()
    bench.deliver(Write(0, 1024, b"more" * 128))
    bench.assert_all_points_are_right()
    bench.apply(2)
    assert history(bench).position.sequence == 5
    bench.assert_all_points_are_right()


@pytest.mark.parametrize("images", [RawImages(), VhdxImages(SeededRandomness(1))])
def test_batches_of_random_writes_are_what_one_after_the_other_is(
    images: RawImages | VhdxImages,
) -> None:
    chooser = random.Random(5)
    bench = LineageBench(sizes=(MIB, 3 * GRANULE - 4096), image_format=images)
    for _ in range(12):
        writes = []
        for disk, geometry in enumerate(bench.disks):
            spots = sorted(chooser.sample(range(geometry.size // 512), 12))
            for spot, after in zip(spots, [*spots[1:], geometry.size // 512], strict=True):
                length = 512 * chooser.randint(1, min(after - spot, 300))
                data = length if chooser.random() < 0.3 else chooser.randbytes(length)
                writes.append(Write(disk, spot * 512, data))
        bench.deliver(*writes)
        if chooser.random() < 0.4:
            bench.apply(together=3)
    bench.assert_all_points_are_right()
    while bench.lineage.has_work:
        bench.apply(together=4)
    bench.assert_all_points_are_right()


def test_a_large_segment_is_written_slice_by_slice_and_can_be_stopped_between(
    bench: LineageBench,
) -> None:
    bench.apply(together=3)
    bench.deliver(*(Write(0, 512 * number, bytes([65 + number]) * 512) for number in range(8)))
    storage, position = storage_of(bench), history(bench).position
    stops = [False, False, True]
    with apply.open_batch(storage, position, history(bench).above) as redos:
        for _ in apply.prepare(storage, position, redos, bench.now(0)):
            pass
        steps = apply.write_base(storage, position, redos, lambda: stops.pop(0))
        assert run(steps)
        stops = [True]
        assert not run(apply.write_base(storage, position, redos, lambda: stops.pop(0)))
    assert bench.files.pending() == []


@pytest.mark.parametrize("data", [512, b"x" * 512], ids=["zeros", "data"])
def test_many_small_ranges_rest_as_often_as_few_large_ones(
    data: bytes | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "ROUND_BYTES", 4 * apply.RANGE_COST)
    monkeypatch.setattr(apply, "STEP_BYTES", 2 * apply.RANGE_COST)
    monkeypatch.setattr(slices, "MIN_SLICE_RECORDS", 1)
    bench = LineageBench(sizes=(16 * GRANULE, 2048))
    bench.deliver(Write(0, 0, bytes([7]) * 16 * GRANULE))
    bench.deliver(*(Write(0, number * GRANULE, data) for number in range(16)))
    storage, position = storage_of(bench), history(bench).position
    with apply.open_batch(storage, position, history(bench).above) as redos:
        for _ in apply.prepare(storage, position, redos, bench.now(0)):
            pass
        turns = list(apply.write_base(storage, position, redos, lambda: False))
    assert turns.count(True) >= 4
    assert turns.count(False) >= 8


def run(steps: Generator[bool, None, bool]) -> bool:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bool(end.value)
