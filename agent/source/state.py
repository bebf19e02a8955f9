"""What a source must still know after a crash, and how it changes: pure, one value for every protection.

The order of writes carries the promises. An attempt is recorded before its first message leaves, so that no number
is given twice. The digest is recorded before the trailer leaves, so that a lost acknowledgement can be recognised.
The head is advanced before the mark moves, so that the mark is never ahead of what the target acknowledged; the
view that still has to become the mark is remembered with it. A view of a pass is recorded, with what changed up to it,
before anything of it leaves; what remains to be done shrinks only after the target made it durable.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from agent.source.assignment import Assignment, Count
from agent.source.passes import Digest, InitialPass, Leg, ResyncPass
from agent.source.status import Failure
from agent.source.verification import Verification
from replikera.blocks.segment import NO_POINT, DiskGeometry

VERSION = 2
MAX_POINT_NAME = 100
"""Characters; the vault keeps no longer ones."""

_CONFIG = ConfigDict(extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest point that the target acknowledged as sealed; sequence 0 is "none yet".

    `capture_started_at` is None where this host did not send the point, or does not remember it.
    """

    __pydantic_config__ = _CONFIG

    sequence: Count
    digest: Digest
    capture_started_at: datetime | None
    machine_digest: Digest
    disks: tuple[DiskGeometry, ...]


NO_HEAD = Head(0, NO_POINT, None, NO_POINT, ())


@dataclass(frozen=True, slots=True)
class NameRequest:
    """Who wants the next point to have a name, by an id of the wish, and which."""

    __pydantic_config__ = _CONFIG

    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(min_length=1, max_length=MAX_POINT_NAME)]


