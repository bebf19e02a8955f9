"""The state of one protection, in memory and in its file: whoever changes it sees what was written before."""

import asyncio
from collections.abc import Callable

from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from replikera.ports.workers import Worker


class ProtectionRecord:
    """One writer at a time. After a write whose end nobody saw, the file decides what the state is."""

    def __init__(self, folder: StateFolder, worker: Worker, state: SourceState) -> None:
        self._folder = folder
        self._worker = worker
        self._state = state
        self._turn = asyncio.Lock()
        self._is_doubtful = False
        self._changed = asyncio.Event()

    @property
    def state(self) -> SourceState:
        """Return the newest state that is known to be durable."""
        return self._state

    async def refresh(self) -> None:
        """Read the file again where a write failed or was given up. Raises `StateFileError` and `OSError`."""
        async with self._turn:
            await self._settle()

    async def update(self, change: Callable[[SourceState], SourceState]) -> SourceState:
        """Make a change durable, and return the state that it led to. Raises `StateFileError` and `OSError`."""
        async with self._turn:
            await self._settle()
            state = change(self._state)
            if state != self._state:
                self._is_doubtful = True
                await self._worker.run(self._folder.save, state)
                self._is_doubtful = False
                self._replace(state)
            return self._state

    async def changed_from(self, state: SourceState) -> None:
        """Return as soon as the state is another than this one."""
        while self._state is state:
            await self._changed.wait()

    async def _settle(self) -> None:
        if not self._is_doubtful:
            return
        protection_id = self._state.assignment.protection_id
        state = await self._worker.run(self._folder.load, protection_id)
        self._is_doubtful = False
        if state is not None:
            self._replace(state)

    def _replace(self, state: SourceState) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()
