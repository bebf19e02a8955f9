from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.hypervisor.interface import Mark
from agent.source.errors import ResyncRequiredError
from agent.source.passes import Leg, ResyncPass, new_initial_pass
from agent.source.reconciliation import Fate, Verdict, fate_of, judge, mark_of_pass, trusted_mark
from agent.source.state import Head, OpenAttempt, SourceState
from agent.source.status import Failure
from replikera.blocks.segment import NO_POINT, DiskGeometry
from tests.support.source_rig import ASSIGNMENT, PROTECTION

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DISKS = (DiskGeometry("disk-a", "a.vhdx", 1 << 20, 512),)
OURS, THEIRS = b"a" * 32, b"b" * 32
MACHINE = ASSIGNMENT.machine_id
FRESH = SourceState(ASSIGNMENT)
AT_FIVE = SourceState(
    ASSIGNMENT, head=Head(5, b"5" * 32, NOW, b"m" * 32, DISKS), attempt=3, mark_id="mark-5"
)
BEGUN = AT_FIVE.issued(OpenAttempt(6, 4, "view-6", NOW, b"m" * 32, DISKS))
ENDING = BEGUN.with_digest(OURS)
SEALED = ENDING.acknowledged()
FILLING = FRESH.with_initial(new_initial_pass(1, DISKS, Leg("view-1", NOW)))
FILLED = FILLING.pass_ending(OpenAttempt(1, 1, "view-1", NOW, b"m" * 32, DISKS, OURS))
COMPARING = AT_FIVE.with_resync(ResyncPass(5, b"5" * 32, DISKS, ((),), ((),), Leg("view-7", NOW)))


@pytest.mark.parametrize(
    ("state", "sequence", "digest", "verdict"),
    [
        (FRESH, 0, NO_POINT, Verdict.CONTINUE),
        (AT_FIVE, 5, b"5" * 32, Verdict.CONTINUE),
        (BEGUN, 5, b"5" * 32, Verdict.ABANDON),
        (ENDING, 5, b"5" * 32, Verdict.ABANDON),
        (ENDING, 6, OURS, Verdict.ACKNOWLEDGED),
        (FILLING, 0, NO_POINT, Verdict.CONTINUE),
        (FILLED, 0, NO_POINT, Verdict.ABANDON),
        (FILLED, 1, OURS, Verdict.ACKNOWLEDGED),
    ],
)
def test_a_head_that_is_one_of_ours_is_understood(
    state: SourceState, sequence: int, digest: bytes, verdict: Verdict
) -> None:
    assert judge(state, sequence, digest) is verdict


@pytest.mark.parametrize(
    ("state", "sequence", "digest", "words"),
    [
        (FRESH, 1, THEIRS, "newest recovery point is 1, .* is 0"),
        (AT_FIVE, 5, THEIRS, "recovery point 5 .* other content"),
        (AT_FIVE, 4, b"4" * 32, "newest recovery point is 4"),
        (AT_FIVE, 6, OURS, "newest recovery point is 6"),
        (AT_FIVE, 0, NO_POINT, "newest recovery point is 0"),
        (BEGUN, 6, OURS, "newest recovery point is 6"),
        (ENDING, 6, THEIRS, "recovery point 6 .* other content"),
        (ENDING, 7, OURS, "newest recovery point is 7"),
        (FILLED, 1, THEIRS, "recovery point 1 .* other content"),
    ],
)
def test_every_other_head_requires_a_resync(
    state: SourceState, sequence: int, digest: bytes, words: str
) -> None:
    with pytest.raises(ResyncRequiredError, match=f"(?i){words}") as raised:
        judge(state, sequence, digest)
    assert raised.value.failure.code == "diverged"


@pytest.mark.parametrize("mark_id", ["mark-5", "view-6"])
def test_the_mark_of_the_head_or_an_older_one_is_trusted(mark_id: str) -> None:
    mark = Mark(mark_id, MACHINE, PROTECTION)
    assert trusted_mark(SEALED, mark) is mark


@pytest.mark.parametrize(
    ("mark", "code"),
    [
        (None, "mark-missing"),
        (Mark("other", MACHINE, PROTECTION), "mark-foreign"),
        (Mark("", MACHINE, PROTECTION), "mark-foreign"),
        (Mark("mark-5", "machine-2", PROTECTION), "mark-foreign"),
    ],
)
def test_any_other_mark_requires_a_resync(mark: Mark | None, code: str) -> None:
    with pytest.raises(ResyncRequiredError) as raised:
        trusted_mark(SEALED, mark)
    assert raised.value.failure.code == code


@pytest.mark.parametrize(
    ("mark", "is_ours"),
    [
        (None, False),
        (Mark("view-1", MACHINE, PROTECTION), True),
        (Mark("mark-0", MACHINE, PROTECTION), True),
        (Mark("mark-0", "machine-2", PROTECTION), False),
        (Mark("other", MACHINE, PROTECTION), False),
        (Mark("", MACHINE, PROTECTION), False),
    ],
)
def test_a_pass_goes_on_from_its_own_mark_alone(mark: Mark | None, *, is_ours: bool) -> None:
    state = replace(FILLING, mark_id="mark-0")
    assert (mark_of_pass(state, mark) is mark) is (is_ours or mark is None)
    assert (mark_of_pass(state, mark) is not None) is is_ours


@pytest.mark.parametrize(
    ("state", "view_id", "is_held", "is_over", "fate"),
    [
        # the view of an acknowledged head becomes the mark, whoever is there to hear of it
        (SEALED, "view-6", False, False, Fate.KEEP),
        (SEALED, "view-6", False, True, Fate.KEEP),
        # one that the target may have acknowledged waits
        (ENDING, "view-6", False, False, Fate.STAY),
        (ENDING, "view-6", False, True, Fate.DISCARD),
        # one whose attempt can go on in this process too
        (BEGUN, "view-6", True, False, Fate.STAY),
        (BEGUN, "view-6", True, True, Fate.DISCARD),
        (BEGUN, "view-6", False, False, Fate.DISCARD),
        # that of a pass stays, or becomes the mark
        (FILLING, "view-1", False, False, Fate.STAY),
        (FILLING, "view-1", True, True, Fate.KEEP),
        (FILLED, "view-1", False, True, Fate.KEEP),
        (COMPARING, "view-7", False, False, Fate.STAY),
        (COMPARING, "view-7", False, True, Fate.KEEP),
        # strangers go
        (AT_FIVE, "other", False, False, Fate.DISCARD),
        (FILLING, "other", False, False, Fate.DISCARD),
        (SEALED.resync_required(Failure("a", "b", "c")), "view-6", True, False, Fate.DISCARD),
        (FILLING.stopping(), "view-1", True, False, Fate.DISCARD),
    ],
)
def test_every_view_has_its_fate(
    state: SourceState, view_id: str, fate: Fate, *, is_held: bool, is_over: bool
) -> None:
    assert fate_of(state, view_id, is_held=is_held, is_over=is_over) is fate
