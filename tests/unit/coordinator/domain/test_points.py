from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.points import MAX_INTEGER, Covered, PointChanges, PointReport, reconcile
from tests.unit.coordinator.examples import LATER, NOW, recovery_point

EVERYTHING = Covered(1, MAX_INTEGER)
SEQUENCES = st.sets(st.integers(1, 12))


def report(
    sequences: set[int], released: set[int] | None = None, *, covered: Covered | None = None
) -> PointReport:
    points = tuple(recovery_point(sequence) for sequence in sorted(sequences))
    first = recovery_point(1)
    gone = tuple(sorted(released or ()))
    return PointReport(first.protection_id, first.generation, points, gone, covered, 1)


def digests(sequences: set[int]) -> dict[int, tuple[bytes, ...]]:
    return {sequence: (recovery_point(sequence).chain_digest,) for sequence in sequences}


def after(known: set[int], changes: PointChanges) -> set[int]:
    """Return the sequences of a list after these changes."""
    left = (known | {point.sequence for point in changes.added}) - set(changes.released)
    if (covered := changes.covered) is not None:
        left -= set(range(covered.first, min(covered.last, 100) + 1)) - set(changes.named)
    return left


@given(SEQUENCES, SEQUENCES)
def test_a_complete_list_leaves_exactly_its_points(known: set[int], told: set[int]) -> None:
    changes = reconcile(digests(known), report(told, covered=EVERYTHING), NOW)
    assert after(known, changes) == told
    assert not {point.sequence for point in changes.added} & known


def test_how_far_the_target_is_goes_with_every_change() -> None:
    assert reconcile({}, replace(report(set()), processed=7), NOW).processed == 7


@given(SEQUENCES, SEQUENCES, st.integers(1, 12), st.integers(0, 11))
def test_a_page_says_nothing_of_what_it_does_not_cover(
    known: set[int], told: set[int], first: int, length: int
) -> None:
    covered = Covered(first, first + length)
    told = {sequence for sequence in told if first <= sequence <= covered.last}
    others = {sequence for sequence in known if not first <= sequence <= covered.last}
    changes = reconcile(digests(known), report(told, covered=covered), NOW)
    assert after(known, changes) == told | others


@given(SEQUENCES, SEQUENCES, SEQUENCES)
def test_a_change_adds_and_releases_what_it_names(
    known: set[int], told: set[int], released: set[int]
) -> None:
    released -= told
    changes = reconcile(digests(known), report(told, released), NOW)
    assert after(known, changes) == (known | told) - released


def test_the_same_report_twice_changes_nothing() -> None:
    assert reconcile(digests({1, 2}), report({1, 2}, covered=EVERYTHING), NOW).added == ()


def test_a_point_is_heard_of_once() -> None:
    changes = reconcile(digests({1}), report({1, 2}, covered=EVERYTHING), LATER)
    assert [(point.sequence, point.heard_at) for point in changes.added] == [(2, LATER)]


@pytest.mark.parametrize("covered", [None, EVERYTHING])
def test_a_point_never_changes_its_content(covered: Covered | None) -> None:
    known = {1: (bytes(32),), 2: (bytes(32),)}
    changes = reconcile(known, report({1, 2, 3}, covered=covered), NOW)
    assert [point.sequence for point in changes.added] == [3]
    assert [sequence for sequence, _ in changes.doubtful] == [1, 2]
    doubt = changes.doubt()
    assert doubt is not None
    assert "Point 1 and 1 more of protection" in doubt.cause
    assert reconcile(digests({1}), report({1}), NOW).doubt() is None


def test_another_content_that_was_told_before_is_no_news() -> None:
    own, other = recovery_point(1).chain_digest, bytes(32)
    assert reconcile({1: (other, own)}, report({1}), NOW).doubt() is None
    third = reconcile({1: (other, bytes(31) + b"x")}, report({1}), NOW)
    assert third.doubtful == ((1, own),)


@pytest.mark.parametrize("ends", [(0, 4), (4, 3), (1, MAX_INTEGER + 1)])
def test_a_range_that_cannot_be_is_refused(ends: tuple[int, int]) -> None:
    with pytest.raises(InvalidValueError):
        Covered(*ends)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence": 0},
        {"sequence": MAX_INTEGER + 1},
        {"payload_bytes": -1},
        {"payload_bytes": MAX_INTEGER + 1},
        {"chain_digest": bytes(31)},
        {"chain_digest": bytes(33)},
        {"name": "x" * 101},
        {"capture_started_at": LATER, "capture_ended_at": NOW},
    ],
)
def test_a_point_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        recovery_point(3, **wrong)
