import asyncio
from collections.abc import Callable

import pytest
from typing_extensions import override

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.faults import Fault, FaultKind, FaultList, Faults, Operation
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.guest_service import HOLD_S, GuestService
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_guest import START_ID
from tests.support.simulated_host import Bed, InlineWorker, SteppingClock


class Clock(SteppingClock):
    """Lets somebody act while the guest holds still."""

    def __init__(self) -> None:
        super().__init__()
        self.while_sleeping: Callable[[], object] = lambda: None

    @override
    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.while_sleeping()


class Bench:
    """The service of one guest, and who asks it."""

    def __init__(self, bed: Bed) -> None:
        self.machine = bed.machine()
        self.requests = GuestRequests(self.machine)
        self.clock = Clock()
        self.faults = FaultList(SystemFiles(), SystemRandomness(), bed.host.root)
        worker = InlineWorker()
        met = Faults(self.faults, worker, self.clock)
        self.service = GuestService(self.machine, START_ID, worker, self.clock, met)
        self.stopping = asyncio.Event()
        self.closed = 0

    def close_log(self) -> None:
        self.closed += 1

    async def serve(self, problem: str = "") -> None:
        await self.service.quiesce_if_asked(self.stopping, self.close_log, problem)

    def answered(self) -> str | None:
        """Return the problem of the answer, None where there is none."""
        found = self.requests.answered(START_ID)
        return None if found is None else found.problem


@pytest.fixture
def asked(bed: Bed) -> Bench:
    """A guest that is asked to hold still until the request is withdrawn."""
    bench = Bench(bed)
    bench.requests.ask_to_quiesce("request-1", START_ID)
    return bench


async def test_nobody_asks_and_nothing_happens(bed: Bed) -> None:
    bench = Bench(bed)
    await bench.serve()
    bench.requests.ask_to_quiesce("request-1", "another-start")
    await bench.serve()
    assert (bench.closed, bench.answered()) == (0, None)


async def test_the_log_is_closed_before_the_guest_says_that_it_holds_still(asked: Bench) -> None:
    seen = []

    def look() -> None:
        seen.append((asked.closed, asked.answered()))
        if len(seen) == 3:
            asked.requests.withdraw("request-1")

    asked.clock.while_sleeping = look
    await asked.serve()
    assert seen == [(1, "")] * 3
    assert asked.answered() is None
    # The same request is not served again.
    asked.requests.ask_to_quiesce("request-1", START_ID)
    await asked.serve()
    assert asked.closed == 1


async def test_a_guest_does_not_hold_still_for_ever(asked: Bench) -> None:
    await asked.serve()
    assert HOLD_S <= asked.clock.elapsed < 2 * HOLD_S
    assert asked.answered() is None


async def test_a_guest_that_is_to_end_holds_still_no_longer(asked: Bench) -> None:
    asked.clock.while_sleeping = asked.stopping.set
    await asked.serve()
    assert asked.clock.elapsed < 1
    assert asked.answered() is None


async def test_another_request_meanwhile_is_answered_too(asked: Bench) -> None:
    answers = []

    def ask_again() -> None:
        found = asked.requests.answered(START_ID)
        assert found is not None
        answers.append(found.request_id)
        if len(answers) == 1:
            asked.requests.ask_to_quiesce("request-2", START_ID)
        elif answers[-1] == "request-2":
            asked.requests.withdraw("request-2")

    asked.clock.while_sleeping = ask_again
    await asked.serve()
    assert answers == ["request-1", "request-2"]
    assert asked.closed == 1


async def test_a_guest_with_a_problem_says_it_and_goes_on(asked: Bench) -> None:
    await asked.serve("its records are broken")
    assert asked.answered() == "its records are broken"
    assert (asked.closed, asked.clock.elapsed) == (0, 0)


async def test_a_log_that_does_not_close_is_a_problem(asked: Bench) -> None:
    def fail() -> None:
        raise HypervisorError("bad-disk", "The disk is gone.", "Look for it.")

    await asked.service.quiesce_if_asked(asked.stopping, fail)
    assert asked.answered() == "The disk is gone."


async def test_a_guest_that_is_told_to_fails(asked: Bench) -> None:
    cause = "the writer of the database failed"
    asked.faults.add(Fault("", Operation.GUEST_QUIESCE, FaultKind.FAIL, 1, code="x", cause=cause))
    await asked.serve()
    assert (asked.closed, asked.answered()) == (0, cause)


async def test_a_slow_guest_answers_late(asked: Bench) -> None:
    asked.faults.add(Fault("", Operation.GUEST_QUIESCE, FaultKind.DELAY, 1, seconds=30.0))
    asked.clock.while_sleeping = lambda: asked.requests.withdraw("request-1")
    await asked.serve()
    assert asked.clock.elapsed == 30.0
    assert asked.answered() is None


async def test_a_guest_shuts_down_when_its_start_is_asked_to(bed: Bed) -> None:
    bench = Bench(bed)
    assert not await bench.service.is_to_shut_down()
    bench.requests.ask_to_shut_down("another-start")
    assert not await bench.service.is_to_shut_down()
    bench.requests.ask_to_shut_down(START_ID)
    assert await bench.service.is_to_shut_down()


async def test_a_guest_that_refuses_may_be_asked_again(bed: Bed) -> None:
    bench = Bench(bed)
    refusing = Fault("", Operation.GUEST_SHUT_DOWN, FaultKind.FAIL, 1, code="x", cause="busy")
    bench.faults.add(refusing)
    bench.requests.ask_to_shut_down(START_ID)
    assert not await bench.service.is_to_shut_down()
    assert not await bench.service.is_to_shut_down()
    bench.requests.ask_to_shut_down(START_ID)
    assert await bench.service.is_to_shut_down()
    # Once it goes down, nothing holds it.
    bench.faults.add(refusing)
    assert await bench.service.is_to_shut_down()
