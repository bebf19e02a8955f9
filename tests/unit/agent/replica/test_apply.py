"""One point forward, or back."""

import pytest

from agent.replica import apply
from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.journal import open_redo
from agent.replica.storage import Storage
from replikera.blocks.segment import SegmentFormatError
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import Write


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(2)
    return bench


def storage_of(bench: LineageBench) -> Storage:
    return Storage(FencedFiles(bench.files), bench.layout, RawImages())


def base(bench: LineageBench) -> tuple[bytes, ...]:
    names = bench.files.list_directory(bench.layout.images(1))
    return tuple(
        bench.files.read_bytes(bench.layout.images(1) / name, limit=1 << 20) for name in names
    )


def test_the_base_is_written_after_the_undo_is_durable(bench: LineageBench) -> None:
    storage = storage_of(bench)
    with open_redo(bench.files, bench.layout.redo_file(2)) as redo:
        for _ in apply.prepare(storage, redo, 1, bench.now(0)):
            assert base(bench) == bench.contents[1]
        assert base(bench) == bench.contents[1]
        assert bench.files.status(bench.layout.undo_file(2)) is not None
        assert bench.files.pending() == []
        for _ in apply.write_base(storage, redo, 1):
            pass
    assert base(bench) == bench.contents[2]
    assert bench.files.pending() == []


@pytest.mark.parametrize("is_complete", [False, True])
def test_a_base_goes_back_from_half_and_from_whole(
    bench: LineageBench, *, is_complete: bool
) -> None:
    storage = storage_of(bench)
    bench.interrupt_apply()
    if is_complete:
        with open_redo(bench.files, bench.layout.redo_file(2)) as redo:
            for _ in apply.write_base(storage, redo, 1):
                pass
    assert base(bench) != bench.contents[1]
    for _ in apply.roll_back(storage, 1, bench.disks, 2):
        pass
    assert base(bench) == bench.contents[1]
    assert bench.files.status(bench.layout.undo_file(2)) is None
    assert bench.files.pending() == []


def test_a_damaged_segment_is_noticed_by_verify(bench: LineageBench) -> None:
    bench.damage(bench.layout.redo_file(2), 900)
    with (
        open_redo(bench.files, bench.layout.redo_file(2)) as redo,
        pytest.raises(SegmentFormatError),
    ):
        for _ in apply.verify(redo):
            pass


def test_it_does_not_begin_what_may_not_fit(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, b"x" * 4096))
    bench.files.capacity = (4 << 20) + 8000 + (1 << 16)
    bench.apply()
    bench.files.capacity -= bench.files.free_space(bench.layout.folder) - (4 << 20) - 8000
    with pytest.raises(ReplicaError) as error:
        bench.apply()
    assert error.value.code == "disk-full"
    assert bench.files.status(bench.layout.undo_file(3)) is None
    bench.files.capacity = None
    bench.apply()
    bench.assert_all_points_are_right()


def test_an_apply_that_is_stopped_goes_on_later(bench: LineageBench) -> None:
    for steps in range(12):
        generator = bench.lineage.apply_next(bench.now(0))
        for _ in range(steps):
            next(generator, None)
        generator.close()
        bench.assert_all_points_are_right()
    bench.apply()
    assert bench.lineage.history.position.sequence == 2
    bench.assert_all_points_are_right()
    assert bench.files.list_directory(bench.layout.undo) == [bench.layout.undo_file(2).name]
