"""What two sides conclude after their conversation broke: the rules of the lost acknowledgement, as pure functions."""

from enum import Enum, auto

from agent.hypervisor.interface import Mark
from agent.source.errors import ResyncRequiredError, shown
from agent.source.state import SourceState


class Verdict(Enum):
    """What the target's last durable point says about the open attempt."""

    CONTINUE = auto()
    ACKNOWLEDGED = auto()
    ABANDON = auto()


def judge(state: SourceState, sequence: int, digest: bytes) -> Verdict:
    """Return what the target's head means. Raises `ResyncRequiredError` for any head that is not one of ours.

    The target holds the open attempt: its acknowledgement was lost. It holds our head: the attempt never became a
    point, and must be given up explicitly before its sequence is used again, because its trailer may have left.
    """
    opened = state.open
    if opened is not None and (opened.sequence, opened.digest) == (sequence, digest):
        return Verdict.ACKNOWLEDGED
    if (state.head.sequence, state.head.digest) == (sequence, digest):
        return Verdict.CONTINUE if opened is None else Verdict.ABANDON
    raise ResyncRequiredError("diverged", _divergence(state, sequence))


def _divergence(state: SourceState, sequence: int) -> str:
    known = {state.head.sequence}
    if state.open is not None and state.open.digest is not None:
        known.add(state.open.sequence)
    if sequence in known:
        return f"Recovery point {sequence} at the target has other content than the one sent from here."
    return (
        f"The target's newest recovery point is {sequence}, "
        f"the newest that it acknowledged to this host is {state.head.sequence}."
    )


def trusted_mark(state: SourceState, mark: Mark | None) -> Mark:
    """Return the mark behind an acknowledged head. Raises `ResyncRequiredError` where it is not ours.

    One that is older than the head is trusted too: what changed since is a superset.
    """
    if mark is None:
        raise ResyncRequiredError(
            "mark-missing",
            "The tracking mark behind the last acknowledged recovery point is gone: "
            "what changed since is unknown.",
        )
    if mark.machine_id != state.assignment.machine_id:
        raise ResyncRequiredError(
            "mark-foreign", f"The tracking mark belongs to machine {shown(mark.machine_id)}."
        )
    # A view that was kept gave the mark its own id; one that vanished before leaves the older mark.
    if mark.mark_id not in {state.mark_id, state.unsettled_view_id} - {""}:
        raise ResyncRequiredError(
            "mark-foreign",
            "The tracking mark is not the one that was set at the last acknowledged recovery point.",
        )
    return mark


def mark_of_pass(state: SourceState, mark: Mark | None) -> Mark | None:
    """Return the mark that the coverage of a pass is relative to, None where there is none to trust."""
    leg = state.leg
    # The view of the leg may have been kept without anybody living to write that down.
    known = {state.mark_id, leg.view_id if leg is not None else ""} - {""}
    is_ours = (
        mark is not None
        and mark.machine_id == state.assignment.machine_id
        and mark.mark_id in known
    )
    return mark if is_ours else None


class Fate(Enum):
    """What becomes of a view that is found."""

    STAY = auto()
    KEEP = auto()
    DISCARD = auto()


def fate_of(state: SourceState, view_id: str, *, is_held: bool, is_over: bool) -> Fate:
    """Return what becomes of a view. `is_held`: a transfer of it can go on. `is_over`: it must not stay.

    Only a view whose content the target holds may become the mark, and one that a pass went over: what of it is
    missing is remembered.
    """
    if state.resync is not None or state.is_stopping:
        return Fate.DISCARD
    if view_id == state.unsettled_view_id:
        return Fate.KEEP
    leg = state.leg
    if leg is not None and view_id == leg.view_id:
        return Fate.KEEP if is_over else Fate.STAY
    if is_over:
        return Fate.DISCARD
    opened = state.open
    is_awaited = opened is not None and opened.digest is not None and view_id == opened.view_id
    return Fate.STAY if is_held or is_awaited else Fate.DISCARD
