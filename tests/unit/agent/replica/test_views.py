"""Which views are right, and the one that is kept."""

from pathlib import Path

import pytest

from agent.replica.point_view import PointView
from agent.replica.views import Views
from replikera.blocks.segment import SegmentFormatError
from replikera.ports.files import File
from tests.support.lineages import LineageBench


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(4)
    bench.apply(2)
    return bench


@pytest.fixture
def views(bench: LineageBench) -> Views:
    return Views(bench.lineage._storage, lambda: bench.lineage.history)


def kept(views: Views, bench: LineageBench, sequence: int) -> PointView:
    return views.kept(bench.lineage.find(sequence))


def test_the_view_of_one_point_is_kept_for_the_next_reader(
    views: Views, bench: LineageBench
) -> None:
    first = kept(views, bench, 3)
    assert kept(views, bench, 3) is first
    assert kept(views, bench, 2) is not first
    assert kept(views, bench, 3) is not first


def test_the_kept_view_goes_on_to_later_points_by_what_lies_between(
    views: Views, bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept(views, bench, 4)
    bench.deliver_many(2)
    opened: list[str] = []
    open_read = bench.files.open_read

    def recorded(path: Path) -> File:
        opened.append(path.name)
        return open_read(path)

    monkeypatch.setattr(bench.files, "open_read", recorded)
    view = kept(views, bench, 6)
    assert opened == [bench.layout.redo_file(number).name for number in (5, 6)]
    assert (view.record.sequence, before.is_current) == (6, view is before)
    assert content(view) == bench.contents[6]
    assert content(kept(views, bench, 5)) == bench.contents[5]


def test_a_view_of_a_base_in_doubt_goes_on_too(views: Views, bench: LineageBench) -> None:
    bench.deliver_many(2)
    bench.interrupt_apply(together=2)
    for sequence in (2, 4, 5, 6, 1, 3, 6):
        assert content(kept(views, bench, sequence)) == bench.contents[sequence]


def test_a_view_that_cannot_go_on_is_closed(views: Views, bench: LineageBench) -> None:
    kept(views, bench, 4)
    bench.deliver_many(2)
    path = bench.layout.redo_file(5)
    whole = bench.files.read_bytes(path, limit=1 << 20)
    bench.damage(path, 600)
    with pytest.raises(SegmentFormatError):
        kept(views, bench, 6)
    with bench.files.open_write(path) as file:
        file.write(whole, 0)
    assert content(kept(views, bench, 6)) == bench.contents[6]


def content(view: PointView) -> tuple[bytes, ...]:
    disks = [bytearray(disk.size) for disk in view.disks]
    for number, disk in enumerate(disks):
        view.read_into(number, memoryview(disk), 0)
    return tuple(bytes(disk) for disk in disks)


def test_no_view_outlives_a_move_of_the_base(views: Views, bench: LineageBench) -> None:
    mine, before = views.open(bench.lineage.find(3)), kept(views, bench, 3)
    views.end_all()
    assert not mine.is_current
    assert not before.is_current
    assert kept(views, bench, 3).is_current


def test_a_view_that_nobody_uses_is_closed(
    views: Views, bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(PointView, "close", lambda view: closed.append(view.record.sequence))
    kept(views, bench, 3)
    views.drop_unused()
    assert closed == []
    kept(views, bench, 3)
    views.drop_unused()
    views.drop_unused()
    assert closed == [3]
    views.drop_unused()
    assert closed == [3]


def test_a_point_is_held_for_as_long_as_the_last_reader_reads(views: Views) -> None:
    with views.hold(3):
        with views.hold(3), views.hold(2):
            assert views.held == {2, 3}
        assert views.held == {3}
    assert views.held == frozenset()
