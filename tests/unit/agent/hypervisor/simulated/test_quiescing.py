import asyncio
from collections.abc import Callable, Iterator

import pytest
from typing_extensions import override

from agent.hypervisor.interface import Consistency, HypervisorError, View
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.quiescing import QUIESCE_S, Quiescing
from tests.support.simulated_guest import ScriptedGuest
from tests.support.simulated_host import Bed, InlineWorker, SteppingClock

TAG = "protection-1"


class Clock(SteppingClock):
    """Lets the guest act while somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.while_sleeping: Callable[[], object] = lambda: None

    @override
    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.while_sleeping()
        await asyncio.sleep(0)


class Bench:
    """A machine with a guest that does what a test says."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.machine = bed.machine()
        self.guest = ScriptedGuest(self.machine)
        self.clock = Clock()
        self.quiescing = Quiescing(InlineWorker(), self.clock)

    async def freeze(self, machine: MachineFolder | None = None) -> View:
        views = self.bed.views(self.machine)
        return await self.quiescing.freeze(machine or self.machine, views, TAG)

    async def fallback(self) -> str:
        """Take a view that cannot be application-consistent; return why."""
        view = await self.freeze()
        assert view.consistency is Consistency.CRASH
        assert self.bed.views(self.machine).all() == [view]
        assert not (self.machine.path / "quiesce.json").exists()
        return view.fallback


@pytest.fixture
def bench(bed: Bed) -> Iterator[Bench]:
    bench = Bench(bed)
    yield bench
    bench.guest.die()


async def test_a_guest_that_holds_still_has_an_application_consistent_view(bench: Bench) -> None:
    bench.guest.come_up()
    bench.clock.while_sleeping = bench.guest.answer
    view = await bench.freeze()
    assert (view.consistency, view.fallback) == (Consistency.APPLICATION, "")
    # It may go on now.
    assert bench.guest.asked == ""
    assert bench.bed.views(bench.machine).all() == [view]


async def test_a_machine_that_is_off_is_not_asked(bench: Bench) -> None:
    assert await bench.fallback() == "the guest is not running"


async def test_a_guest_that_comes_up_is_not_asked(bench: Bench) -> None:
    bench.guest.come_up(is_answering=False)
    assert await bench.fallback() == "the guest does not answer yet"


async def test_a_guest_that_cannot_hold_still_says_why(bench: Bench) -> None:
    bench.guest.come_up()
    bench.clock.while_sleeping = lambda: bench.guest.answer("its writer failed")
    assert await bench.fallback() == "its writer failed"


async def test_a_guest_that_does_not_answer_is_waited_for_with_a_bound(bench: Bench) -> None:
    bench.guest.come_up()
    assert await bench.fallback() == "the guest did not answer within 10 s"
    assert bench.clock.elapsed < 2 * QUIESCE_S


async def test_a_guest_that_ends_meanwhile_is_not_waited_for(bench: Bench) -> None:
    bench.guest.come_up()
    bench.clock.while_sleeping = bench.guest.die
    assert await bench.fallback() == "the guest ended"
    assert bench.clock.elapsed < QUIESCE_S


@pytest.mark.parametrize("what", ["went on", "died", "was asked again"])
async def test_what_happens_between_answer_and_view_costs_the_consistency(
    bench: Bench, what: str
) -> None:
    bench.guest.come_up()

    class LateViews:
        """Takes the view when the guest holds still no longer."""

        def freeze(self, tag: str, unreadiness: Callable[[], str]) -> View:
            if what == "died":
                bench.guest.die()
            elif what == "went on":
                bench.guest.go_on()
            else:
                bench.guest.answer("asked by somebody else")
            return bench.bed.views(bench.machine).freeze(tag, unreadiness)

    bench.clock.while_sleeping = bench.guest.answer
    view = await bench.quiescing.freeze(bench.machine, LateViews(), TAG)  # type: ignore[arg-type]
    assert view.consistency is Consistency.CRASH
    assert view.fallback == "the guest went on before the view was taken"


async def test_an_answer_to_an_earlier_start_is_none(bench: Bench) -> None:
    early = ScriptedGuest(bench.machine, "start-0")
    early.come_up()
    early.requests.answer("request-0", "start-0")
    early.die()
    bench.guest.come_up()
    assert "did not answer" in await bench.fallback()


async def test_a_view_that_fails_lets_the_guest_go_on(bench: Bench) -> None:
    bench.guest.come_up()
    bench.clock.while_sleeping = bench.guest.answer

    class FailingViews:
        def freeze(self, _tag: str, _unreadiness: object) -> View:
            raise HypervisorError("host-storage", "It is full.", "Make room.")

    with pytest.raises(HypervisorError, match="full"):
        await bench.quiescing.freeze(bench.machine, FailingViews(), TAG)  # type: ignore[arg-type]
    assert bench.guest.asked == ""


async def test_two_views_at_once_are_both_consistent(bench: Bench) -> None:
    bench.guest.come_up()

    def answer_what_is_asked() -> None:
        if bench.guest.asked:
            bench.guest.answer()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(bench.freeze())
        second = group.create_task(bench.freeze())
        bench.clock.while_sleeping = answer_what_is_asked
    assert {task.result().view_id for task in (first, second)} == {
        view.view_id for view in bench.bed.views(bench.machine).all()
    }
    assert second.result().consistency is Consistency.APPLICATION
    # The request of the first was replaced: it may fall back, and says so then.
    assert (first.result().consistency is Consistency.APPLICATION) == (not first.result().fallback)


async def test_a_machine_that_is_gone_is_an_error(bench: Bench) -> None:
    gone = MachineFolder(
        bench.machine.files, bench.machine.randomness, bench.machine.path.with_name("gone")
    )
    with pytest.raises(HypervisorError) as caught:
        await bench.freeze(gone)
    assert caught.value.code == "unknown-machine"
