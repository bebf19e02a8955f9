"""The part of a guest that does what it is asked for: hold still for a view, and shut down.

A guest holds still for a bounded time only: an agent that dies with a view half taken costs the machine nothing more.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.faults import Faults, Operation
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker

HOLD_S = 20.0
"""How long a guest holds still; longer than anybody waits for it to begin."""

_POLL_S = 0.02


class GuestService:
    """Serves the requests of one start of a machine; called between two bursts of its workload."""

    def __init__(
        self, machine: MachineFolder, start_id: str, worker: Worker, clock: Clock, faults: Faults
    ) -> None:
        self._requests = GuestRequests(machine)
        self._lock: Callable[[], AbstractContextManager[None]] = machine.lock
        self._start_id = start_id
        self._worker = worker
        self._clock = clock
        self._faults = faults
        self._served = ""
        self._goes_down = False

    async def quiesce_if_asked(
        self, stopping: asyncio.Event, close_log: Callable[[], None], problem: str = ""
    ) -> None:
        """Hold still where that is asked for: close the log, say so, and wait until the view is taken.

        A guest with a `problem` says it instead.
        """
        request_id = await self._asked()
        if not request_id or request_id == self._served:
            return
        self._served = request_id
        try:
            await self._faults.meet(Operation.GUEST_QUIESCE)
        except HypervisorError as error:
            problem = error.cause
        if not problem:
            problem = await self._closing_problem(close_log)
        await self._answer(request_id, problem)
        if not problem:
            await self._hold(stopping)
            await self._worker.run(self._go_on)

    async def is_to_shut_down(self) -> bool:
        """Tell whether the guest is to shut down, and will; once it will, it does."""
        if self._goes_down:
            return True
        if not await self._worker.run(self._requests.is_to_shut_down, self._start_id):
            return False
        try:
            await self._faults.meet(Operation.GUEST_SHUT_DOWN)
        except HypervisorError:
            await self._worker.run(self._requests.refuse_to_shut_down)
            return False
        self._goes_down = True
        return True

    async def _closing_problem(self, close_log: Callable[[], None]) -> str:
        """Close the log; return why that failed: the workload will say the same when it writes next."""
        try:
            await self._worker.run(close_log)
        except HypervisorError as error:
            return error.cause
        return ""

    async def _hold(self, stopping: asyncio.Event) -> None:
        deadline = self._clock.monotonic() + HOLD_S
        while not stopping.is_set() and self._clock.monotonic() < deadline:
            request_id = await self._asked()
            if not request_id:
                return
            if request_id != self._served:  # Another view is wanted meanwhile.
                self._served = request_id
                await self._answer(request_id)
            await self._clock.sleep(_POLL_S)

    async def _asked(self) -> str:
        return await self._worker.run(self._requests.quiesce, self._start_id)

    async def _answer(self, request_id: str, problem: str = "") -> None:
        await self._worker.run(self._requests.answer, request_id, self._start_id, problem)

    def _go_on(self) -> None:
        with self._lock():
            self._requests.take_back()
