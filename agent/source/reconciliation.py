"""What two sides conclude after their conversation broke: the rules of the lost acknowledgement, as pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent.hypervisor.interface import Mark, View
from agent.source.errors import ResyncRequiredError
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


@dataclass(frozen=True, slots=True)
class KeepView:
    """Make this view the mark."""

    view: View


@dataclass(frozen=True, slots=True)
class UseMark:
    """Ask for changes since this mark; it is the head's or an older one, whose changes are a superset."""

    mark: Mark


def settle(state: SourceState, views: Sequence[View], mark: Mark | None) -> KeepView | UseMark:
    """Return where to track from, behind an acknowledged head. Raises `ResyncRequiredError`."""
    for view in views:
        if view.view_id == state.unsettled_view_id:
            return KeepView(view)
    if mark is None:
        raise ResyncRequiredError(
            "mark-missing",
            "The tracking mark behind the last acknowledged recovery point is gone: "
            "what changed since is unknown.",
        )
    if mark.machine_id != state.assignment.machine_id:
        raise ResyncRequiredError(
            "mark-foreign", f"The tracking mark belongs to machine {mark.machine_id}."
        )
    # A view that was kept gave the mark its own id; one that vanished before leaves the older mark.
    if mark.mark_id not in {state.mark_id, state.unsettled_view_id} - {""}:
        raise ResyncRequiredError(
            "mark-foreign",
            "The tracking mark is not the one that was set at the last acknowledged recovery point.",
        )
    return UseMark(mark)
