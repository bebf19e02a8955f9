from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain import rehearsals
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import (
    IllegalTransitionError,
    InvalidValueError,
    UnknownObjectError,
)
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import JobId, MachineId, OrderId, RehearsalId
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.nic_placement import NicPlacement, PlacementRule
from coordinator.domain.orders import (
    CleanUpRehearsal,
    Failure,
    GuestReport,
    NicConnection,
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalStarted,
    StartRehearsal,
)
from coordinator.domain.point_selection import parse
from coordinator.domain.protections import ProtectionState
from coordinator.domain.rehearsal_placement import RehearsalNetworks
from coordinator.domain.rehearsals import (
    DEFAULT_LENGTH,
    GUEST_TIMEOUT,
    MAX_LENGTH,
    MAX_NOTES_LENGTH,
    RETRY,
    Rehearsal,
    RehearsalIds,
    RehearsalRequest,
    RehearsalState,
)
from tests.unit.coordinator.examples import LATER, NOW, TARGET, protection_in, recovery_point

IDS = RehearsalIds(RehearsalId("r"), JobId("j"), OrderId("o"))
PROTECTION = protection_in(ProtectionState.PROTECTED)
NICS = (NicConnection("nic-0", "bubble"), NicConnection("nic-1", ""))
NETWORKS = RehearsalNetworks(
    (
        NicPlacement("nic-0", "bubble", "", PlacementRule.NO_SUBNETS),
        NicPlacement("nic-1", "", "", PlacementRule.NOT_MAPPED),
    )
)
REQUEST = RehearsalRequest(
    PROTECTION, TARGET, parse("4"), recovery_point(4), "mapped", NETWORKS, DEFAULT_LENGTH, None
)
FAILURE = Failure("no-space", "There is no space.", "Free some.")
HEALTHY = GuestReport(is_healthy=True, summary="verified", records=3)
DISKS = (RecoveredDisk("d", "/r/d.vhdx", 1 << 30),)
STARTED = RehearsalStarted(MachineId("m"), DISKS, (), HEALTHY, NICS)


def parts(decision: Decision) -> tuple[Rehearsal, Job]:
    (rehearsal,) = (item for item in decision.aggregates if isinstance(item, Rehearsal))
    (job,) = (item for item in decision.aggregates if isinstance(item, Job))
    return rehearsal, job


def starting() -> tuple[Rehearsal, Job]:
    _, decision = rehearsals.start(REQUEST, IDS, NOW)
    return parts(decision)


def clean_up(rehearsal: Rehearsal, notes: str = "") -> tuple[Rehearsal, Job, Decision]:
    _, decision = rehearsal.clean_up(PROTECTION, notes, JobId("j2"), OrderId("o2"), LATER)
    return *parts(decision), decision


def test_a_start_orders_the_target_to_recover_exactly_that_point() -> None:
    job, decision = rehearsals.start(REQUEST, IDS, NOW)
    rehearsal, _ = parts(decision)
    assert (rehearsal.state, rehearsal.machine_name) == (RehearsalState.STARTING, "web - test")
    (order,) = decision.orders
    assert (order.host_id, order.job_id) == (TARGET.id, job.id)
    point = recovery_point(4)
    assert order.action == StartRehearsal(
        IDS.rehearsal, PROTECTION.id, point.generation, 4, "web - test", NICS, GUEST_TIMEOUT
    )


@pytest.mark.parametrize("state", list(ProtectionState))
def test_only_a_machine_that_has_been_protected_is_rehearsed(state: ProtectionState) -> None:
    request = replace(REQUEST, protection=protection_in(state))
    if state in {
        ProtectionState.PROTECTED,
        ProtectionState.PAUSED,
        ProtectionState.RESYNC_REQUIRED,
        ProtectionState.RESYNCHRONIZING,
    }:
        assert rehearsals.start(request, IDS, NOW)
        return
    with pytest.raises(IllegalTransitionError, match=str(state)):
        rehearsals.start(request, IDS, NOW)


def test_a_second_rehearsal_waits_for_the_clean_up_of_the_first() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        rehearsals.start(replace(REQUEST, unfinished=starting()[0]), IDS, NOW)
    assert caught.value.code == "test-failover-exists"


@pytest.mark.parametrize("wanted", ["latest", "9", "latest-application-consistent"])
def test_a_point_that_is_not_there_is_refused(wanted: str) -> None:
    with pytest.raises(UnknownObjectError) as caught:
        rehearsals.start(replace(REQUEST, selector=parse(wanted), point=None), IDS, NOW)
    assert wanted in caught.value.cause


def test_networks_that_are_made_for_a_test_are_ordered_with_it() -> None:
    request = replace(REQUEST, networks=replace(NETWORKS, created=("bubble",)))
    (order,) = rehearsals.start(request, IDS, NOW)[1].orders
    assert isinstance(order.action, StartRehearsal)
    assert order.action.created_networks == ("bubble",)


