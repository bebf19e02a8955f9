import pytest

from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.source.errors import (
    AssignmentError,
    DisksChangedError,
    InterruptedReplicationError,
    RefusedError,
    ResyncRequiredError,
    SourceError,
    TargetProtocolError,
    ViewLimitError,
    failure_of,
    first_problem,
    resync_of,
    shown,
    weightiest,
)
from agent.source.status import Failure
from replikera.blocks.segment import SegmentFormatError
from replikera.ports.streams import StreamClosedError

REFUSAL = Failure("disk-full", "No space.", "Free some.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError("x", "Cause.", "Remedy."), "x"),
        (RefusedError(REFUSAL, is_diverged=False), "disk-full"),
        (HypervisorError("busy", "Cause.", "Remedy."), "busy"),
        (StreamClosedError("host b went away"), "target-unreachable"),
        (TargetProtocolError("b", "it lied"), "protocol-violation"),
        (DisksChangedError("One is new."), "disks-changed"),
        (ViewLimitError("view-1", "it is old"), "view-limit"),
        (AssignmentError("bad-order", "Cause.", "Remedy."), "bad-order"),
        (SegmentFormatError("two disks"), "unsupported-machine"),
        (OSError(28, "No space left"), "state-not-durable"),
        (KeyError("surprise"), "internal-error"),
    ],
)
def test_every_failure_has_a_code_a_cause_and_a_remedy(error: Exception, code: str) -> None:
    failure = failure_of(error)
    assert failure.code == code
    assert failure.cause
    assert failure.remedy.endswith(".")


def test_what_only_a_resync_helps_against() -> None:
    assert resync_of(ResyncRequiredError("diverged", "Cause.")) is not None
    assert resync_of(RefusedError(REFUSAL, is_diverged=True)) == REFUSAL
    assert resync_of(TrackingLostError("lost", "Cause.", "Remedy.")) is not None


@pytest.mark.parametrize(
    "error",
    [
        RefusedError(REFUSAL, is_diverged=False),
        HypervisorError("busy", "Cause.", "Remedy."),
        StreamClosedError("gone"),
        KeyError("surprise"),
    ],
)
def test_what_trying_again_helps_against(error: Exception) -> None:
    assert resync_of(error) is None


def test_a_refusal_explains_the_broken_stream_that_followed_it() -> None:
    refusal = RefusedError(REFUSAL, is_diverged=False)
    inner = ExceptionGroup("inner", [StreamClosedError("gone"), refusal])
    assert weightiest(ExceptionGroup("outer", [StreamClosedError("gone"), inner])) is refusal


def test_an_unexpected_error_outweighs_a_broken_stream() -> None:
    surprise = KeyError("surprise")
    assert weightiest(ExceptionGroup("g", [StreamClosedError("gone"), surprise])) is surprise


def test_a_broken_stream_alone_is_what_it_is() -> None:
    gone = StreamClosedError("gone")
    assert weightiest(ExceptionGroup("g", [gone])) is gone


def test_what_was_ordered_outweighs_whatever_broke_with_it() -> None:
    told = InterruptedReplicationError()
    refusal = RefusedError(REFUSAL, is_diverged=True)
    assert weightiest(ExceptionGroup("g", [StreamClosedError("gone"), refusal, told])) is told


def test_a_name_is_shown_short_and_harmless() -> None:
    assert shown("web-1") == "web-1"
    hostile = shown("a\n\x1b[2J\u202e" + "x" * 500)
    assert hostile.isprintable()
    assert hostile.startswith("a??[2J?")
    assert len(hostile) < 120


def test_a_problem_that_is_not_about_a_field_is_its_text() -> None:
    assert first_problem(ValueError("too long")) == "too long"
