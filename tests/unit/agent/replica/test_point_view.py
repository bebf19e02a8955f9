"""Any point, read in place."""

import random

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.images import VhdxImages
from agent.replica.point_digests import NO_DIGEST
from agent.replica.point_view import PointView
from replikera.blocks.segment import Codec
from tests.support.lineages import LineageBench
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import Write

MIB = 1 << 20


def content(view: PointView) -> tuple[bytes, ...]:
    """Read every disk whole, and check that what has no data, or is a hole, is zeros."""
    found = []
    for disk, geometry in enumerate(view.disks):
        buffer = bytearray(b"?" * geometry.size)
        view.read_into(disk, memoryview(buffer), 0)
        rest = bytearray(buffer)
        stored = view.stored_extents(disk)
        assert not len(stored.subtract(view.data_extents(disk)))
        for offset, length in stored:
            rest[offset : offset + length] = bytes(length)
        assert not any(rest), "there is data outside the stored extents"
        found.append(bytes(buffer))
    return tuple(found)


def assert_all_points_are_right(bench: LineageBench) -> None:
    for sequence in bench.sequences:
        with bench.lineage.open_view(sequence) as view:
            assert content(view) == bench.contents[sequence], f"point {sequence}"


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(6)
    return bench


@pytest.mark.parametrize("applied", range(6))
def test_points_on_both_sides_of_the_base(bench: LineageBench, applied: int) -> None:
    bench.apply(applied)
    assert_all_points_are_right(bench)


def test_points_over_a_base_that_is_half_written(bench: LineageBench) -> None:
    bench.apply(2)
    bench.interrupt_apply()
    assert_all_points_are_right(bench)
    bench.reopen()
    assert_all_points_are_right(bench)


def test_points_over_vhdx() -> None:
    images = VhdxImages(SeededRandomness(1))
    bench = LineageBench(sizes=(8 * MIB, 4 * MIB), image_format=images)
    bench.deliver_many(4)
    bench.apply(1)
    assert_all_points_are_right(bench)


def test_packed_segments_are_unpacked(bench: LineageBench) -> None:
    for codec in Codec:
        bench.deliver(Write(0, 512, b"packed, " * 256), codec=codec)
    assert_all_points_are_right(bench)
    bench.apply(7)
    assert_all_points_are_right(bench)


def test_any_part_of_a_disk_can_be_read(bench: LineageBench) -> None:
    bench.apply(2)
    chooser = random.Random(7)
    with bench.lineage.open_view(4) as view:
        for _ in range(50):
            start = chooser.randrange(8)
            end = chooser.randrange(start + 1, 9)
            buffer = bytearray((end - start) * 512)
            view.read_into(0, memoryview(buffer), start * 512)
            assert buffer == bench.contents[4][0][start * 512 : end * 512]


def test_a_view_ends_when_the_base_moves(bench: LineageBench) -> None:
    with bench.lineage.open_view(3) as view:
        seen = [view.is_current]
        bench.apply(1)
        assert [*seen, view.is_current] == [True, False]
        with pytest.raises(ReplicaError, match="moved") as raised:
            view.read_into(0, memoryview(bytearray(512)), 0)
        assert raised.value.code == "view-ended"


def test_a_view_ends_when_its_point_is_released(bench: LineageBench) -> None:
    bench.apply(5)
    with bench.lineage.open_view(1) as first, bench.lineage.open_view(4) as later:
        bench.lineage.release(bench.now(100), bench.now(2) - bench.now(0))
        assert (first.is_current, later.is_current) == (False, False)
    with pytest.raises(ReplicaError, match="no recovery point 1"):
        bench.lineage.open_view(1)


def test_the_base_moving_while_it_is_read_is_noticed(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.lineage.open_view(6) as view:
        read = view._read_base

        def interrupted(disk: int, buffer: memoryview, offset: int) -> None:
            bench.apply(1)
            read(disk, buffer, offset)

        monkeypatch.setattr(view, "_read_base", interrupted)
        with pytest.raises(ReplicaError) as raised:
            content(view)
        assert raised.value.code == "view-ended"


def test_damage_is_named_and_the_rest_stays_readable(bench: LineageBench) -> None:
    bench.apply(3)
    bench.damage_payload(bench.layout.redo_file(5), b"\5" * 1024)
    for sequence in (1, 3, 4):
        with bench.lineage.open_view(sequence) as view:
            assert content(view) == bench.contents[sequence]
    with bench.lineage.open_view(5) as view, pytest.raises(ReplicaError) as raised:
        content(view)
    assert raised.value.code == "replica-damaged"


def test_what_the_image_has_lost_does_not_pass_for_zeros(bench: LineageBench) -> None:
    bench.apply(5)
    with bench.files.open_write(bench.layout.images(1) / "00.img") as file:
        file.zero(0, file.size())
        assert list(file.data_ranges()) == []
    with pytest.raises(ReplicaError) as raised:
        bench.read(6)
    assert raised.value.code == "base-damaged"
    (*_, digest) = bench.lineage.range_digests(6, [(0, 0, bench.disks[0].size)])
    assert digest == NO_DIGEST
    bench.deliver(Write(0, 0, bench.disks[0].size))
    bench.apply()
    assert bench.read(7) == bench.contents[7]
    with pytest.raises(ReplicaError) as raised:
        bench.read(6)
    assert raised.value.code == "base-damaged"


def test_a_log_of_another_time_line_is_refused(bench: LineageBench) -> None:
    bench.apply(1)
    other = bench.files.read_bytes(bench.layout.redo_file(4), limit=MIB)
    with bench.files.open_write(bench.layout.redo_file(3)) as file:
        file.truncate(len(other))
        file.write(other, 0)
    with pytest.raises(ReplicaError) as raised:
        bench.lineage.open_view(6)
    assert raised.value.code == "replica-damaged"
