import pytest

from coordinator.domain import named_points
from coordinator.domain.decisions import NOTHING
from coordinator.domain.errors import IllegalTransitionError, InvalidValueError
from coordinator.domain.identifiers import Generation, JobId, OrderId
from coordinator.domain.job_results import NamedPoint
from coordinator.domain.jobs import LISTED, Job, JobKind, JobState
from coordinator.domain.named_points import NamingIds
from coordinator.domain.orders import Failure, NamePoint, Order, PointNamed
from coordinator.domain.protections import ProtectionState
from tests.unit.coordinator.examples import LATER, NOW, SOURCE, protection_in, recovery_point

PROTECTION = protection_in(ProtectionState.PROTECTED)
IDS = NamingIds(JobId("j"), OrderId("o"))
JOB, DECISION = named_points.start(PROTECTION, "before patch day", None, IDS, NOW)
ACTION = NamePoint(PROTECTION.id, "before patch day")
TAKEN, NAMED = named_points.named(JOB, ACTION, PointNamed(Generation("gen-1"), 7), NOW)


def test_the_source_is_told_to_take_a_point_with_that_name() -> None:
    assert DECISION.orders == (Order(OrderId("o"), JobId("j"), SOURCE.id, NOW, ACTION),)
    assert (JOB.kind, JOB.subject) == (JobKind.NAME_POINT, "web")
    assert DECISION.events[0].detail == "web, before patch day"


def test_the_job_goes_on_until_the_target_lists_the_point() -> None:
    assert NAMED.aggregates == (TAKEN,)
    assert TAKEN.is_at(LISTED)
    assert named_points.listed(TAKEN, None, LATER) == NOTHING
    decision = named_points.listed(TAKEN, recovery_point(7), LATER)
    (job,) = decision.aggregates
    assert isinstance(job, Job)
    assert (job.state, job.result) == (
        JobState.SUCCEEDED,
        NamedPoint(Generation("gen-1"), 7, "before patch day"),
    )
    assert decision.events[0].detail == "web, before patch day, point 7"


def test_a_list_means_nothing_to_a_job_that_has_no_point_yet() -> None:
    assert named_points.listed(JOB, recovery_point(7), LATER) == NOTHING


def test_a_failure_is_told_and_nothing_else() -> None:
    decision = named_points.failed(JOB, ACTION, Failure("full", "Full.", "Free."), LATER)
    (job,) = decision.aggregates
    assert isinstance(job, Job)
    assert (job.state, job.cause) == (JobState.FAILED, "Full.")
    assert decision.events[0].detail.endswith("before patch day: full: Full.")


@pytest.mark.parametrize("name", ["", " x", "a/b", "two\nlines", "x" * 101])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        named_points.start(PROTECTION, name, None, IDS, NOW)
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    "state", [state for state in ProtectionState if state is not ProtectionState.PROTECTED]
)
def test_only_a_machine_that_replicates_gets_a_point(state: ProtectionState) -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        named_points.start(protection_in(state), "x", None, IDS, NOW)
    assert caught.value.code == "not-replicating"


def test_one_name_is_given_at_a_time() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        named_points.start(PROTECTION, "x", JOB, IDS, NOW)
    assert (caught.value.code, "replikera job watch j" in caught.value.remedy) == (
        "naming-busy",
        True,
    )