@pytest.mark.parametrize(
    "length", [timedelta(0), timedelta(seconds=59), MAX_LENGTH + timedelta(seconds=1)]
)
def test_a_length_out_of_range_is_refused(length: timedelta) -> None:
    with pytest.raises(InvalidValueError) as caught:
        rehearsals.start(replace(REQUEST, length=length), IDS, NOW)
    assert caught.value.field == "lasts_seconds"


def test_its_time_is_up_when_it_stands_or_has_failed() -> None:
    rehearsal, job = starting()
    end = NOW + DEFAULT_LENGTH
    assert rehearsal.ends_at == end
    assert not rehearsal.is_over(end), "it is being started"
    started, _ = parts(rehearsal.started(job, STARTED, NOW))
    assert not started.is_over(end - timedelta(seconds=1))
    assert started.is_over(end)
    failed, _ = parts(rehearsal.failed(job, FAILURE, NOW))
    assert failed.is_over(end)


def test_at_its_end_it_is_cleaned_up_and_the_notes_stay() -> None:
    rehearsal, job = starting()
    started, _ = parts(rehearsal.started(job, STARTED, NOW))
    end = started.ends_at
    noted = replace(started, notes="seen")
    _, decision = noted.end(PROTECTION, JobId("j2"), OrderId("o2"), end)
    going, job = parts(decision)
    assert going.notes == "seen Cleaned up by the vault at the end of the test's time."
    failed, _ = parts(going.failed(job, FAILURE, end))
    assert not failed.is_over(end), "it is tried again later"
    assert failed.is_over(end + RETRY)


def test_a_clean_up_that_failed_before_the_end_does_not_move_it() -> None:
    rehearsal, job = starting()
    started, _ = parts(rehearsal.started(job, STARTED, NOW))
    going, job, _ = clean_up(started)
    failed, _ = parts(going.failed(job, FAILURE, LATER))
    assert failed.ends_at == started.ends_at


def test_it_is_successful_only_after_start_and_clean_up() -> None:
    rehearsal, job = starting()
    rehearsal, job = parts(rehearsal.started(job, STARTED, NOW))
    assert (rehearsal.state, job.state) == (RehearsalState.STARTED, JobState.SUCCEEDED)
    assert rehearsal.guest == HEALTHY
    assert not rehearsal.is_successful
    rehearsal, job, decision = clean_up(rehearsal, "fine")
    (order,) = decision.orders
    assert (order.host_id, order.action) == (
        TARGET.id,
        CleanUpRehearsal(IDS.rehearsal, PROTECTION.id),
    )
    assert not rehearsal.is_successful
    assert rehearsal.cleaned_up_at is None
    rehearsal, job = parts(rehearsal.cleaned_up(job, RehearsalCleanedUp(("m",)), LATER))
    assert (rehearsal.state, job.state) == (RehearsalState.CLEANED_UP, JobState.SUCCEEDED)
    assert (rehearsal.removed, rehearsal.notes) == (("m",), "fine")
    assert rehearsal.is_successful
    assert rehearsal.cleaned_up_at == LATER


@pytest.mark.parametrize(
    ("nics", "is_good"),
    [
        (NICS, True),
        ((NicConnection("nic-0", ""), NicConnection("nic-1", "")), True),
        ((NicConnection("nic-0", "dr-lan"),), False),
        ((NicConnection("nic-1", "bubble"),), False),
        ((NicConnection("nic-9", "lan"),), False),
    ],
)
def test_a_machine_on_another_network_than_ordered_fails(
    nics: tuple[NicConnection, ...], is_good: bool
) -> None:
    rehearsal, job = starting()
    decision = rehearsal.started(job, replace(STARTED, nics=nics), NOW)
    rehearsal, job = parts(decision)
    assert (rehearsal.state is RehearsalState.STARTED) == is_good
    assert (job.state is JobState.SUCCEEDED) == is_good
    assert rehearsal.machine_id == "m"
    assert rehearsal.was_started == is_good
    if not is_good:
        assert "network-not-as-ordered" in decision.events[0].detail


def test_an_unhealthy_guest_fails_and_so_does_a_silent_one() -> None:
    rehearsal, job = starting()
    sick = replace(HEALTHY, is_healthy=False, summary="3 records are missing")
    failed, _ = parts(rehearsal.started(job, replace(STARTED, guest=sick), NOW))
    assert failed.state is RehearsalState.FAILED
    assert "3 records are missing" in (failed.cause or "")
    silent, _ = parts(rehearsal.started(job, replace(STARTED, guest=None), NOW))
    assert silent.state is RehearsalState.FAILED


