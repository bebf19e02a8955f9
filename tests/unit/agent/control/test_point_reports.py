from collections.abc import Sequence

import pytest

from agent.control import point_reports
from agent.control.point_reports import ANSWER_SECONDS, MAX_SEQUENCE, PointReports
from agent.replica.announcements import PointsChanged
from agent.replica.points import SealedPoint
from replikera.wire.v1 import session_pb2
from tests.unit.agent.fakes import sealed_point


class Replica:
    def __init__(self, *sequences: int) -> None:
        self.kept = [sealed_point(sequence, "g") for sequence in sequences]
        self.applied = 0

    def processed(self) -> int:
        return self.applied

    def points(self) -> list[SealedPoint]:
        return self.kept


def reports_of(**replicas: Replica) -> PointReports:
    reports = PointReports()
    for name, replica in replicas.items():
        reports.watch(name, "g", replica.points, replica.processed)
    return reports


def change(new: Sequence[SealedPoint], released: Sequence[int]) -> PointsChanged:
    return PointsChanged(tuple(new), tuple(released), 0)


def take(reports: PointReports, now: float = 0) -> session_pb2.RecoveryPointReport:
    page = reports.take(now)
    assert page is not None
    return page


def answered(reports: PointReports, now: float = 0) -> session_pb2.RecoveryPointReport:
    page = take(reports, now)
    reports.accepted(page.number)
    return page


def sequences(page: session_pb2.RecoveryPointReport) -> list[int]:
    return [point.sequence for point in page.points]


def covered(page: session_pb2.RecoveryPointReport) -> tuple[int, int]:
    return page.covers_from, page.covers_to


def test_first_page_is_the_whole_list_newest_first() -> None:
    page = take(reports_of(p=Replica(1, 2)))
    assert (page.protection_id, page.generation) == ("p", "g")
    assert covered(page) == (1, MAX_SEQUENCE)
    assert sequences(page) == [2, 1]


def test_replica_without_points_is_reported_as_empty() -> None:
    page = take(reports_of(p=Replica()))
    assert covered(page) == (1, MAX_SEQUENCE)
    assert sequences(page) == []


def test_one_page_is_on_its_way_at_a_time() -> None:
    reports = reports_of(p=Replica(1), q=Replica(2))
    first = take(reports)
    assert reports.take(1) is None
    reports.accepted(first.number + 7)
    assert reports.take(1) is None
    reports.accepted(first.number)
    second = take(reports, 1)
    assert second.protection_id != first.protection_id
    assert second.number > first.number


def test_pages_of_a_long_list_cover_every_sequence_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(point_reports, "MAX_PAGE_POINTS", 2)
    reports = reports_of(p=Replica(1, 2, 3, 4, 5))
    pages = [answered(reports) for _ in range(3)]
    assert [sequences(page) for page in pages] == [[5, 4], [3, 2], [1]]
    assert [covered(page) for page in pages] == [(4, MAX_SEQUENCE), (2, 3), (1, 1)]
    assert {page.generation for page in pages} == {"g"}
    assert reports.take(0) is None


def test_page_stays_below_its_size_even_with_long_names() -> None:
    replica = Replica()
    replica.kept = [sealed_point(n, "g", name="n" * 60_000) for n in range(1, 8)]
    reports = reports_of(p=replica)
    pages = [answered(reports) for _ in range(3)]
    assert [sequences(page) for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]
    assert max(page.ByteSize() for page in pages) < 256 * 1024


def test_long_list_does_not_keep_other_protections_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(point_reports, "MAX_PAGE_POINTS", 1)
    reports = reports_of(p=Replica(1, 2, 3), q=Replica(4))
    assert [answered(reports).protection_id for _ in range(4)] == ["p", "q", "p", "p"]


def test_changes_follow_the_list() -> None:
    reports = reports_of(p=Replica(1))
    answered(reports)
    reports.changed("p", change([sealed_point(2, "g"), sealed_point(3, "g")], [1]))
    page = answered(reports)
    assert covered(page) == (0, 0)
    assert (sequences(page), list(page.released)) == ([2, 3], [1])
    assert reports.take(0) is None


def test_point_that_came_and_went_is_only_reported_as_gone() -> None:
    reports = reports_of(p=Replica(1))
    answered(reports)
    reports.changed("p", change([sealed_point(2, "g")], []))
    reports.changed("p", change([], [2]))
    page = answered(reports)
    assert (sequences(page), list(page.released)) == ([], [2])


def test_change_before_the_list_was_taken_is_in_the_list() -> None:
    replica = Replica(1)
    reports = reports_of(p=replica)
    replica.kept.append(sealed_point(2, "g"))
    reports.changed("p", change([sealed_point(2, "g")], []))
    assert sequences(answered(reports)) == [2, 1]
    assert reports.take(0) is None


def test_new_conversation_begins_with_the_whole_list() -> None:
    replica = Replica(1)
    reports = reports_of(p=replica)
    take(reports)
    reports.restart()
    replica.kept.append(sealed_point(2, "g"))
    page = answered(reports)
    assert covered(page) == (1, MAX_SEQUENCE)
    assert sequences(page) == [2, 1]


def test_too_many_waiting_changes_become_the_whole_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_reports, "MAX_WAITING_CHANGES", 3)
    replica = Replica(1)
    reports = reports_of(p=replica)
    answered(reports)
    replica.kept = [sealed_point(n, "g") for n in range(2, 6)]
    for point in replica.kept:
        reports.changed("p", change([point], []))
    page = answered(reports)
    assert covered(page) == (1, MAX_SEQUENCE)
    assert sequences(page) == [5, 4, 3, 2]
    assert reports.take(0) is None


def test_page_without_an_answer_gives_way_and_its_list_is_due_with_the_next_change() -> None:
    replica = Replica(1)
    reports = reports_of(p=replica, q=Replica(9))
    assert take(reports, 0).protection_id == "p"
    assert reports.take(ANSWER_SECONDS - 1) is None
    assert answered(reports, ANSWER_SECONDS).protection_id == "q"
    assert reports.take(ANSWER_SECONDS) is None
    replica.kept.append(sealed_point(2, "g"))
    reports.changed("p", change([sealed_point(2, "g")], []))
    page = answered(reports, ANSWER_SECONDS)
    assert covered(page) == (1, MAX_SEQUENCE)
    assert sequences(page) == [2, 1]


def test_removed_replica_is_forgotten_in_the_middle_of_its_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(point_reports, "MAX_PAGE_POINTS", 1)
    reports = reports_of(p=Replica(1, 2), q=Replica(3))
    page = take(reports)
    assert page.protection_id == "p"
    reports.forget("p")
    reports.changed("p", change([sealed_point(4, "g")], [1]))
    assert answered(reports).protection_id == "q"
    reports.accepted(page.number)
    assert reports.take(ANSWER_SECONDS * 2) is None


def test_unknown_replica_is_forgotten_without_a_word() -> None:
    reports = reports_of(q=Replica(3))
    page = take(reports)
    reports.forget("p")
    assert reports.take(0) is None
    reports.accepted(page.number)


def test_every_page_says_which_point_the_base_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_reports, "MAX_PAGE_POINTS", 1)
    replica = Replica(1, 2)
    reports = reports_of(p=replica)
    first = answered(reports)
    replica.applied = 2
    assert (first.processed_sequence, answered(reports).processed_sequence) == (0, 0)
    reports.changed("p", PointsChanged((), (), 2))
    page = answered(reports)
    assert (sequences(page), list(page.released), covered(page)) == ([], [], (0, 0))
    assert page.processed_sequence == 2
    assert reports.take(0) is None
