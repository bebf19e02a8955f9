"""Points whose time is over."""

from datetime import timedelta

import pytest

from agent.replica import retention
from tests.support.lineages import LineageBench

HOUR = timedelta(hours=1)


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(5)
    bench.apply(3)
    return bench


def test_the_oldest_go_and_the_rest_stays_restorable(bench: LineageBench) -> None:
    assert bench.lineage.release(bench.now(5), 3 * HOUR) == 1
    assert bench.sequences == [2, 3, 4, 5]
    bench.assert_all_points_are_right()
    bench.reopen()
    assert bench.sequences == [2, 3, 4, 5]
    bench.assert_all_points_are_right()
    assert bench.files.status(bench.layout.undo_file(2)) is None
    assert bench.files.status(bench.layout.point_file(1)) is None
    assert bench.files.status(bench.layout.undo_file(3)) is not None


def test_a_point_exactly_as_old_as_the_retention_stays(bench: LineageBench) -> None:
    assert bench.lineage.release(bench.now(5), 4 * HOUR) == 0
    assert bench.lineage.release(bench.now(5) + timedelta(microseconds=1), 4 * HOUR) == 1


def test_the_base_and_everything_above_it_stay(bench: LineageBench) -> None:
    assert bench.lineage.release(bench.now(900), timedelta(0)) == 3
    assert bench.sequences == [4, 5]
    bench.apply()
    assert bench.lineage.release(bench.now(900), timedelta(0)) == 1
    assert bench.sequences == [5]
    bench.assert_all_points_are_right()
    assert bench.lineage.release(bench.now(900), timedelta(0)) == 0
    bench.reopen()
    assert bench.sequences == [5]


def test_nothing_is_released_of_nothing() -> None:
    assert LineageBench().lineage.release(LineageBench().now(9), timedelta(0)) == 0


def test_a_clock_that_went_back_does_not_release_around_a_point(bench: LineageBench) -> None:
    late = LineageBench()
    late.deliver_many(1)
    late.now = lambda sequence: bench.now(10 - sequence)  # type: ignore[method-assign]  # the clock
    late.deliver_many(3)
    late.apply(3)
    assert late.lineage.release(bench.now(9), 2 * HOUR) == 1
    assert late.sequences == [2, 3, 4]


def test_a_turn_is_bounded(bench: LineageBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_RELEASES", 2)
    assert bench.lineage.release(bench.now(900), timedelta(0)) == 2
    assert bench.lineage.release(bench.now(900), timedelta(0)) == 1