@pytest.mark.parametrize(
    "outcome",
    [
        replace(STARTED, machine_id=MachineId("")),
        replace(STARTED, disks=()),
    ],
)
def test_a_start_that_was_not_read_back_fails(outcome: RehearsalStarted) -> None:
    rehearsal, job = starting()
    decision = rehearsal.started(job, outcome, NOW)
    rehearsal, job = parts(decision)
    assert (rehearsal.state, job.state) == (RehearsalState.FAILED, JobState.FAILED)
    assert "not-read-back" in decision.events[0].detail


@pytest.mark.parametrize("nics", [(), NICS[:1]])
def test_adapters_that_the_machine_did_not_have_at_the_point_are_not_missed(
    nics: tuple[NicConnection, ...],
) -> None:
    rehearsal, job = starting()
    rehearsal, job = parts(rehearsal.started(job, replace(STARTED, nics=nics), NOW))
    assert (rehearsal.state, job.state) == (RehearsalState.STARTED, JobState.SUCCEEDED)
    assert rehearsal.nics == nics


def test_a_long_name_leaves_room_for_what_it_is() -> None:
    long = replace(PROTECTION, machine_name="w" * 100)
    _, decision = rehearsals.start(replace(REQUEST, protection=long), IDS, NOW)
    (order,) = decision.orders
    assert isinstance(order.action, StartRehearsal)
    assert order.action.machine_name == f"{'w' * 93} - test"


def test_a_failed_start_is_cleaned_up_without_ever_becoming_successful() -> None:
    rehearsal, job = starting()
    decision = rehearsal.failed(job, FAILURE, NOW)
    rehearsal, job = parts(decision)
    assert decision.events[0].kind is EventKind.TEST_FAILOVER_FAILED
    assert (rehearsal.state, job.state) == (RehearsalState.FAILED, JobState.FAILED)
    rehearsal, job, _ = clean_up(rehearsal)
    rehearsal, _ = parts(rehearsal.cleaned_up(job, RehearsalCleanedUp(()), LATER))
    assert not rehearsal.is_successful
    assert rehearsal.cause == "There is no space."


def test_a_failed_clean_up_is_tried_again_and_may_still_succeed() -> None:
    rehearsal, job = starting()
    rehearsal, job = parts(rehearsal.started(job, STARTED, NOW))
    rehearsal, job, _ = clean_up(rehearsal)
    decision = rehearsal.failed(job, FAILURE, LATER)
    assert decision.events[0].kind is EventKind.CLEAN_UP_FAILED
    rehearsal, _ = parts(decision)
    rehearsal, job, _ = clean_up(rehearsal)
    rehearsal, _ = parts(rehearsal.cleaned_up(job, RehearsalCleanedUp(()), LATER))
    assert rehearsal.is_successful
    assert rehearsal.cause is None


@pytest.mark.parametrize(
    "state", [RehearsalState.STARTING, RehearsalState.CLEANING_UP, RehearsalState.CLEANED_UP]
)
def test_there_is_nothing_to_clean_up_in_other_states(state: RehearsalState) -> None:
    with pytest.raises(IllegalTransitionError, match=str(state)):
        clean_up(replace(starting()[0], state=state))


def test_a_start_that_never_began_leaves_nothing_to_clean_up() -> None:
    rehearsal, job = starting()
    decision = rehearsal.withdrawn(job, LATER)
    gone, cancelled = parts(decision)
    assert (gone.state, cancelled.state) == (RehearsalState.CLEANED_UP, JobState.CANCELLED)
    assert not gone.is_successful
    assert (gone.cause, gone.remedy) == (cancelled.cause, cancelled.remedy)
    assert [event.kind for event in decision.events] == [
        EventKind.JOB_CANCELLED,
        EventKind.TEST_FAILOVER_CLEANED_UP,
    ]


def test_a_clean_up_that_never_began_leaves_the_rehearsal_as_it_was() -> None:
    rehearsal, job = starting()
    good, _ = parts(rehearsal.started(job, STARTED, NOW))
    bad, _ = parts(rehearsal.failed(job, FAILURE, NOW))
    for before in (good, bad):
        going, clean_up_job, _ = clean_up(before, "seen")
        after, cancelled = parts(going.withdrawn(clean_up_job, LATER))
        assert (after.state, after.notes) == (before.state, "")
        assert (after.cause, after.was_started) == (before.cause, before.was_started)
        assert cancelled.state is JobState.CANCELLED
        assert clean_up(after)


def test_notes_are_bounded() -> None:
    rehearsal = replace(starting()[0], state=RehearsalState.STARTED)
    assert clean_up(rehearsal, "x" * MAX_NOTES_LENGTH)[0].notes
    with pytest.raises(InvalidValueError):
        clean_up(rehearsal, "x" * (MAX_NOTES_LENGTH + 1))
