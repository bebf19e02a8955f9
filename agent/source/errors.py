"""What ends an attempt to replicate, and how it is told to an operator."""

from pydantic import ValidationError

from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.source.status import Failure
from replikera.blocks.segment import SegmentFormatError
from replikera.ports.streams import StreamClosedError

RESYNC_REMEDY = "Resynchronise: replikera protection resync. Recovery points at the target stay and can be tested."
RENEW_REMEDY = (
    "Disable the protection and enable it again. Recovery points at the target stay until then."
)
"""A resync cannot help where the disks are others."""


_SHOWN = 100


class SourceError(Exception):
    """A failure with its remedy."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.failure = Failure(code, cause, remedy)


class AssignmentError(SourceError):
    """An order to replicate cannot be followed."""


class StateFileError(SourceError):
    """A protection's state file is not what was written."""


class ResyncRequiredError(SourceError):
    """What is not known to be equal: nothing more may be sent in this generation."""

    def __init__(self, code: str, cause: str, remedy: str = RESYNC_REMEDY) -> None:
        super().__init__(code, cause, remedy)


class RefusedError(SourceError):
    """The target refused, in its own words."""

    def __init__(self, failure: Failure, *, is_diverged: bool) -> None:
        super().__init__(failure.code, failure.cause, failure.remedy)
        self.is_diverged = is_diverged


class TargetDeniedError(SourceError):
    """The vault told this host not to believe the target."""

    def __init__(self, host_id: str, refusal: str) -> None:
        super().__init__(
            "target-denied",
            f"The target host {host_id} is not trusted any more: {refusal}.",
            "Look at the host with: replikera host show. Replication continues by itself once it is readmitted.",
        )


class TargetProtocolError(SourceError):
    """The target answered what no target answers."""

    def __init__(self, peer: str, problem: str) -> None:
        super().__init__(
            "protocol-violation",
            f"Host {peer} broke the replication protocol: {problem}.",
            "Install the same version of the agent on both hosts.",
        )


class DisksChangedError(ResyncRequiredError):
    """The machine's disks are not those that its recovery points have."""

    def __init__(self, cause: str) -> None:
        super().__init__("disks-changed", cause, RENEW_REMEDY)


class ViewLimitError(SourceError):
    """A view has grown too old or too large: it must not fill the storage of the machine."""

    def __init__(self, view_id: str, problem: str) -> None:
        super().__init__(
            "view-limit",
            f"View {view_id} was given up: {problem}.",
            "Replication goes on with a newer one. If this repeats, give the machine more bandwidth, or the views more "
            "room: view_max_age_seconds, view_max_growth_bytes of the agent's settings.",
        )


class InterruptedReplicationError(Exception):
    """Not a failure: what was ordered meanwhile ends the conversation."""


def resync_of(error: Exception) -> Failure | None:
    """Return why only a resync helps, None where trying again does."""
    match error:
        case ResyncRequiredError():
            return error.failure
        case RefusedError(is_diverged=True):
            return error.failure
        case TrackingLostError():
            # The driver knows what happened, and not how a resync is ordered.
            return Failure(error.code, error.cause, RESYNC_REMEDY)
        case _:
            return None


def failure_of(error: Exception) -> Failure:
    """Return an error in words for an operator."""
    match error:
        case SourceError():
            return error.failure
        case HypervisorError():
            return Failure(error.code, error.cause, error.remedy)
        case StreamClosedError():
            return Failure(
                "target-unreachable",
                f"{error}.",
                "Check that the target's agent runs and is reachable; replication continues by itself.",
            )
        case SegmentFormatError():
            return Failure(
                "unsupported-machine",
                f"The machine cannot be put into a segment: {error}.",
                "Change the machine accordingly; replication continues by itself.",
            )
        case OSError():
            return Failure(
                "state-not-durable",
                f"The state of the replication could not be written: {error}.",
                "Check the volume of the agent's state directory; replication continues by itself.",
            )
        case _:
            return Failure(
                "internal-error",
                f"{type(error).__name__}: {error}.",
                "Report this with the agent's log; replication is tried again.",
            )


_WEIGHTS: tuple[type[Exception], ...] = (
    InterruptedReplicationError,
    TargetDeniedError,
    RefusedError,
    ResyncRequiredError,
    TrackingLostError,
    HypervisorError,
    SourceError,
)


def weightiest(group: ExceptionGroup[Exception]) -> Exception:
    """Return the error that explains the others: a refusal before the broken stream that followed it."""
    leaves = _leaves(group)
    for kind in _WEIGHTS:
        for error in leaves:
            if isinstance(error, kind):
                return error
    others = [error for error in leaves if not isinstance(error, StreamClosedError)]
    return (others or leaves)[0]


def _leaves(error: Exception) -> list[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]


def first_problem(error: Exception) -> str:
    """Return what is wrong first with a value from outside."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        return f"{place}: {first['msg']}"
    return str(error)


def shown(name: str) -> str:
    """Return a name that somebody else chose, fit for a message: short, and nothing in it that moves a cursor."""
    text = "".join(character if character.isprintable() else "?" for character in name[:_SHOWN])
    return text + "..." if len(name) > _SHOWN else text
