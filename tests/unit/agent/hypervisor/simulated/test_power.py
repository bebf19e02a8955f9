from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from agent.hypervisor.interface import GuestHealth, HypervisorError
from agent.hypervisor.simulated import power, state
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.state import GuestFile, PowerFile
from replikera.ports.files import Buffer
from replikera.ports.processes import Completed
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import Bed, InlineWorker

PID = 4_000_000
FILES = SystemFiles()


class ScriptedProcesses:
    """A process table in which starting a guest takes its lock, as far as the test lets it."""

    def __init__(self, effects: Effects) -> None:
        self.started: list[list[str]] = []
        self.signals: list[str] = []
        self.alive: set[int] = set()
        self.held = ExitStack()
        self.comes_up = True
        self.obeys = {"terminate", "kill"}
        self.before_claim: Callable[[], None] = lambda: None
        self.effects = effects

    async def run(
        self, arguments: Sequence[str], *, standard_input: bytes = b"", timeout: float
    ) -> Completed:
        raise NotImplementedError

    async def run_attached(self, arguments: Sequence[str]) -> int:
        raise NotImplementedError

    def start_detached(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        self.started.append(list(arguments))
        if self.comes_up:
            self.alive.add(PID)
        return PID

    def come_up(self, machine: MachineFolder) -> bool:
        """Do what the started guest does at first: take the lock, then ask whether it may run."""
        start_id = self.started[-1][self.started[-1].index("--start-id") + 1]
        self.held.enter_context(FILES.lock(machine.guest_lock))
        self.alive.add(PID)
        return power.claim(machine, start_id, PID, self.effects)

    def terminate(self, process_id: int) -> None:
        self._end("terminate", process_id)

    def kill(self, process_id: int) -> None:
        self._end("kill", process_id)

    def _end(self, how: str, process_id: int) -> None:
        self.signals.append(f"{how} {process_id}")
        if how in self.obeys:
            self.alive.discard(process_id)
            self.held.close()

    def is_alive(self, process_id: int) -> bool:
        return process_id in self.alive


class Clock:
    """Sleeping lets the guest come up."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.while_sleeping: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        self.while_sleeping()


class Bench:
    """A machine and its power switch."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.machine = bed.machine()
        self.processes = ScriptedProcesses(bed.effects)
        self.clock = Clock()
        self.switch = Power(InlineWorker(), self.clock, self.processes, bed.effects)  # type: ignore[arg-type]  # nobody asks for the date

    def effects(self) -> list[str]:
        return [effect for effect, _, _ in self.bed.logged()]

    async def start(self) -> None:
        self.clock.while_sleeping = self.comes_up_once
        await self.switch.start(self.machine)

    def comes_up_once(self) -> None:
        self.clock.while_sleeping = lambda: None
        assert self.processes.come_up(self.machine)


@pytest.fixture
def bench(bed: Bed) -> Bench:
    return Bench(bed)


async def test_a_start_returns_when_the_guest_lives(bench: Bench) -> None:
    await bench.start()
    assert bench.machine.is_running()
    assert power.is_claimed(bench.machine)
    assert bench.processes.started[0][1:4] == [
        "-m",
        "agent.hypervisor.simulated.guest",
        str(bench.machine.path),
    ]
    assert "--workload" not in bench.processes.started[0]
    assert bench.effects() == ["machine-started"]
    await bench.switch.power_off(bench.machine)


async def test_starting_twice_is_starting_once(bench: Bench) -> None:
    await bench.start()
    await bench.switch.start(bench.machine, has_workload=True)
    assert len(bench.processes.started) == 1
    assert bench.effects() == ["machine-started"]
    await bench.switch.power_off(bench.machine)


async def test_a_guest_of_an_earlier_start_may_not_run(bench: Bench) -> None:
    # The agent is killed after it started the guest, and starts again before that guest is up.
    bench.clock.while_sleeping = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        await bench.switch.start(bench.machine)
    early = bench.processes.started[0][-1]
    await bench.start()
    assert not power.claim(bench.machine, early, PID + 1, bench.bed.effects)
    assert bench.effects() == ["machine-started"]
    guest = power.read_guest(bench.machine)
    assert guest is not None
    assert guest.process_id == PID
    await bench.switch.power_off(bench.machine)


async def test_a_guest_that_comes_after_the_power_off_may_not_run(bench: Bench) -> None:
    await bench.start()
    await bench.switch.power_off(bench.machine)
    assert not bench.processes.come_up(bench.machine)
    bench.processes.held.close()


async def test_a_start_whose_guest_was_never_heard_of_is_no_effect(bench: Bench) -> None:
    bench.processes.comes_up = False
    with pytest.raises(HypervisorError, match="did not come up"):
        await bench.switch.start(bench.machine)
    await bench.switch.power_off(bench.machine)
    assert power.read_power(bench.machine) == PowerFile("")
    assert bench.effects() == []


async def test_a_guest_that_is_killed_as_it_comes_up_has_started(bench: Bench) -> None:
    class Killed(BaseException):
        pass

    class MortalFiles(SystemFiles):
        @override
        def append(self, path: Path, data: Buffer) -> None:
            raise Killed

    mortal = Effects(MortalFiles(), bench.bed.clock, SystemRandomness(), bench.bed.host.root)
    bench.processes.effects = mortal
    with pytest.raises(Killed):
        await bench.start()
    assert bench.effects() == []
    bench.processes.held.close()
    bench.processes.effects = bench.bed.effects
    await bench.start()
    assert bench.effects() == ["machine-started", "machine-started"]
    await bench.switch.power_off(bench.machine)


async def test_the_start_of_the_host_starts_what_is_allowed_to(bench: Bench) -> None:
    described = bench.machine.read()
    path = bench.machine.path / "machine.json"
    for blocked in (
        described,
        replace(described, starts_with_host=True, auto_start_blocks=("p1",)),
    ):
        state.MACHINE.save(FILES, path, blocked)
        await bench.switch.start_with_host(bench.machine)
        assert bench.processes.started == []
    state.MACHINE.save(FILES, path, replace(described, starts_with_host=True))
    bench.clock.while_sleeping = bench.comes_up_once
    await bench.switch.start_with_host(bench.machine, has_workload=True)
    assert bench.machine.is_running()
    assert "--workload" in bench.processes.started[0]
    await bench.switch.start_with_host(bench.machine)
    assert bench.effects() == ["machine-started"]
    await bench.switch.power_off(bench.machine)


async def test_a_guest_that_ends_at_once_is_a_failure_with_a_log_to_read(bench: Bench) -> None:
    bench.processes.comes_up = False
    with pytest.raises(HypervisorError, match="guest.log") as caught:
        await bench.switch.start(bench.machine)
    assert caught.value.code == "start-failed"


async def test_a_guest_that_never_comes_is_waited_for_with_a_bound(bench: Bench) -> None:
    with pytest.raises(HypervisorError, match="did not come up"):
        await bench.switch.start(bench.machine)
    assert power.START_S < bench.clock.elapsed < power.START_S + 1


async def test_a_start_that_another_replaced_is_no_failure(bench: Bench) -> None:
    bench.processes.comes_up = False

    def another_start() -> None:
        state.POWER.save(FILES, bench.machine.path / "power.json", PowerFile("other"))
        bench.processes.started.append(["--start-id", "other"])
        bench.clock.while_sleeping = bench.comes_up_once

    bench.clock.while_sleeping = another_start
    bench.processes.alive.add(PID)
    await bench.switch.start(bench.machine)
    assert power.is_claimed(bench.machine)
    await bench.switch.power_off(bench.machine)


async def test_power_off_asks_first(bench: Bench) -> None:
    await bench.start()
    await bench.switch.power_off(bench.machine)
    assert bench.processes.signals == [f"terminate {PID}"]
    assert not bench.machine.is_running()
    assert bench.effects() == ["machine-started", "machine-powered-off"]


async def test_power_off_kills_what_does_not_listen(bench: Bench) -> None:
    await bench.start()
    bench.processes.obeys = {"kill"}
    await bench.switch.power_off(bench.machine)
    assert bench.processes.signals == [f"terminate {PID}", f"kill {PID}"]
    assert power.TERMINATION_S < bench.clock.elapsed < power.TERMINATION_S + 1


async def test_power_off_says_so_when_nothing_helps(bench: Bench) -> None:
    await bench.start()
    bench.processes.obeys = set()
    with pytest.raises(HypervisorError, match="by hand") as caught:
        await bench.switch.power_off(bench.machine)
    assert caught.value.code == "power-off-failed"
    bench.processes.held.close()


async def test_powering_off_a_stopped_machine_signals_nobody(bench: Bench) -> None:
    # guest.json is a leftover, and its process id may be anybody's by now.
    power.write_guest(bench.machine, GuestFile("old", PID, True, True, "", 0))
    bench.processes.alive.add(PID)
    await bench.switch.power_off(bench.machine)
    await bench.switch.power_off(bench.machine)
    assert bench.processes.signals == []
    assert not (bench.bed.host.root / "effects.log").exists()


async def test_a_leftover_of_the_last_guest_is_not_signalled_for_the_next(bench: Bench) -> None:
    power.write_guest(bench.machine, GuestFile("old", PID + 7, True, True, "", 0))
    bench.clock.while_sleeping = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        await bench.switch.start(bench.machine)
    bench.processes.held.enter_context(FILES.lock(bench.machine.guest_lock))
    start_id = bench.processes.started[0][-1]

    def ends_by_itself() -> None:
        assert not power.claim(bench.machine, start_id, PID, bench.bed.effects)
        bench.processes.held.close()

    bench.clock.while_sleeping = ends_by_itself
    await bench.switch.power_off(bench.machine)
    assert bench.processes.signals == []


async def test_health_is_believed_of_the_present_start_only(bench: Bench) -> None:
    power.write_guest(bench.machine, GuestFile("old", PID, True, True, "fine", 7))
    assert power.health(bench.machine) == GuestHealth(False, False, "web is not running.", 0)
    with FILES.lock(bench.machine.guest_lock):
        assert not power.health(bench.machine).is_answering
    await bench.start()
    assert not power.health(bench.machine).is_answering
    wanted = power.read_power(bench.machine).start_id
    power.write_guest(bench.machine, GuestFile(wanted, PID, True, True, "fine", 7))
    assert power.health(bench.machine) == GuestHealth(True, True, "fine", 7)
    await bench.switch.power_off(bench.machine)
    assert power.health(bench.machine) == GuestHealth(False, False, "web is not running.", 0)


async def test_a_cut_ends_the_guest_at_once_wherever_it_is(bench: Bench) -> None:
    await bench.start()
    await bench.switch.cut(bench.machine)
    assert bench.processes.signals == [f"kill {PID}"]
    assert not bench.machine.is_running()
    assert power.read_power(bench.machine) == PowerFile("")
    await bench.switch.cut(bench.machine)
    assert bench.effects() == ["machine-started", "machine-lost-power"]


async def test_a_cut_says_so_when_the_guest_does_not_end(bench: Bench) -> None:
    await bench.start()
    bench.processes.obeys = set()
    with pytest.raises(HypervisorError, match="by hand"):
        await bench.switch.cut(bench.machine)
    bench.processes.held.close()
    assert bench.effects() == ["machine-started"]


def answering(bench: Bench) -> GuestRequests:
    wanted = power.read_power(bench.machine).start_id
    power.write_guest(bench.machine, GuestFile(wanted, PID, True, True, "fine", 7))
    return GuestRequests(bench.machine)


async def test_a_guest_that_answers_is_asked_to_shut_down(bench: Bench) -> None:
    await bench.start()
    requests = answering(bench)
    for _ in range(2):
        power.ask_to_shut_down(bench.machine)
        assert requests.is_to_shut_down(power.read_power(bench.machine).start_id)
    assert bench.machine.is_running()
    await bench.switch.power_off(bench.machine)


async def test_a_guest_that_does_not_answer_cannot_be_asked(bench: Bench) -> None:
    await bench.start()
    with pytest.raises(HypervisorError, match="does not answer") as caught:
        power.ask_to_shut_down(bench.machine)
    assert caught.value.code == "guest-not-answering"
    await bench.switch.power_off(bench.machine)


def test_a_stopped_machine_is_shut_down_already(bench: Bench) -> None:
    power.ask_to_shut_down(bench.machine)
    assert not (bench.machine.path / "shutdown.json").exists()


async def test_a_guest_that_has_shut_down_turns_its_machine_off_once(bench: Bench) -> None:
    await bench.start()
    start_id = power.read_power(bench.machine).start_id
    power.switch_off(bench.machine, "another-start", bench.bed.effects)
    assert power.read_power(bench.machine).start_id == start_id
    for _ in range(2):
        power.switch_off(bench.machine, start_id, bench.bed.effects)
    assert power.read_power(bench.machine) == PowerFile("")
    assert bench.effects() == ["machine-started", "machine-shut-down"]
    bench.processes.held.close()
