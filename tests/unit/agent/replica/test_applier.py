"""When the base moves, and when it does not."""

from unittest.mock import patch

import pytest

from agent.replica import apply, batch
from agent.replica.errors import ReplicaError
from tests.support.lineages import LineageBench
from tests.support.segments import Write


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(5)
    return bench


def position(bench: LineageBench) -> int:
    return bench.lineage.history.position.sequence


def test_batches_follow_each_other_until_there_is_nothing_left(bench: LineageBench) -> None:
    bench.apply(together=3)
    assert position(bench) == 4
    bench.apply(together=3)
    assert (position(bench), bench.lineage.has_work) == (5, False)
    bench.apply()
    assert bench.files.list_directory(bench.layout.journal) == []
    assert len(bench.files.list_directory(bench.layout.points)) == 5
    bench.assert_all_points_are_right()


def test_a_pin_keeps_the_base_also_after_a_restart(bench: LineageBench) -> None:
    bench.apply()
    bench.lineage.pin("order-1", 3)
    for _ in range(2):
        assert not bench.lineage.has_work
        bench.apply(2)
        assert position(bench) == 2
        bench.reopen()
    bench.deliver_many(1)
    bench.lineage.unpin("order-1")
    bench.apply(together=32)
    assert position(bench) == 6
    bench.assert_all_points_are_right()


def test_a_pin_keeps_its_point_and_all_after_it_from_release(bench: LineageBench) -> None:
    bench.apply(4)
    bench.lineage.pin("order-1", 3)
    assert bench.lineage.release(bench.now(1000), bench.now(1) - bench.now(0)) == 2
    assert bench.sequences == [3, 4, 5]
    bench.lineage.unpin("order-1")
    assert bench.lineage.release(bench.now(1000), bench.now(1) - bench.now(0)) == 2
    assert bench.sequences == [5]


def test_only_a_point_that_is_there_can_be_pinned(bench: LineageBench) -> None:
    with pytest.raises(ReplicaError) as raised:
        bench.lineage.pin("order-1", 9)
    assert raised.value.code == "unknown-point"
    assert bench.lineage.pins == ()


@pytest.mark.parametrize("steps", range(1, 12))
def test_an_apply_that_is_asked_to_stop_leaves_the_base_whole_or_in_doubt(
    bench: LineageBench, steps: int
) -> None:
    with patch.object(batch, "MAX_POINTS", 2):
        generator = bench.lineage.apply_next(bench.now(0))
        for _ in range(steps):
            next(generator, None)
        bench.lineage.ask_to_stop()
        for _ in generator:
            pass
    before = position(bench)
    assert not [change for change in bench.files.pending() if "initial-1" in change.description]
    bench.lineage.pin("order-1", 2)
    bench.lineage.allow_apply()
    bench.apply(3)
    assert position(bench) == before
    bench.assert_all_points_are_right()
    bench.reopen()
    bench.assert_all_points_are_right()
    bench.lineage.unpin("order-1")
    bench.apply(3, together=2)
    assert position(bench) == 5
    bench.assert_all_points_are_right()


def test_whoever_wants_the_base_does_not_wait_until_an_apply_has_added_up_what_it_takes(
    bench: LineageBench,
) -> None:
    steps = bench.lineage.apply_next(bench.now(0))
    with patch.object(apply, "prepare") as prepare:
        assert next(steps)
        bench.lineage.ask_to_stop()
        assert list(steps) == []
    prepare.assert_not_called()
    bench.lineage.allow_apply()
    bench.apply(together=32)
    assert position(bench) == 5


def test_an_apply_whose_redo_is_lost_is_not_taken_back_under_a_pin(bench: LineageBench) -> None:
    bench.interrupt_apply(together=3)
    bench.lineage.pin("order-1", 1)
    bench.damage(bench.layout.redo_file(4), -1)
    bench.reopen()
    assert bench.lineage.history.must_roll_back
    assert bench.sequences == [1, 2, 3]
    bench.apply()
    assert bench.lineage.history.must_roll_back
    bench.assert_all_points_are_right()
    with pytest.raises(ReplicaError, match="pin"):
        bench.deliver_many(1)
    bench.lineage.unpin("order-1")
    bench.apply()
    assert (bench.lineage.history.in_doubt, position(bench)) == (0, 1)
    bench.assert_all_points_are_right()


def test_damage_inside_a_batch_costs_the_points_from_it_on(bench: LineageBench) -> None:
    bench.damage_payload(bench.layout.redo_file(4), b"\4" * 512)
    with pytest.raises(ReplicaError) as raised:
        bench.apply(together=32)
    assert raised.value.code == "replica-damaged"
    assert (bench.sequences, position(bench)) == ([1, 2, 3], 1)
    bench.apply(together=32)
    assert position(bench) == 3
    bench.assert_all_points_are_right()


def test_damage_in_the_middle_of_a_batch_that_began_takes_all_of_it_back(
    bench: LineageBench,
) -> None:
    bench.interrupt_apply(together=32)
    bench.damage_payload(bench.layout.redo_file(4), b"\4" * 512)
    with pytest.raises(ReplicaError):
        bench.apply()
    assert (bench.sequences, position(bench)) == ([1, 2, 3], 1)
    assert not bench.lineage.history.in_doubt
    bench.assert_all_points_are_right()
    bench.apply(together=32)
    bench.assert_all_points_are_right()


@pytest.mark.parametrize("lost", [2, 3, 4])
def test_lost_undo_of_a_batch_costs_the_points_below_it(bench: LineageBench, lost: int) -> None:
    bench.interrupt_apply(together=3)
    bench.files.remove(bench.layout.undo_file(lost))
    bench.reopen()
    assert bench.sequences == list(range(lost, 6))
    bench.assert_all_points_are_right()
    bench.deliver(Write(0, 512, b"on" * 256))
    bench.apply(2)
    assert bench.sequences == list(range(lost, 7))
    bench.assert_all_points_are_right()


def test_what_the_storage_refuses_is_tried_again(bench: LineageBench) -> None:
    bench.files.capacity = 1
    with pytest.raises(ReplicaError) as raised:
        bench.apply()
    assert raised.value.code == "disk-full"
    bench.files.capacity = None
    bench.apply(together=32)
    bench.assert_all_points_are_right()
