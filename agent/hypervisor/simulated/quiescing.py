"""Views for which the guest made its applications ready: asked, waited for, taken, and let go on.

A guest that is off, unwell, too slow or unwilling costs the consistency of the view and never the view itself.
"""

from contextlib import suppress
from dataclasses import dataclass

from agent.hypervisor.interface import HypervisorError, View
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.views import Views
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker

QUIESCE_S = 10.0
"""How long a guest may take to close its log."""

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class _Request:
    """One request; `problem` is empty while the guest may still hold still for it."""

    request_id: str
    start_id: str
    problem: str = ""


class Quiescing:
    """Takes application-consistent views of the machines of one host."""

    def __init__(self, worker: Worker, clock: Clock) -> None:
        self._worker = worker
        self._clock = clock

    async def freeze(self, machine: MachineFolder, views: Views, tag: str) -> View:
        """Take a view that is application-consistent, or says why it is not."""
        request = await self._worker.run(_ask, machine)
        try:
            problem = request.problem or await self._answer(machine, request)
            return await self._worker.run(
                views.freeze, tag, lambda: problem or _unreadiness(machine, request)
            )
        finally:
            await self._worker.run(_withdraw, machine, request)

    async def _answer(self, machine: MachineFolder, request: _Request) -> str:
        """Wait for the guest's answer; return why it does not hold still, "" where it does."""
        deadline = self._clock.monotonic() + QUIESCE_S
        while self._clock.monotonic() < deadline:
            answer = await self._worker.run(GuestRequests(machine).answered, request.start_id)
            if answer is not None and answer.request_id == request.request_id:
                return answer.problem
            if not await self._worker.run(machine.is_running):
                return "the guest ended"
            await self._clock.sleep(_POLL_S)
        return f"the guest did not answer within {QUIESCE_S:.0f} s"


def _ask(machine: MachineFolder) -> _Request:
    with machine.lock():
        machine.read()  # A machine that is gone is an error, and no reason to fall back.
        request_id = machine.randomness.uuid()
        start_id = power.read_power(machine).start_id
        if not machine.is_running():
            return _Request(request_id, start_id, "the guest is not running")
        health = power.health(machine)
        if not health.is_answering:
            return _Request(request_id, start_id, "the guest does not answer yet")
        GuestRequests(machine).ask_to_quiesce(request_id, start_id)
        return _Request(request_id, start_id)


def _withdraw(machine: MachineFolder, request: _Request) -> None:
    with (
        suppress(HypervisorError),
        machine.lock(),
    ):  # A machine that is gone has nobody to hold still.
        GuestRequests(machine).withdraw(request.request_id)


def _unreadiness(machine: MachineFolder, request: _Request) -> str:
    """Return why a guest that held still does so no longer, "" where it does; under the machine's lock."""
    answer = GuestRequests(machine).answered(request.start_id)
    if answer is None or answer.problem or not machine.is_running():
        return "the guest went on before the view was taken"
    return ""
