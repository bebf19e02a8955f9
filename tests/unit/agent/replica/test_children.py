"""Points as children of the base."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.replica.errors import ReplicaError
from agent.replica.images import VhdxImages
from replikera.blocks.segment import DiskGeometry
from replikera.vhdx import Image, ImageKind, VhdxError, open_path
from tests.support.lineages import OUT, LineageBench
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import Write

MIB = 1 << 20
SIZES = (3 * MIB, 2 * MIB)


def in_out(disk: DiskGeometry) -> Path:
    return OUT / disk.name


def vhdx_bench(sizes: Sequence[int] = SIZES) -> LineageBench:
    return LineageBench(sizes=sizes, image_format=VhdxImages(SeededRandomness(1)))


@pytest.fixture
def bench() -> LineageBench:
    bench = vhdx_bench()
    bench.deliver_many(4)
    bench.apply()
    return bench


def make(
    bench: LineageBench, sequence: int, path: Callable[[DiskGeometry], Path] = in_out
) -> object:
    bench.lineage.pin("test", sequence)
    last: object = None
    for item in bench.lineage.make_children("test", path):
        last = item
    return last


def opened(bench: LineageBench, disk: int) -> Image:
    return open_path(bench.files, OUT / bench.disks[disk].name)


def base_image(bench: LineageBench) -> Path:
    return bench.layout.images(1) / "00.vhdx"


def shown(bench: LineageBench) -> tuple[bytes, ...]:
    found = []
    for disk in range(len(bench.disks)):
        with opened(bench, disk) as image:
            found.append(image.read(image.size, 0))
    return tuple(found)


def clean_up(bench: LineageBench) -> None:
    for disk in bench.disks:
        bench.files.remove(OUT / disk.name)
    bench.lineage.unpin("test")


@pytest.mark.parametrize("sequence", [1, 2, 3, 4])
@pytest.mark.parametrize("applied", [0, 1, 3])
def test_they_show_the_point_wherever_the_base_is(applied: int, sequence: int) -> None:
    bench = vhdx_bench()
    bench.deliver_many(4)
    bench.apply(applied)
    found = make(bench, sequence)
    assert found == tuple((disk, OUT / disk.name) for disk in bench.disks)
    assert shown(bench) == bench.contents[sequence]


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("is_reopened", [False, True])
def test_they_show_the_point_over_a_base_that_is_half_written(
    together: int, is_reopened: bool
) -> None:
    bench = vhdx_bench()
    bench.deliver_many(4)
    bench.interrupt_apply(together=together)
    if is_reopened:
        bench.reopen()
    for sequence in bench.sequences:
        make(bench, sequence)
        assert shown(bench) == bench.contents[sequence], f"point {sequence}"
        clean_up(bench)


SLOT = 1024  # sectors


def writes_of(drawn: dict[tuple[int, int], tuple[int, int, int]]) -> list[Write]:
    """Return writes in slots of their own: the records of a segment are disjoint and ascending."""
    found = []
    for (disk, slot), (at, count, byte) in sorted(drawn.items()):
        length = 512 * count
        content = bytes([byte]) * length if byte else length
        found.append(Write(disk, 512 * (SLOT * slot + at), content))
    return found


_WRITES = st.dictionaries(
    st.tuples(st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.integers(0, SLOT // 2), st.integers(1, SLOT // 2), st.integers(0, 3)),
    min_size=1,
    max_size=4,
).map(writes_of)


@settings(max_examples=25, deadline=None)
@given(points=st.lists(_WRITES, min_size=2, max_size=4), applied=st.integers(0, 3))
def test_they_show_any_point_of_any_history(points: list[list[Write]], applied: int) -> None:
    bench = vhdx_bench((3 * MIB, 3 * MIB))
    for writes in points:
        bench.deliver(*writes)
    bench.apply(applied)
    for sequence in bench.sequences:
        make(bench, sequence)
        assert shown(bench) == bench.contents[sequence]
        clean_up(bench)


def test_they_are_differencing_disks_and_nothing_of_the_point_is_copied(
    bench: LineageBench,
) -> None:
    make(bench, 2)
    with opened(bench, 0) as image:
        assert image.kind is ImageKind.DIFFERENCING
        assert image.parent is not None
        assert os.path.normpath(image.parent.path) == str(base_image(bench))
        assert [extent.kind for extent in image.extents()] == ["parent"]


def test_what_is_written_to_them_never_reaches_the_base(bench: LineageBench) -> None:
    make(bench, 2)
    path = OUT / bench.disks[0].name
    before = bench.files.read_bytes(base_image(bench), limit=64 * MIB)
    randomness = SeededRandomness(5)
    with open_path(bench.files, path, writable=True, randomness=randomness) as image:
        image.write(b"guest" + bytes(507), 0)
        image.zero(0, 2 * MIB)
    assert shown(bench)[0] == bytes(2 * MIB) + bench.contents[2][0][2 * MIB :]
    assert bench.files.read_bytes(base_image(bench), limit=64 * MIB) == before


def test_new_points_come_while_they_exist_and_the_base_waits(bench: LineageBench) -> None:
    make(bench, 2)
    bench.deliver_many(2)
    bench.apply()
    assert shown(bench) == bench.contents[2]
    clean_up(bench)
    bench.apply(5)
    bench.assert_all_points_are_right()


def test_a_child_that_outlives_its_pin_shows_nothing_rather_than_something_else(
    bench: LineageBench,
) -> None:
    make(bench, 2)
    bench.lineage.unpin("test")
    bench.apply()
    with pytest.raises(VhdxError, match="parent"):
        opened(bench, 0)


def test_a_base_whose_writer_was_killed_is_put_in_order_first(bench: LineageBench) -> None:
    path = base_image(bench)
    image = open_path(bench.files, path, writable=True, randomness=SeededRandomness(3))
    image.write(b"x" * 512, 2 * MIB)
    image.zero(2 * MIB, 512)
    image.flush()  # and never closed
    with open_path(bench.files, path) as left:
        assert left.needs_its_log
    make(bench, 2)
    assert shown(bench) == bench.contents[2]


def test_nothing_is_made_over_a_base_that_is_not_kept(bench: LineageBench) -> None:
    with pytest.raises(ReplicaError, match="has pinned no point") as error:
        next(bench.lineage.make_children("test", in_out))
    assert error.value.code == "not-pinned"


def test_nothing_is_made_over_a_base_that_is_known_to_be_damaged(bench: LineageBench) -> None:
    bench.damage(base_image(bench), -10)
    with pytest.raises(ReplicaError):
        bench.read(2)
    with pytest.raises(ReplicaError) as error:
        make(bench, 2)
    assert error.value.code == "base-damaged"
    assert bench.files.list_directory(OUT) == []


@pytest.mark.parametrize(
    ("operation", "code", "expected"),
    [
        ("write", errno.ENOSPC, "disk-full"),
        ("create", errno.EACCES, "storage-error"),
        ("sync", errno.EIO, "storage-failed"),
        ("sync_directory", errno.EIO, "storage-failed"),
    ],
)
def test_a_failure_leaves_nothing_and_the_replica_works_on(
    bench: LineageBench, operation: str, code: int, expected: str
) -> None:
    def before(found: str, path: Path) -> None:
        if found == operation and path.is_relative_to(OUT):
            raise OSError(code, "injected")

    bench.files.before = before
    with pytest.raises(ReplicaError) as error:
        make(bench, 1)
    bench.files.before = None
    assert error.value.code == expected
    assert bench.files.list_directory(OUT) == []
    make(bench, 1)
    assert shown(bench) == bench.contents[1]


def test_it_does_not_begin_what_cannot_fit(bench: LineageBench) -> None:
    bench.lineage.pin("test", 4)
    bench.files.capacity = 0
    with pytest.raises(ReplicaError, match="/out") as error:
        make(bench, 4)
    assert error.value.code == "disk-full"
    assert bench.files.list_directory(OUT) == []


def test_a_cancelled_one_leaves_nothing(bench: LineageBench) -> None:
    bench.lineage.pin("test", 1)
    steps = bench.lineage.make_children("test", in_out)
    next(steps)
    assert bench.files.list_directory(OUT) != []
    steps.close()
    assert bench.files.list_directory(OUT) == []
