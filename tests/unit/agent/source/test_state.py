from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.source.assignment import Assignment
from agent.source.passes import Leg, ResyncPass, new_initial_pass
from agent.source.state import (
    NO_HEAD,
    Head,
    NamedPoint,
    NameRequest,
    OpenAttempt,
    SourceState,
    contradiction,
)
from agent.source.status import Failure
from agent.source.verification import Verification
from replikera.blocks.segment import NO_POINT, DiskGeometry

PROTECTION = "11111111-1111-4111-8111-111111111111"
VERIFICATION = "44444444-1111-4111-8111-111111111111"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DISKS = (DiskGeometry("disk-a", "a.vhdx", 1 << 20, 512),)
ASSIGNMENT = Assignment(
    PROTECTION,
    1,
    "22222222-2222-4222-8222-222222222222",
    "machine-1",
    "target",
    "host:1",
    timedelta(seconds=30),
)
FRESH = SourceState(ASSIGNMENT)
FAILURE = Failure("diverged", "Because.", "Do.")
D, E, M = b"d" * 32, b"e" * 32, b"m" * 32


def attempt(state: SourceState, view_id: str = "view-1", **changes: Any) -> OpenAttempt:
    return OpenAttempt(
        state.head.sequence + 1, state.attempt + 1, view_id, NOW, M, DISKS, None, **changes
    )


FILLING = FRESH.with_initial(new_initial_pass(1, DISKS, Leg("view-1", NOW)))
ENDING = FILLING.pass_ending(replace(attempt(FRESH), digest=D))
FIRST = ENDING.acknowledged()
ISSUED = FIRST.issued(attempt(FIRST, "view-2"))
PENDING = ISSUED.with_digest(E)
SECOND = PENDING.acknowledged()


def test_an_initial_pass_ends_in_the_first_point() -> None:
    assert FILLING.leg == Leg("view-1", NOW)
    assert ENDING.open is not None
    assert (ENDING.open.sequence, ENDING.open.attempt) == (1, 1)
    assert (FIRST.head.sequence, FIRST.head.digest, FIRST.open, FIRST.initial) == (1, D, None, None)
    assert FIRST.unsettled_view_id == "view-1"


def test_an_attempt_is_followed_by_a_head_and_a_higher_attempt() -> None:
    assert (SECOND.head.sequence, SECOND.head.digest, SECOND.open) == (2, E, None)
    assert SECOND.unsettled_view_id == "view-2"
    above = SECOND.with_attempt_floor(9)
    third = above.issued(attempt(above)).open
    assert third is not None
    assert (third.sequence, third.attempt) == (3, 10)


def test_an_abandoned_attempt_s_number_is_not_given_again() -> None:
    again = PENDING.abandoned()
    assert again.issued(attempt(again)).attempt == 3
    with pytest.raises(AssertionError, match="next attempt"):
        again.issued(replace(attempt(again), attempt=2))


def test_a_floor_below_our_own_attempts_changes_nothing() -> None:
    assert ISSUED.with_attempt_floor(0) == ISSUED


def test_no_attempt_begins_inside_another_or_after_a_required_resync() -> None:
    with pytest.raises(AssertionError, match="open"):
        ISSUED.issued(attempt(ISSUED))
    stopped = FIRST.resync_required(FAILURE)
    with pytest.raises(AssertionError, match="none may"):
        stopped.issued(attempt(stopped))


def test_a_segment_without_trailer_is_never_acknowledged() -> None:
    with pytest.raises(AssertionError, match="without trailer"):
        ISSUED.acknowledged()


def test_a_pass_ends_once_and_only_its_own() -> None:
    with pytest.raises(AssertionError, match="not under way"):
        FRESH.pass_ending(replace(attempt(FRESH), digest=D))
    with pytest.raises(AssertionError, match="not under way"):
        FILLING.pass_ending(replace(attempt(FRESH), attempt=2, digest=D))


def test_a_pass_that_the_target_goes_on_with_has_not_ended() -> None:
    assert ENDING.initial is not None
    assert ENDING.pass_opened(ENDING.initial).open is None


@pytest.mark.parametrize(
    ("state", "may_send"),
    [
        (FRESH, True),
        (FRESH.ordered(replace(ASSIGNMENT, is_paused=True)), False),
        (FRESH.stopping(), False),
        (FRESH.resync_required(FAILURE), False),
    ],
)
def test_something_is_sent_unless_it_was_ordered_otherwise(
    state: SourceState, may_send: bool
) -> None:
    assert state.may_send is may_send


def test_an_application_consistent_capture_is_remembered_when_it_is_acknowledged() -> None:
    due = FIRST.issued(attempt(FIRST, is_application_due=True))
    assert due.application_due_from is None
    sealed = due.with_digest(E).acknowledged()
    assert sealed.application_due_from == NOW
    third = sealed.issued(attempt(sealed)).with_digest(D).acknowledged()
    assert third.application_due_from == NOW


def test_a_resync_replaces_what_required_it() -> None:
    ordered = SECOND.resync_required(FAILURE).resynchronizing()
    assert (ordered.resync, ordered.resyncing) == (None, ResyncPass())
    under_way = ordered.adopted(2, E)
    assert under_way.resynchronizing() == under_way


def test_a_resync_of_what_is_still_being_copied_is_nothing_new() -> None:
    assert FILLING.resynchronizing() == FILLING
    assert FRESH.resynchronizing() == FRESH
    diverged = FILLING.resync_required(FAILURE).resynchronizing()
    assert diverged.resyncing == ResyncPass()


