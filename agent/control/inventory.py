"""Looks at the host every few seconds and reports what is there."""

from typing import NoReturn

import structlog

from agent.control.backlog import MAX_INVENTORY_BYTES, Backlog
from agent.control.messages import inventory_message
from agent.hypervisor.interface import Hypervisor, HypervisorError
from replikera.ports.clock import Clock

POLL_SECONDS = 5.0

log = structlog.get_logger(__name__)


class InventoryReports:
    """Reports machines and networks whenever they changed."""

    def __init__(self, hypervisor: Hypervisor, backlog: Backlog, clock: Clock) -> None:
        self._hypervisor = hypervisor
        self._backlog = backlog
        self._clock = clock
        self._trouble = ""

    async def run(self) -> NoReturn:
        """Look and report until cancelled. A hypervisor in trouble is asked again; what was reported stays."""
        while True:
            self._note(await self._look())
            await self._clock.sleep(POLL_SECONDS)

    async def _look(self) -> str:
        """Report what is there; return what keeps it from being reported, empty where nothing does."""
        try:
            message = inventory_message(await self._hypervisor.inventory())
        except HypervisorError as error:
            return str(error)
        if message.ByteSize() > MAX_INVENTORY_BYTES:
            return (
                f"{len(message.machines)} machines need {message.ByteSize()} bytes, a message holds "
                f"{MAX_INVENTORY_BYTES}. Spread the machines over more hosts."
            )
        self._backlog.report_inventory(message)
        return ""

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("inventory not reported", cause=trouble)
        self._trouble = trouble
