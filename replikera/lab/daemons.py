"""The lab's long-lived processes: started, killed, restarted and ended by their ids.

Their ids are on disk, so that `replikera lab down` ends what an earlier process started. An id alone is never
believed: systems give them out again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from replikera.durable import write_durably
from replikera.lab.errors import LabError
from replikera.lab.folder import LabFolder
from replikera.lab.waiting import wait_for
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.processes import Processes

TERMINATION_S = 10.0
"""How long a process may take to end after it was asked to."""

_KILL_S = 10.0
_LIMIT = 64 * 1024
_READY = b' ready"'  # the end of an event's name: "coordinator ready", "agent ready"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process that was started: its command line, its id, and where its own output begins in its log."""

    name: str
    arguments: tuple[str, ...]
    process_id: int
    log_start: int


class Daemons:
    """The processes of one lab folder."""

    def __init__(self, processes: Processes, files: Files, clock: Clock, folder: LabFolder) -> None:
        self._processes = processes
        self._files = files
        self._clock = clock
        self._folder = folder
        self._known = {daemon.name: daemon for daemon in _read_record(files, folder.processes)}

    def names(self) -> tuple[str, ...]:
        """Return the names of all that were started and not stopped, oldest first."""
        return tuple(self._known)

    def log(self, name: str) -> Path:
        """Return where the output of a daemon goes."""
        return self._folder.logs / f"{name}.log"

    def process_id(self, name: str) -> int:
        """Return the id of a process that was started."""
        return self._known[name].process_id

    def arguments(self, name: str) -> tuple[str, ...]:
        """Return the command line of a process as a user types it."""
        program, *arguments = self._known[name].arguments
        return (Path(program).name, *arguments)

    def is_alive(self, name: str) -> bool:
        """Tell whether the process runs."""
        daemon = self._known.get(name)
        return daemon is not None and self._is_running(daemon)

    def is_ready(self, name: str) -> bool:
        """Tell whether the process has logged that it is. Raises `LabError` where it ended instead."""
        daemon = self._known[name]
        with self._files.open_read(self.log(name)) as log:
            is_ready = _READY in log.read(_LIMIT, daemon.log_start)
        if not is_ready and not self._is_running(daemon):
            raise LabError(f"{name} ended by itself", f"Its log says why: {self.log(name)}")
        return is_ready

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a process under a name that nothing alive has."""
        if self.is_alive(name):
            raise LabError(f"{name} runs already", "End it with `replikera lab down`")
        log = self._files.status(self.log(name))
        process_id = self._processes.start_detached(arguments, output=self.log(name))
        log_start = 0 if log is None else log.size
        self._known[name] = Daemon(name, tuple(arguments), process_id, log_start)
        self._write_record()

    async def kill(self, name: str) -> None:
        """End a process as a power cut would, and return when it is gone."""
        daemon = self._known[name]
        if self._is_running(daemon):
            self._processes.kill(daemon.process_id)
            await self._gone(daemon, _KILL_S)

    def restart(self, name: str) -> None:
        """Start a killed process again with the command line it had."""
        self.start(name, self._known[name].arguments)

    async def stop(self, name: str) -> None:
        """Ask a process to end, end it when it does not, and forget it."""
        daemon = self._known[name]
        if self._is_running(daemon):
            self._processes.terminate(daemon.process_id)
            try:
                await self._gone(daemon, TERMINATION_S)
            except LabError:
                await self.kill(name)
        del self._known[name]
        self._write_record()

    async def stop_all(self) -> None:
        """End everything, the youngest first."""
        for name in reversed(self.names()):
            await self.stop(name)

    async def _gone(self, daemon: Daemon, timeout: float) -> None:
        async def look() -> bool | None:
            return None if self._is_running(daemon) else True

        await wait_for(
            self._clock, look, what=f"the end of {daemon.name}", timeout=timeout, interval=0.05
        )

    def _is_running(self, daemon: Daemon) -> bool:
        if not self._processes.is_alive(daemon.process_id):
            return False
        try:
            line = self._files.read_bytes(Path(f"/proc/{daemon.process_id}/cmdline"), limit=_LIMIT)
        except OSError:  # a system without /proc, or it ended just now
            return self._processes.is_alive(daemon.process_id)
        # A process that is ending has no command line any more, but still its ports and locks.
        return not line or line.endswith(_words(daemon.arguments[1:]))

    def _write_record(self) -> None:
        text = json.dumps([asdict(daemon) for daemon in self._known.values()], indent=2)
        write_durably(self._files, self._folder.processes, text.encode())


def _words(arguments: Sequence[str]) -> bytes:
    return b"".join(part.encode() + b"\0" for part in arguments)


def _read_record(files: Files, path: Path) -> list[Daemon]:
    if files.status(path) is None:
        return []
    return [
        Daemon(entry["name"], tuple(entry["arguments"]), entry["process_id"], entry["log_start"])
        for entry in json.loads(files.read_bytes(path, limit=_LIMIT))
    ]