def test_a_resync_takes_the_target_s_head_as_it_is() -> None:
    ordered = PENDING.resync_required(FAILURE).resynchronizing()
    same = ordered.adopted(1, D)
    assert (same.head, same.open) == (FIRST.head, None)
    other = ordered.adopted(7, b"x" * 32)
    assert other.head == Head(7, b"x" * 32, None, NO_POINT, DISKS)
    assert other.resyncing == ResyncPass(7, b"x" * 32)


def test_only_the_segment_with_all_differences_ends_a_resync() -> None:
    ordered = SECOND.resynchronizing().adopted(2, E)
    older = PENDING.resynchronizing()
    assert older.acknowledged().resyncing == ResyncPass()
    ending = ordered.issued(attempt(ordered, ends_resync=True)).with_digest(D).acknowledged()
    assert ending.resyncing is None
    assert ordered.resync_required(FAILURE).resyncing is None


def test_beginning_anew_gives_no_number_twice() -> None:
    anew = PENDING.begun_anew()
    assert (anew.head, anew.open, anew.unsettled_view_id) == (NO_HEAD, None, "")
    assert anew.attempt == PENDING.attempt


def test_a_view_of_a_pass_becomes_the_mark() -> None:
    off = FILLING.off_view("view-1")
    assert (off.leg, off.mark_id) == (None, "view-1")
    resyncing = SECOND.resynchronizing().with_resync(ResyncPass(leg=Leg("view-3", NOW)))
    assert resyncing.leg == Leg("view-3", NOW)
    assert resyncing.off_view("view-3").leg is None


def test_a_verification_begins_once_for_each_id() -> None:
    begun = SECOND.verifying(VERIFICATION)
    assert begun.verification == Verification(VERIFICATION)
    half = begun.checked(Verification(VERIFICATION, 512, 1024), NOW)
    assert half.verifying(VERIFICATION) == half
    assert half.verifying(PROTECTION).verification == Verification(PROTECTION)


def test_a_verification_that_was_ordered_meanwhile_is_not_overwritten() -> None:
    newer = SECOND.verifying(PROTECTION).checked(Verification(VERIFICATION, 512), NOW)
    assert newer.verification == Verification(PROTECTION)
    assert newer.compared_at == NOW
    assert newer.checked(None, None).compared_at == NOW
    assert newer.checked(None, None).verification == Verification(PROTECTION)


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (FRESH, ""),
        (FILLING, ""),
        (ENDING, ""),
        (PENDING, ""),
        (SECOND.resynchronizing(), ""),
        (replace(FRESH, head=replace(NO_HEAD, digest=D)), "digest"),
        (replace(FIRST, head=replace(FIRST.head, digest=NO_POINT)), "digest"),
        (replace(ISSUED, attempt=0), "open attempt"),
        (replace(ISSUED, head=NO_HEAD), "open attempt"),
        (replace(FILLING, attempt=0), "initial pass"),
        (replace(FIRST, initial=FILLING.initial), "initial pass"),
    ],
)
def test_what_cannot_be_is_named(state: SourceState, problem: str) -> None:
    assert problem in contradiction(state, PROTECTION)
    assert bool(problem) == bool(contradiction(state, PROTECTION))


@pytest.mark.parametrize(
    "pending", [((),) * 2, (((-512, 0),),), (((0, 0),),), (((0, 2 << 20),),), ((("x", 1),),)[:0]]
)
def test_ranges_that_no_disk_has_are_named(
    pending: tuple[tuple[tuple[int, int], ...], ...],
) -> None:
    assert FILLING.initial is not None
    broken = replace(FILLING, initial=replace(FILLING.initial, pending=pending))
    assert "a pass has" in contradiction(broken, PROTECTION)


def test_a_state_of_another_protection_is_named() -> None:
    assert "about protection" in contradiction(FRESH, VERIFICATION)


WISH = NameRequest("wish-1", "before patch day")


def test_a_wish_ends_with_the_point_that_was_begun_for_it() -> None:
    wishing = SECOND.wishing(WISH)
    issued = wishing.issued(attempt(wishing, "view-3", naming=WISH)).with_digest(D)
    sealed = issued.acknowledged()
    assert sealed.naming is None
    assert sealed.named == NamedPoint("wish-1", ASSIGNMENT.generation, 3)
    assert sealed.wishing(WISH) == sealed


def test_a_wish_that_came_later_waits_for_the_next_point() -> None:
    issued = SECOND.issued(attempt(SECOND, "view-3")).with_digest(D)
    assert issued.wishing(WISH).acknowledged().naming == WISH
    other = NameRequest("wish-2", "after")
    named = SECOND.issued(attempt(SECOND, "view-3", naming=WISH)).with_digest(D)
    assert named.wishing(other).acknowledged().naming == other


def test_a_wish_is_taken_back_by_its_id_alone() -> None:
    wishing = SECOND.wishing(WISH)
    assert wishing.without_wish("wish-2") == wishing
    assert wishing.without_wish("wish-1") == SECOND


def test_a_point_that_was_abandoned_leaves_the_wish() -> None:
    wishing = SECOND.wishing(WISH)
    issued = wishing.issued(attempt(wishing, "view-3", naming=WISH))
    assert issued.abandoned().naming == WISH
