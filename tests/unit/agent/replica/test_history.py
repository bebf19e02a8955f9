"""Which points a replica has."""

from dataclasses import replace

from agent.replica.history import History, have_same_shape
from agent.replica.position import Position
from replikera.blocks.segment import NO_POINT
from tests.support.lineages import LineageBench
from tests.support.segments import GENERATION, disks_of


def test_nothing_has_no_head() -> None:
    history = History(Position(GENERATION, 1, 0, NO_POINT, 0, 1, 5))
    assert (history.head.sequence, history.head.chain_digest) == (0, NO_POINT)
    assert history.head.attempt_floor == 5
    assert history.newest is None
    assert history.points == ()
    assert history.find(0) is None
    assert history.find(1) is None


def test_points_are_found_on_both_sides_of_the_base() -> None:
    bench = LineageBench()
    bench.deliver_many(4)
    bench.apply(2)
    history = bench.lineage.history
    assert ([record.sequence for record in history.below], len(history.above)) == ([1, 2, 3], 1)
    found = [record.sequence if (record := history.find(number)) else 0 for number in range(6)]
    assert found == [0, 1, 2, 3, 4, 0]
    assert history.newest is history.above[0]
    assert history.head.sequence == 4
    released = replace(history, below=history.below[1:], above=())
    assert released.find(1) is None
    assert released.head.sequence == 3


def test_shape_is_identity_and_size() -> None:
    disks = disks_of(512, 1024)
    assert have_same_shape(disks, tuple(replace(disk, name="x") for disk in disks))
    assert not have_same_shape(disks, disks[:1])
    assert not have_same_shape(disks, disks_of(512, 512))
    assert not have_same_shape(disks, tuple(reversed(disks)))
