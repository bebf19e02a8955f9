from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from agent.hypervisor.interface import Mark, View
from agent.source.errors import ResyncRequiredError
from agent.source.reconciliation import KeepView, UseMark, Verdict, judge, settle
from agent.source.state import NO_HEAD, Assignment, Head, OpenAttempt, SourceState
from replikera.blocks.segment import NO_POINT
from tests.support.fake_hypervisor import describe

MACHINE = "machine-1"
TAG = "11111111-1111-4111-8111-111111111111"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASSIGNMENT = Assignment(
    TAG,
    1,
    "22222222-2222-4222-8222-222222222222",
    MACHINE,
    "target",
    "b:1",
    timedelta(seconds=30),
)
OLD, HEAD, OPEN, STRANGE = (bytes([letter]) * 32 for letter in b"ohpx")


def state_at(sequence: int, opened: str) -> SourceState:
    """Return a state whose head is `sequence`; `opened` is "none", "begun" or "pending"."""
    head = Head(sequence, HEAD, NOW, NO_POINT, ()) if sequence else NO_HEAD
    digest = OPEN if opened == "pending" else None
    attempt = OpenAttempt(sequence + 1, 4, "view-4", NOW, NO_POINT, (), digest)
    is_open = opened != "none"
    return SourceState(ASSIGNMENT, head=head, attempt=4, open=attempt if is_open else None)


def expected(sequence: int, opened: str, target: tuple[int, bytes]) -> Verdict | None:
    """Return the rules as the design words them; None is diverged."""
    if opened == "pending" and target == (sequence + 1, OPEN):
        return Verdict.ACKNOWLEDGED
    if target == (sequence, HEAD if sequence else NO_POINT):
        return Verdict.CONTINUE if opened == "none" else Verdict.ABANDON
    return None


@pytest.mark.parametrize(
    ("sequence", "opened", "target_sequence", "target_digest"),
    list(
        product(
            (0, 1, 7),
            ("none", "begun", "pending"),
            (0, 1, 2, 6, 7, 8, 9),
            (NO_POINT, OLD, HEAD, OPEN, STRANGE),
        )
    ),
)
def test_every_head_of_the_target_has_one_meaning(
    sequence: int, opened: str, target_sequence: int, target_digest: bytes
) -> None:
    state = state_at(sequence, opened)
    verdict = expected(sequence, opened, (target_sequence, target_digest))

    if verdict is None:
        with pytest.raises(ResyncRequiredError) as raised:
            judge(state, target_sequence, target_digest)
        assert raised.value.failure.code == "diverged"
        assert str(target_sequence) in raised.value.failure.cause
    else:
        assert judge(state, target_sequence, target_digest) is verdict


def test_the_table_above_reaches_every_verdict() -> None:
    cases = product((0, 7), ("none", "begun", "pending"), ((0, NO_POINT), (7, HEAD), (8, OPEN)))
    assert {expected(*case) for case in cases} == {*Verdict, None}


def test_a_divergence_tells_other_content_from_another_position() -> None:
    with pytest.raises(ResyncRequiredError, match="other content"):
        judge(state_at(7, "pending"), 8, STRANGE)
    with pytest.raises(ResyncRequiredError, match="newest recovery point is 5"):
        judge(state_at(7, "none"), 5, OLD)


def view(view_id: str) -> View:
    return View(view_id, MACHINE, TAG, describe({"disk-a": 512}), NOW)


def mark(mark_id: str, machine_id: str = MACHINE) -> Mark:
    return Mark(mark_id, machine_id, TAG)


SETTLED = replace(state_at(3, "none"), mark_id="m3")
UNSETTLED = replace(SETTLED, unsettled_view_id="v3")


@pytest.mark.parametrize(
    ("state", "views", "found", "outcome"),
    [
        (UNSETTLED, (view("v2"), view("v3")), mark("m2"), KeepView(view("v3"))),
        (UNSETTLED, (view("v3"),), None, KeepView(view("v3"))),
        (UNSETTLED, (view("v2"),), mark("m3"), UseMark(mark("m3"))),
        (UNSETTLED, (), mark("v3"), UseMark(mark("v3"))),
        (SETTLED, (), mark("m3"), UseMark(mark("m3"))),
        (SETTLED, (view("v3"),), mark("m3"), UseMark(mark("m3"))),
        (UNSETTLED, (view("v2"),), None, "mark-missing"),
        (UNSETTLED, (), mark("from-a-backup"), "mark-foreign"),
        (SETTLED, (), None, "mark-missing"),
        (SETTLED, (), mark("other"), "mark-foreign"),
        (SETTLED, (), mark("m3", "machine-2"), "mark-foreign"),
        (UNSETTLED, (), mark("m2", "machine-2"), "mark-foreign"),
    ],
)
def test_tracking_goes_on_from_the_view_or_an_older_mark_and_from_nothing_else(
    state: SourceState,
    views: tuple[View, ...],
    found: Mark | None,
    outcome: KeepView | UseMark | str,
) -> None:
    if isinstance(outcome, str):
        with pytest.raises(ResyncRequiredError) as raised:
            settle(state, views, found)
        assert raised.value.failure.code == outcome
    else:
        assert settle(state, views, found) == outcome
