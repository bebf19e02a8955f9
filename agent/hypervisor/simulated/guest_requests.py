"""What a guest is asked for, as files of its machine's folder: to hold still for a view, and to shut down.

A request names the start that it is for, so that what was asked of one guest never reaches the next. quiesce.json is
the wish of whoever takes the view; it is withdrawn when the view is taken. quiesced.json is the guest's answer: there
while it holds still, or with the reason why it does not. The guest takes it back under the machine's lock before it
writes again, so whoever sees it under that lock has a guest that holds still until the lock goes.
"""

from pydantic.dataclasses import dataclass

from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import StateFile

QUIESCE_FILE = "quiesce.json"
QUIESCED_FILE = "quiesced.json"
SHUTDOWN_FILE = "shutdown.json"


@dataclass(frozen=True, slots=True, config=state.STRICT)
class QuiesceFile:
    """quiesce.json: somebody is about to take a view of the guest of this start."""

    request_id: str
    start_id: str


@dataclass(frozen=True, slots=True, config=state.STRICT)
class QuiescedFile:
    """quiesced.json: the guest's answer; `problem` says why it does not hold still, and is empty while it does."""

    request_id: str
    start_id: str
    problem: str


@dataclass(frozen=True, slots=True, config=state.STRICT)
class ShutdownFile:
    """shutdown.json: the guest of this start is to shut down."""

    start_id: str


QUIESCE = StateFile(QuiesceFile)
QUIESCED = StateFile(QuiescedFile)
SHUTDOWN = StateFile(ShutdownFile)


class GuestRequests:
    """The requests to the guest of one machine. All calls block."""

    def __init__(self, machine: MachineFolder) -> None:
        self._machine = machine
        self._files = machine.files

    def ask_to_quiesce(self, request_id: str, start_id: str) -> None:
        """Ask the guest of a start to hold still; a request before it is forgotten."""
        path = self._machine.path / QUIESCE_FILE
        QUIESCE.save(self._files, path, QuiesceFile(request_id, start_id))

    def withdraw(self, request_id: str) -> None:
        """Let the guest go on; a newer request stays."""
        asked = QUIESCE.load(self._files, self._machine.path / QUIESCE_FILE)
        if asked is not None and asked.request_id == request_id:
            self._files.remove(self._machine.path / QUIESCE_FILE)

    def quiesce(self, start_id: str) -> str:
        """Return the request to hold still that the guest of a start has, "" where there is none."""
        asked = QUIESCE.load(self._files, self._machine.path / QUIESCE_FILE)
        return asked.request_id if asked is not None and asked.start_id == start_id else ""

    def answer(self, request_id: str, start_id: str, problem: str = "") -> None:
        """Say that the guest holds still, or why not."""
        path = self._machine.path / QUIESCED_FILE
        QUIESCED.save(self._files, path, QuiescedFile(request_id, start_id, problem))

    def answered(self, start_id: str) -> QuiescedFile | None:
        """Return the answer of the guest of a start."""
        found = QUIESCED.load(self._files, self._machine.path / QUIESCED_FILE)
        return found if found is not None and found.start_id == start_id else None

    def take_back(self) -> None:
        """Say that the guest goes on. Called under the machine's lock, before the guest writes."""
        if self._files.status(self._machine.path / QUIESCED_FILE) is not None:
            self._files.remove(self._machine.path / QUIESCED_FILE)

    def ask_to_shut_down(self, start_id: str) -> None:
        """Ask the guest of a start to shut down."""
        SHUTDOWN.save(self._files, self._machine.path / SHUTDOWN_FILE, ShutdownFile(start_id))

    def refuse_to_shut_down(self) -> None:
        """Forget the request: the guest stays up, and may be asked again."""
        if self._files.status(self._machine.path / SHUTDOWN_FILE) is not None:
            self._files.remove(self._machine.path / SHUTDOWN_FILE)

    def is_to_shut_down(self, start_id: str) -> bool:
        """Tell whether the guest of a start was asked to shut down."""
        asked = SHUTDOWN.load(self._files, self._machine.path / SHUTDOWN_FILE)
        return asked is not None and asked.start_id == start_id
