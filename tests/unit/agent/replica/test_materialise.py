"""Points as standalone disks."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.images import VhdxImages
from replikera.blocks.segment import DiskGeometry
from replikera.vhdx import ImageKind, open_image
from tests.support.lineages import OUT, LineageBench
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import Write

MIB = 1 << 20


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(4)
    bench.apply()
    return bench


def in_out(disk: DiskGeometry) -> Path:
    return OUT / disk.name


def run(
    bench: LineageBench, sequence: int, path: Callable[[DiskGeometry], Path] = in_out
) -> object:
    last: object = None
    for item in bench.lineage.materialise(sequence, path):
        last = item
    return last


def test_the_disks_are_named_and_durable(bench: LineageBench) -> None:
    found = run(bench, 1)
    assert found == tuple((disk, OUT / disk.name) for disk in bench.disks)
    assert not [change for change in bench.files.pending() if str(OUT) in change.description]


def test_the_replica_is_only_read(bench: LineageBench) -> None:
    operations: list[Path] = []
    bench.files.before = lambda _operation, path: operations.append(path)
    run(bench, 1)
    run_paths = {path for path in operations if not path.is_relative_to(OUT)}
    assert run_paths == set()
    assert operations != []


def test_the_disks_are_independent_of_what_is_applied_later(bench: LineageBench) -> None:
    run(bench, 2)
    bench.apply(2)
    path = OUT / bench.disks[0].name
    assert bench.files.read_bytes(path, limit=1 << 20) == bench.contents[2][0]


def test_a_thin_disk_stays_thin() -> None:
    size = 256 * MIB
    bench = LineageBench(sizes=(size,), image_format=VhdxImages(SeededRandomness(1)))
    bench.deliver(Write(0, 100 * MIB, b"a" * 512))
    bench.deliver(Write(0, 0, 100 * MIB + 512), Write(0, 200 * MIB, b"b" * 512))
    bench.apply()
    run(bench, 1)
    path = OUT / bench.disks[0].name
    with open_image(bench.files.open_read(path)) as image:
        assert image.kind is ImageKind.DYNAMIC
        assert (image.size, image.logical_sector_size) == (size, 512)
        assert list(image.data_extents()) == [(100 * MIB, 2 * MIB)]
        assert image.read(1024, 100 * MIB) == b"a" * 512 + bytes(512)
        assert image.read(1024, 200 * MIB) == bytes(1024)
    status = bench.files.status(path)
    assert status is not None
    assert status.allocated < MIB, "a hole of the base was copied"


def test_a_taken_path_is_left_alone(bench: LineageBench) -> None:
    taken = OUT / bench.disks[1].name
    bench.files.append(taken, b"precious")
    with pytest.raises(ReplicaError, match=str(taken)) as error:
        run(bench, 1)
    assert error.value.code == "path-taken"
    assert bench.files.read_bytes(taken, limit=100) == b"precious"
    assert bench.files.list_directory(OUT) == [taken.name]


def test_two_disks_at_one_path_are_refused(bench: LineageBench) -> None:
    with pytest.raises(ReplicaError) as error:
        run(bench, 1, lambda _disk: OUT / "same")
    assert error.value.code == "path-taken"
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
        run(bench, 1)
    bench.files.before = None
    assert error.value.code == expected
    assert bench.files.list_directory(OUT) == []
    bench.deliver_many(1)
    bench.apply()
    bench.assert_all_points_are_right()


def test_it_does_not_begin_what_cannot_fit(bench: LineageBench) -> None:
    bench.files.capacity = 0
    with pytest.raises(ReplicaError, match="/out") as error:
        run(bench, 1)
    assert error.value.code == "disk-full"
    assert bench.files.list_directory(OUT) == []


def test_a_cancelled_one_leaves_nothing(bench: LineageBench) -> None:
    steps = bench.lineage.materialise(1, in_out)
    next(steps)
    assert bench.files.list_directory(OUT) != []
    steps.close()
    assert bench.files.list_directory(OUT) == []


@pytest.mark.parametrize(("sequence", "kind"), [(1, "undo"), (4, "redo")])
def test_damage_is_never_handed_out(bench: LineageBench, sequence: int, kind: str) -> None:
    undo, redo = bench.layout.undo_file(2), bench.layout.redo_file(3)
    bench.damage(undo if kind == "undo" else redo, 900)
    with pytest.raises(ReplicaError) as error:
        run(bench, sequence)
    assert error.value.code == "replica-damaged"
    assert bench.files.list_directory(OUT) == []
    assert bench.read(2) == bench.contents[2]
