"""Power on, power off and health of simulated machines.

Every power-on has a start id, in power.json. The guest takes its lock, then checks under the machine's lock that its
own start is still the wanted one, and only then says so in guest.json; a guest that comes late, after a power-off or
beside another start, ends by itself. So a machine has started when its guest says so, and that is what the log of
effects tells. "Running" means that the guest's lock is held, and the process id in guest.json is used only while it is.

Three ways lead to a machine that is off: its guest shuts down, being asked to; it is powered off, and its guest ends
between two writes; its power is cut, and its guest is gone wherever it was.
"""

import sys
from collections.abc import Callable

from agent.hypervisor.interface import GuestHealth, HypervisorError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import GuestFile, MachineFile, PowerFile
from replikera.durable import remove_durably
from replikera.ports.clock import Clock
from replikera.ports.processes import Processes
from replikera.ports.workers import Worker

GUEST_MODULE = "agent.hypervisor.simulated.guest"

START_S = 30.0
"""How long a guest's process may take to come up; on a loaded machine Python alone takes seconds."""

TERMINATION_S = 5.0
"""How long a guest may take to end by itself before it is killed, and then to be gone."""

_POLL_S = 0.05
_POWER_FILE = "power.json"
_GUEST_FILE = "guest.json"


def read_power(machine: MachineFolder) -> PowerFile:
    """Return which start of the machine is wanted."""
    return state.POWER.load(machine.files, machine.path / _POWER_FILE) or PowerFile("")


def read_guest(machine: MachineFolder) -> GuestFile | None:
    """Return what the guest said of itself, None where nothing was said since the last power-on."""
    return state.GUEST.load(machine.files, machine.path / _GUEST_FILE)


def write_guest(machine: MachineFolder, guest: GuestFile) -> None:
    """Let the guest say something of itself."""
    state.GUEST.save(machine.files, machine.path / _GUEST_FILE, guest)


def claim(machine: MachineFolder, start_id: str, process_id: int, effects: Effects) -> bool:
    """Tell a guest that holds its lock whether it may run, and make that known.

    Of a start that is repeated while a guest comes up, one guest gets so far.
    """
    with machine.lock():
        effects.settle(machine.path)
        if read_power(machine).start_id != start_id:
            return False
        guest = GuestFile(start_id, process_id, False, False, "The machine is starting.", 0)
        evidence = Evidence(machine.path / _GUEST_FILE, state.GUEST.encode(guest))
        described = machine.read()
        with effects.making(
            machine.path,
            "machine-started",
            described.description.machine_id,
            described.tag,
            evidence,
        ):
            write_guest(machine, guest)
        return True


def switch_off(machine: MachineFolder, start_id: str, effects: Effects) -> None:
    """Let a guest that has shut down turn its machine off, unless another start is wanted by now."""
    with machine.lock():
        effects.settle(machine.path)
        if read_power(machine).start_id == start_id:
            _want_off(machine, "machine-shut-down", effects)


def ask_to_shut_down(machine: MachineFolder) -> None:
    """Ask the guest to shut down. A stopped machine is no error.

    Raises `HypervisorError` (code "guest-not-answering").
    """
    with machine.lock():
        machine.read()
        if not machine.is_running():
            return
        if not health(machine).is_answering:
            raise HypervisorError(
                "guest-not-answering",
                f"The guest of {machine.path.name} does not answer, so it cannot be asked to shut down.",
                "Wait until it answers, or power the machine off.",
            )
        GuestRequests(machine).ask_to_shut_down(read_power(machine).start_id)


def is_claimed(machine: MachineFolder) -> bool:
    """Tell whether the guest of the wanted start lives."""
    return _has_started(machine, read_power(machine)) and machine.is_running()


def _has_started(machine: MachineFolder, wanted: PowerFile) -> bool:
    guest = read_guest(machine)
    return guest is not None and guest.start_id == wanted.start_id


def health(machine: MachineFolder) -> GuestHealth:
    """Return what the guest of the present power-on says of itself."""
    if not machine.is_running():
        return GuestHealth(False, False, f"{machine.path.name} is not running.", 0)
    guest = read_guest(machine)
    if guest is None or guest.start_id != read_power(machine).start_id:
        return GuestHealth(False, False, "The guest has not answered yet.", 0)
    return GuestHealth(guest.is_answering, guest.is_healthy, guest.summary, guest.records)


