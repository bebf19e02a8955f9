"""Who vouches for the tracking logs of a machine: tracking/session.json.

Logs tell what was written through them. Whether anything else happened to the disks is told by the session: it is open
while a guest has the disks, and closed, with the identity of each disk's content, once that guest has finished. So a
disk that has another content than at the end of the last session was written past the logs, and a session that is still
open although its host has crashed since had logs that need not have been durable. Either way no mark from before leads
any further. A guest that was killed alone, on a host that runs on, loses nothing: its ranges are in the log before its
data is on the disk.

Every call is made under the machine's lock.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.state import StateFile
from agent.hypervisor.simulated.tracking import TrackingLogs
from replikera.durable import make_directory_durably
from replikera.ports.files import Files

SESSION_FILE = "session.json"


@dataclass(frozen=True, slots=True, config=state.STRICT)
class SessionFile:
    """session.json. `contents` has by disk id the DataWriteGuid of a closed session's disks.

    `is_broken`: somebody is about to change the disks past the logs, or has.
    """

    boot_id: str
    is_open: bool
    contents: dict[str, str]
    is_broken: bool = False


SESSION = StateFile(SessionFile)


class TrackingSession:
    """The session of one machine."""

    def __init__(self, files: Files, folder: Path, logs: TrackingLogs) -> None:
        self._files = files
        self._folder = folder
        self._logs = logs

    def begin(self, contents: Mapping[str, str], boot_id: str) -> None:
        """Open the session of a guest that has the disks now; nobody else has them."""
        self._judge(contents, boot_id)
        self._save(SessionFile(boot_id, is_open=True, contents={}))

    def end(self, contents: Mapping[str, str], boot_id: str) -> None:
        """Close the session of a guest that has finished in order."""
        self._save(SessionFile(boot_id, is_open=False, contents=dict(contents)))

    def look(self, contents: Mapping[str, str], boot_id: str, *, is_in_use: bool) -> None:
        """Judge the disks before a view is taken of them; `is_in_use`: a guest has them, and vouches itself."""
        found = self._load()
        if not is_in_use and (found is None or self._is_lost(found, contents, boot_id)):
            self._judge(contents, boot_id)
            self.end(contents, boot_id)

    def break_off(self, boot_id: str) -> None:
        """Say, before the disks are changed past the logs, that no mark from before leads any further."""
        self._save(SessionFile(boot_id, is_open=False, contents={}, is_broken=True))

    def carry_over(self, boot_id: str) -> None:
        """Let an open session outlive a crash of its host: its logs were durable, coarse as they may be."""
        found = self._load()
        if found is not None and found.is_open:
            self._save(SessionFile(boot_id, is_open=True, contents={}))

    def _judge(self, contents: Mapping[str, str], boot_id: str) -> None:
        if self._is_lost(self._load(), contents, boot_id):
            self._logs.lose()

    @staticmethod
    def _is_lost(found: SessionFile | None, contents: Mapping[str, str], boot_id: str) -> bool:
        if found is None:
            return False
        if found.is_open:
            return found.boot_id != boot_id
        return found.is_broken or found.contents != contents

    def _load(self) -> SessionFile | None:
        return SESSION.load(self._files, self._folder / SESSION_FILE)

    def _save(self, session: SessionFile) -> None:
        make_directory_durably(self._files, self._folder)
        SESSION.save(self._files, self._folder / SESSION_FILE, session)
