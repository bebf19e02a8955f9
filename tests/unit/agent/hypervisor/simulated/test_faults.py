from collections.abc import Callable
from dataclasses import replace
from inspect import iscoroutinefunction

import pytest

from agent.hypervisor.interface import Hypervisor, HypervisorError, TrackingLostError
from agent.hypervisor.simulated.faults import (
    MAX_COUNT,
    MAX_FAULTS,
    MAX_SECONDS,
    Fault,
    FaultKind,
    FaultList,
    Faults,
    Operation,
)
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import Bed, InlineWorker

FAILING = Fault("", Operation.FREEZE, FaultKind.FAIL, 1, code="broken", cause="It is broken.")
SLOW = Fault("", Operation.FREEZE, FaultKind.DELAY, 1, seconds=7.5)
HANGING = Fault("", Operation.FREEZE, FaultKind.HANG, 1)


class Clock:
    """Remembers how long it was slept, and lets a test act meanwhile."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.while_sleeping: Callable[[], object] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.while_sleeping()


@pytest.fixture
def listed(bed: Bed) -> FaultList:
    return FaultList(SystemFiles(), SystemRandomness(), bed.host.root)


def faults_of(listed: FaultList, clock: Clock) -> Faults:
    return Faults(listed, InlineWorker(), clock)  # type: ignore[arg-type]  # nobody asks for the date


def test_every_call_of_a_driver_can_be_named() -> None:
    calls = {name for name, call in vars(Hypervisor).items() if iscoroutinefunction(call)}
    beside = {Operation.READ_DISK, Operation.GUEST_QUIESCE, Operation.GUEST_SHUT_DOWN}
    assert {each.value.replace("-", "_") for each in set(Operation) - beside} == calls


async def test_a_fault_is_met_as_often_as_asked_for(listed: FaultList) -> None:
    faults = faults_of(listed, Clock())
    listed.add(replace(FAILING, remaining=2))
    for _ in range(2):
        with pytest.raises(HypervisorError, match="It is broken") as caught:
            await faults.meet(Operation.FREEZE)
        assert caught.value.code == "broken"
        assert "fault list" in caught.value.remedy
    await faults.meet(Operation.FREEZE)
    assert listed.all() == ()


async def test_only_the_operation_that_was_named_meets_it(listed: FaultList) -> None:
    faults = faults_of(listed, Clock())
    added = listed.add(FAILING)
    for operation in set(Operation) - {Operation.FREEZE}:
        await faults.meet(operation)
    assert listed.all() == (added,)


async def test_lost_tracking_is_the_error_that_asks_for_a_resync(listed: FaultList) -> None:
    listed.add(replace(FAILING, operation=Operation.CHANGED_RANGES, code="tracking-lost"))
    with pytest.raises(TrackingLostError):
        await faults_of(listed, Clock()).meet(Operation.CHANGED_RANGES)


async def test_a_slow_operation_takes_its_time(listed: FaultList) -> None:
    clock = Clock()
    listed.add(SLOW)
    await faults_of(listed, clock).meet(Operation.FREEZE)
    assert clock.slept == [7.5]
    assert listed.all() == ()


async def test_what_hangs_goes_on_when_the_faults_are_cleared(listed: FaultList) -> None:
    clock = Clock()
    added = listed.add(HANGING)
    seen: list[Fault] = []

    def clear_in_the_end() -> None:
        seen.extend(listed.all())
        if len(seen) == 5:
            assert [each.fault_id for each in listed.clear()] == [added.fault_id]

    clock.while_sleeping = clear_in_the_end
    await faults_of(listed, clock).meet(Operation.FREEZE)
    assert len(clock.slept) == 5
    # It was met, and is listed as long as something hangs on it.
    assert {each.remaining for each in seen} == {0}


async def test_an_operation_is_done_before_a_fault_that_comes_after_it(listed: FaultList) -> None:
    faults = faults_of(listed, Clock())
    done = []
    for fault in (FAILING, replace(FAILING, is_after=True)):
        listed.add(fault)
        with pytest.raises(HypervisorError):
            async with faults.around(Operation.FREEZE):
                done.append(fault.is_after)
    assert done == [True]
    async with faults.around(Operation.FREEZE):
        done.append(True)


async def test_faults_are_met_in_their_order(listed: FaultList) -> None:
    clock = Clock()
    faults = faults_of(listed, clock)
    listed.add(SLOW)
    listed.add(FAILING)
    await faults.meet(Operation.FREEZE)
    with pytest.raises(HypervisorError):
        await faults.meet(Operation.FREEZE)


@pytest.mark.parametrize(
    "bad",
    [
        replace(FAILING, remaining=0),
        replace(FAILING, remaining=MAX_COUNT + 1),
        replace(SLOW, seconds=-1.0),
        replace(SLOW, seconds=MAX_SECONDS + 1),
        replace(SLOW, operation=Operation.READ_DISK),
        replace(HANGING, operation=Operation.READ_DISK),
    ],
)
def test_faults_without_a_bound_are_refused(listed: FaultList, bad: Fault) -> None:
    with pytest.raises(HypervisorError) as caught:
        listed.add(bad)
    assert caught.value.code == "bad-fault"
    assert listed.all() == ()


def test_there_are_not_too_many_faults(listed: FaultList) -> None:
    for _ in range(MAX_FAULTS):
        listed.add(FAILING)
    with pytest.raises(HypervisorError, match="100 faults already"):
        listed.add(FAILING)
    assert len(listed.clear()) == MAX_FAULTS
    assert listed.clear() == ()