class Power:
    """The power switch of the machines of one host."""

    def __init__(
        self, worker: Worker, clock: Clock, processes: Processes, effects: Effects
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._processes = processes
        self._effects = effects

    async def start(self, machine: MachineFolder, *, has_workload: bool = False) -> None:
        """Power on; returns once the guest lives. A running machine is no error."""
        await self._start(machine, lambda _: True, has_workload)

    async def start_with_host(self, machine: MachineFolder, *, has_workload: bool = False) -> None:
        """Power on as the start of the host does: not where the auto-start is off or blocked."""
        await self._start(machine, lambda described: described.is_auto_started, has_workload)

    async def _start(
        self, machine: MachineFolder, is_wanted: Callable[[MachineFile], bool], has_workload: bool
    ) -> None:
        started = await self._worker.run(self._spawn, machine, is_wanted, has_workload)
        if started is None:
            return
        start_id, process_id = started
        deadline = self._clock.monotonic() + START_S
        while not await self._worker.run(self._is_up, machine):
            is_alive = self._processes.is_alive(process_id)
            wanted = await self._worker.run(read_power, machine)
            is_replaced = wanted.start_id not in {"", start_id}
            if self._clock.monotonic() > deadline or not (is_alive or is_replaced):
                raise HypervisorError(
                    "start-failed",
                    f"The guest of {machine.path.name} did not come up.",
                    f"See {machine.path / 'guest.log'} and start the machine again.",
                )
            await self._clock.sleep(_POLL_S)

    async def power_off(self, machine: MachineFolder) -> None:
        """Power off; returns once the guest is gone. A stopped machine is no error."""
        await self._worker.run(self._turn_off, machine, "machine-powered-off")
        for end in (self._processes.terminate, self._processes.kill):
            if await self._is_off_after(machine, end):
                return
        raise _does_not_end(machine)

    async def cut(self, machine: MachineFolder) -> None:
        """Take the power away: the guest ends at once, wherever it is. A stopped machine is no error."""
        if not await self._worker.run(machine.is_running):
            return
        if not await self._is_off_after(machine, self._processes.kill):
            raise _does_not_end(machine)
        await self._worker.run(self._turn_off, machine, "machine-lost-power")

    def _spawn(
        self, machine: MachineFolder, is_wanted: Callable[[MachineFile], bool], has_workload: bool
    ) -> tuple[str, int] | None:
        with machine.lock():
            self._effects.settle(machine.path)
            if is_claimed(machine) or not is_wanted(machine.read()):
                return None
            start_id = machine.randomness.uuid()
            remove_durably(machine.files, machine.path / _GUEST_FILE)
            state.POWER.save(machine.files, machine.path / _POWER_FILE, PowerFile(start_id))
            process_id = self._processes.start_detached(
                _command(machine, start_id, has_workload), output=machine.path / "guest.log"
            )
            return start_id, process_id

    @staticmethod
    def _is_up(machine: MachineFolder) -> bool:
        with machine.lock():  # The guest holds it until its line is in the log.
            return is_claimed(machine)

    def _turn_off(self, machine: MachineFolder, effect: str) -> None:
        with machine.lock():
            self._effects.settle(machine.path)
            _want_off(machine, effect, self._effects)

    async def _is_off_after(self, machine: MachineFolder, end: Callable[[int], None]) -> bool:
        """Send the guest's process a signal, once it is known, and wait for its lock to be free."""
        deadline = self._clock.monotonic() + TERMINATION_S
        signalled: int | None = None
        while True:
            is_running = await self._worker.run(machine.is_running)
            guest = await self._worker.run(read_guest, machine)
            if is_running and guest is not None and signalled is None:
                signalled = guest.process_id
                end(signalled)
            # A process that we started stays in the system's table until it is asked for.
            is_listed = signalled is not None and self._processes.is_alive(signalled)
            if not (is_running or is_listed) or self._clock.monotonic() > deadline:
                return not is_running
            await self._clock.sleep(_POLL_S)


def _want_off(machine: MachineFolder, effect: str, effects: Effects) -> None:
    described = machine.read()
    wanted = read_power(machine)
    if not wanted.start_id:
        return
    path, off = machine.path / _POWER_FILE, PowerFile("")
    if not _has_started(machine, wanted):
        state.POWER.save(machine.files, path, off)
        return
    machine_id, evidence = described.description.machine_id, Evidence(path, state.POWER.encode(off))
    with effects.making(machine.path, effect, machine_id, described.tag, evidence):
        state.POWER.save(machine.files, path, off)


def _does_not_end(machine: MachineFolder) -> HypervisorError:
    return HypervisorError(
        "power-off-failed",
        f"The guest of {machine.path.name} does not end.",
        "End its process by hand (its id is in guest.json) and try again.",
    )


def _command(machine: MachineFolder, start_id: str, has_workload: bool) -> list[str]:
    command = [sys.executable, "-m", GUEST_MODULE, str(machine.path), "--start-id", start_id]
    return [*command, "--workload"] if has_workload else command
