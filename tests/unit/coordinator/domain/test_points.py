from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.points import MAX_INTEGER, PointReport, reconcile
from tests.unit.coordinator.examples import LATER, NOW, recovery_point

SEQUENCES = st.sets(st.integers(1, 12))


def report(
    sequences: set[int], released: set[int] | None = None, *, complete: bool = False
) -> PointReport:
    points = tuple(recovery_point(sequence) for sequence in sorted(sequences))
    first = recovery_point(1)
    gone = tuple(sorted(released or ()))
    return PointReport(first.protection_id, first.generation, points, gone, complete, 1)


def digests(sequences: set[int]) -> dict[int, bytes]:
    return {sequence: recovery_point(sequence).chain_digest for sequence in sequences}


@given(SEQUENCES, SEQUENCES)
def test_a_complete_list_leaves_exactly_its_points(known: set[int], told: set[int]) -> None:
    changes = reconcile(digests(known), report(told, complete=True))
    added = {point.sequence for point in changes.added}
    assert (known | added) - set(changes.released) == told
    assert not added & known


@given(SEQUENCES, SEQUENCES, SEQUENCES)
def test_a_change_adds_and_releases_what_it_names(
    known: set[int], told: set[int], released: set[int]
) -> None:
    released -= told
    changes = reconcile(digests(known), report(told, released))
    added = {point.sequence for point in changes.added}
    assert (known | added) - set(changes.released) == (known | told) - released
    assert set(changes.released) <= known


def test_the_same_report_twice_changes_nothing() -> None:
    assert reconcile(digests({1, 2}), report({1, 2}, complete=True)).added == ()


@pytest.mark.parametrize("complete", [True, False])
def test_a_point_never_changes_its_content(complete: bool) -> None:
    with pytest.raises(RefusedError, match="Point 2 .* another digest"):
        reconcile({2: bytes(32)}, report({2}, complete=complete))


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
