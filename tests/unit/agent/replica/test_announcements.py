"""What is told of points that come and go."""

from dataclasses import replace

import pytest

from agent.replica.announcements import Announcements, PointsChanged
from agent.replica.history import History
from agent.replica.points import PointRecord
from tests.support.lineages import LineageBench


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(6)
    bench.apply(4)
    return bench


@pytest.fixture
def history(bench: LineageBench) -> History:
    return bench.lineage.history


def empty(history: History) -> History:
    return replace(history, below=(), above=())


def test_every_point_is_told_once(history: History) -> None:
    announcements = Announcements(empty(history))
    assert announcements.take(history) == PointsChanged(history.points, (), 5)
    assert announcements.take(history) is None
    assert Announcements(history).take(history) is None


def test_new_and_released_points_are_told_together(history: History) -> None:
    announcements = Announcements(replace(history, above=()))
    later = replace(history, below=history.below[2:])
    assert announcements.take(later) == PointsChanged(history.points[5:], (1, 2), 5)


def test_points_that_are_lost_at_the_newest_end_are_withdrawn(history: History) -> None:
    announcements = Announcements(history)
    assert announcements.take(replace(history, above=())) == PointsChanged((), (6,), 5)
    assert announcements.take(history) == PointsChanged(history.points[5:], (), 5)


def test_points_below_a_lost_undo_are_withdrawn_and_those_above_stay(history: History) -> None:
    announcements = Announcements(history)
    cut = replace(history, below=(), above=history.records[2:], floor=4, in_doubt=3)
    assert announcements.take(cut) == PointsChanged((), (1, 2, 3), 5)


def test_all_points_may_go_and_others_come(history: History) -> None:
    announcements = Announcements(replace(history, below=history.below[:2], above=()))
    assert announcements.take(replace(history, below=history.below[3:])) == PointsChanged(
        history.points[3:], (1, 2), 5
    )


def test_a_base_that_has_come_further_is_told_without_a_point(bench: LineageBench) -> None:
    announcements = Announcements(bench.lineage.history)
    bench.apply(1)
    assert announcements.take(bench.lineage.history) == PointsChanged((), (), 6)
    assert announcements.take(bench.lineage.history) is None


def test_a_point_costs_what_has_changed_not_what_is_there(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    find = History.find

    def counted(self: History, sequence: int) -> PointRecord | None:
        asked.append(sequence)
        return find(self, sequence)

    monkeypatch.setattr(History, "find", counted)
    announcements = Announcements(replace(history, above=()))
    announcements.take(history)
    assert asked == [6]