@dataclass(frozen=True, slots=True)
class NamedPoint:
    """The point that was sealed for the last wish of a name."""

    __pydantic_config__ = _CONFIG

    request_id: str
    generation: str
    sequence: Count


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt at the next sequence, neither acknowledged nor abandoned.

    `digest` is None as long as the trailer cannot have left. `is_application_due`: the view was to be
    application-consistent, whatever it became. `ends_resync`: it carries all that differed. `naming`: the wish for a
    name that it fulfils.
    """

    __pydantic_config__ = _CONFIG

    sequence: Count
    attempt: Count
    view_id: Annotated[str, Field(min_length=1, max_length=1024)]
    capture_started_at: datetime
    machine_digest: Digest
    disks: tuple[DiskGeometry, ...]
    digest: Digest | None = None
    is_application_due: bool = False
    ends_resync: bool = False
    naming: NameRequest | None = None


@dataclass(frozen=True, slots=True)
class SourceState:
    """One protection. `attempt` is the highest number ever given to an attempt.

    `unsettled_view_id` names the view of the head that may not have become the mark yet, empty where it did.
    `application_due_from` is when the last capture that was to be application-consistent began. `naming` is the wish
    for a name that waits for its point, `named` what became of the last one.
    """

    __pydantic_config__ = _CONFIG

    assignment: Assignment
    head: Head = NO_HEAD
    attempt: Count = 0
    open: OpenAttempt | None = None
    unsettled_view_id: str = ""
    mark_id: str = ""
    resync: Failure | None = None
    initial: InitialPass | None = None
    resyncing: ResyncPass | None = None
    verification: Verification | None = None
    application_due_from: datetime | None = None
    compared_at: datetime | None = None
    is_stopping: bool = False
    naming: NameRequest | None = None
    named: NamedPoint | None = None
    version: int = VERSION

    @property
    def leg(self) -> Leg | None:
        """Return the view of the pass that is under way, None where there is none."""
        under_way = self.initial or self.resyncing
        return under_way.leg if under_way is not None else None

    @property
    def may_send(self) -> bool:
        """Tell whether anything is to be sent."""
        return not (self.assignment.is_paused or self.is_stopping or self.resync is not None)

    def ordered(self, assignment: Assignment) -> "SourceState":
        """Return the state under new settings."""
        return replace(self, assignment=assignment)

    def stopping(self) -> "SourceState":
        """Return the state in which nothing is replicated any more, until it is gone."""
        return replace(self, is_stopping=True)

    def verifying(self, verification_id: str) -> "SourceState":
        """Return the state in which everything is compared once; the same id begins nothing anew, "" ends it."""
        if not verification_id:
            return replace(self, verification=None)
        if self.verification is not None and self.verification.verification_id == verification_id:
            return self
        return replace(self, verification=Verification(verification_id))

    def wishing(self, request: NameRequest) -> "SourceState":
        """Return the state in which the next point gets a name; a wish that was fulfilled changes nothing."""
        if self.named is not None and self.named.request_id == request.request_id:
            return self
        return replace(self, naming=request)

    def without_wish(self, request_id: str) -> "SourceState":
        """Return the state in which nobody waits for the name any more. What has left already may still get it."""
        is_this = self.naming is not None and self.naming.request_id == request_id
        return replace(self, naming=None) if is_this else self

    def with_attempt_floor(self, floor: int) -> "SourceState":
        """Return the state in which the next attempt is above the target's floor too."""
        return replace(self, attempt=max(self.attempt, floor))

    def issued(self, attempt: OpenAttempt) -> "SourceState":
        """Return the state in which this attempt at the next sequence may begin; its number was never given."""
        if self.open is not None or self.resync is not None:
            raise AssertionError("an attempt is open, or none may be")
        if (attempt.sequence, attempt.attempt) != (self.head.sequence + 1, self.attempt + 1):
            raise AssertionError("this is not the next attempt")
        return replace(self, attempt=attempt.attempt, open=attempt)

    def with_digest(self, digest: bytes) -> "SourceState":
        """Return the state in which the trailer may leave."""
        return replace(self, open=replace(self._opened(), digest=digest))

    def acknowledged(self) -> "SourceState":
        """Return the state in which the open attempt is the head; with it a pass is over."""
        opened = self._opened()
        if opened.digest is None:
            raise AssertionError("a segment without trailer cannot be acknowledged")
        head = Head(
            opened.sequence,
            opened.digest,
            opened.capture_started_at,
            opened.machine_digest,
            opened.disks,
        )
        due_from = opened.capture_started_at if opened.is_application_due else None
        naming, named = self.naming, self.named
        if opened.naming is not None:
            named = NamedPoint(
                opened.naming.request_id, self.assignment.generation, opened.sequence
            )
            naming = None if naming == opened.naming else naming
        return replace(
            self,
            naming=naming,
            named=named,
            head=head,
            open=None,
            unsettled_view_id=opened.view_id,
            initial=None,
            resyncing=None if opened.ends_resync else self.resyncing,
            application_due_from=due_from or self.application_due_from,
        )

    def abandoned(self) -> "SourceState":
        """Return the state in which no attempt is open."""
        return replace(self, open=None)

    def settled(self, mark_id: str) -> "SourceState":
        """Return the state in which the mark stands where it can."""
        return replace(self, unsettled_view_id="", mark_id=mark_id)

    def checked(
        self, verification: Verification | None, compared_at: datetime | None
    ) -> "SourceState":
        """Return the state after a comparison of both ends; `compared_at` is None where they differ.

        A verification that was ordered meanwhile stays as it is.
        """
        mine = self.verification
        is_same = (
            mine is not None
            and verification is not None
            and mine.verification_id == verification.verification_id
        )
        return replace(
            self,
            verification=verification if is_same else mine,
            compared_at=compared_at or self.compared_at,
        )

    def resync_required(self, failure: Failure) -> "SourceState":
        """Return the state in which nothing is sent any more; a resync under way is over."""
        return replace(self, resync=failure, resyncing=None)

    def with_initial(self, initial: InitialPass) -> "SourceState":
        """Return the state of an initial pass under way; its number is not given again."""
        return replace(self, initial=initial, attempt=max(self.attempt, initial.attempt))

    def pass_opened(self, initial: InitialPass) -> "SourceState":
        """Return the state in which the target goes on with the pass: no end of it took effect."""
        return replace(self, initial=initial, open=None)

    def pass_ending(self, ending: OpenAttempt) -> "SourceState":
        """Return the state in which the end of the initial pass may leave: point 1 will have its digest."""
        if self.initial is None or ending.attempt != self.initial.attempt:
            raise AssertionError("this initial pass is not under way")
        return replace(self, open=ending)

    def resynchronizing(self) -> "SourceState":
        """Return the state in which everything is compared with the target's newest point.

        Where the first point is still under way, everything is being sent anyway.
        """
        if self.resyncing is not None or (self.head.sequence == 0 and self.resync is None):
            return self
        return replace(self, resync=None, resyncing=ResyncPass())

    def with_resync(self, resyncing: ResyncPass) -> "SourceState":
        """Return the state of a resync under way."""
        return replace(self, resyncing=resyncing)

    def adopted(self, sequence: int, digest: bytes) -> "SourceState":
        """Return the state in which the target's newest point is the head, whatever it was, for a resync."""
        head = self.head
        if (head.sequence, head.digest) != (sequence, digest):
            head = Head(sequence, digest, None, NO_POINT, head.disks)
        resyncing = (self.resyncing or ResyncPass()).against(sequence, digest)
        return replace(
            self, head=head, open=None, unsettled_view_id="", initial=None, resyncing=resyncing
        )

    def begun_anew(self) -> "SourceState":
        """Return the state in which nothing was ever sent, and no number is given twice."""
        return replace(
            self, head=NO_HEAD, open=None, initial=None, resyncing=None, unsettled_view_id=""
        )

    def off_view(self, mark_id: str) -> "SourceState":
        """Return the state in which the view of a pass has become the mark."""
        return replace(
            self,
            mark_id=mark_id,
            initial=self.initial.off_view() if self.initial is not None else None,
            resyncing=self.resyncing.off_view() if self.resyncing is not None else None,
        )

    def _opened(self) -> OpenAttempt:
        if self.open is None:
            raise AssertionError("no attempt is open")
        return self.open


def contradiction(state: SourceState, protection_id: str) -> str:
    """Return what cannot be in the state of this protection, empty where it can."""
    if state.assignment.protection_id != protection_id:
        return f"it is about protection {state.assignment.protection_id}"
    if (state.head.sequence == 0) != (state.head.digest == NO_POINT):
        return "the acknowledged sequence does not fit its digest"
    if state.open is not None and (
        state.open.sequence != state.head.sequence + 1 or state.open.attempt > state.attempt
    ):
        return "the open attempt does not follow the acknowledged point"
    return _contradiction_of_passes(state)


def _contradiction_of_passes(state: SourceState) -> str:
    initial, resyncing = state.initial, state.resyncing
    if initial is not None and (state.head.sequence or initial.attempt > state.attempt):
        return "the initial pass does not precede the first point"
    for under_way in (initial, resyncing):
        if under_way is None:
            continue
        if len({len(under_way.pending), len(under_way.disks), len(under_way.doubtful)}) != 1:
            return "a pass has other disks than ranges"
        if any(
            _is_outside(under_way.disks, each) for each in (under_way.pending, under_way.doubtful)
        ):
            return "a pass has ranges outside its disks"
    return ""


def _is_outside(
    disks: tuple[DiskGeometry, ...], ranges: tuple[tuple[tuple[int, int], ...], ...]
) -> bool:
    return any(
        not 0 <= start < end <= disk.size
        for disk, of_disk in zip(disks, ranges, strict=True)
        for start, end in of_disk
    )
