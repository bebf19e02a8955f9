"""A guest of a simulated machine without a process: it has the machine's lock and files, and acts when told to."""

from contextlib import ExitStack

from agent.hypervisor.simulated import power, state
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import GuestFile, PowerFile
from replikera.system.files import SystemFiles

START_ID = "start-1"
PROCESS_ID = 4_000_001


class ScriptedGuest:
    """The guest of one start."""

    def __init__(self, machine: MachineFolder, start_id: str = START_ID) -> None:
        self.machine = machine
        self.start_id = start_id
        self.requests = GuestRequests(machine)
        self._held = ExitStack()

    def come_up(self, *, is_answering: bool = True) -> None:
        """Run."""
        power_file = self.machine.path / "power.json"
        state.POWER.save(SystemFiles(), power_file, PowerFile(self.start_id))
        self._held.enter_context(SystemFiles().lock(self.machine.guest_lock))
        self.say(is_answering=is_answering)

    def say(self, *, is_answering: bool) -> None:
        """Say how the guest is."""
        said = GuestFile(self.start_id, PROCESS_ID, is_answering, is_answering, "fine", 0)
        power.write_guest(self.machine, said)

    @property
    def asked(self) -> str:
        """Return the request to hold still, "" where there is none."""
        return self.requests.quiesce(self.start_id)

    def answer(self, problem: str = "") -> None:
        """Answer the request to hold still."""
        assert self.asked
        self.requests.answer(self.asked, self.start_id, problem)

    def go_on(self) -> None:
        """Hold still no longer."""
        with self.machine.lock():
            self.requests.take_back()

    def die(self) -> None:
        """End without a word."""
        self._held.close()
