"""The effects log: one JSON line for every change that was made on the host, so that a second time shows.

A change and its line are two steps, and a process can be killed between them. So whoever is about to change something
says so first in effect.json, in the folder whose lock it holds, and names the one file that shows afterwards whether
the change was made: with which content, or that it is gone. After the change the file is looked at, the line is
appended, and effect.json goes. Whoever finds effect.json under the same lock finishes what it tells of, before
changing anything: the line is added if the change was made and the log does not have it yet. The host's inventory is
such a look too, so that a line is late by no more than that.

What is promised: after a process was killed at any moment every change has one line, once the inventory was asked or
the next change was made under the same lock; never two, and none for a change that was not made. A power cut may
also take lines with it that the system had not written yet, and leave zeros in their place, since neither effect.json
nor the log is synced: a log of trials is not worth what that costs a cycle. It never makes a line twice or for nothing.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.state import EffectFile
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

EFFECT_FILE = "effect.json"
LOG_FILE = "effects.log"
LOCK_FILE = "effects.lock"

_MAX_EVIDENCE_BYTES = 1 << 20
"""As much as a state file may hold."""

_STEP_BYTES = 1 << 16
"""More than any line: names are a few hundred bytes."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The file that shows that a change was made: it has this content, or, where that is None, is gone."""

    path: Path
    content: bytes | None


class Effects:
    """effects.log of one host; appended to by every process that changes something. All calls block."""

    def __init__(self, files: Files, clock: Clock, randomness: Randomness, root: Path) -> None:
        self._files = files
        self._clock = clock
        self._randomness = randomness
        self._root = root

    @contextmanager
    def making(
        self, place: Path, effect: str, subject: str, tag: str, evidence: Evidence
    ) -> Iterator[None]:
        """Make one change in the block, and log what was done, to which object, for whom.

        Entered under the lock of `place`, as is `settle`.
        """
        self.settle(place)
        content = evidence.content
        self._announce(
            place,
            EffectFile(
                effect_id=self._randomness.uuid(),
                begun_at=self._clock.now().isoformat(),
                effect=effect,
                subject=subject,
                tag=tag,
                evidence=evidence.path.relative_to(self._root).as_posix(),
                digest="" if content is None else hashlib.sha256(content).hexdigest(),
                log_size=self._log_size(),
            ),
        )
        yield  # An error leaves effect.json behind: what the block did by then is found out later.
        self.settle(place)

    def settle(self, place: Path) -> None:
        """Log the change that was begun in `place`, if it was made and is not in the log."""
        path = place / EFFECT_FILE
        if self._files.status(path) is None:
            return
        begun = self._load(path)
        if begun is not None and self._was_made(begun):
            self._tell(begun)
        self._files.remove(path)

    def is_unsettled(self, place: Path) -> bool:
        """Tell whether a change is being made in `place`, or was being made when its process was killed."""
        return self._files.status(place / EFFECT_FILE) is not None

    def _announce(self, place: Path, begun: EffectFile) -> None:
        path = place / EFFECT_FILE
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        if self._files.status(temporary) is not None:
            self._files.remove(temporary)
        with self._files.create(temporary) as file:
            file.write(state.EFFECT.encode(begun), 0)
        self._files.replace(temporary, path)

    def _load(self, path: Path) -> EffectFile | None:
        try:
            return state.EFFECT.load(self._files, path)
        except HypervisorError:
            return None  # Cut off by a power cut: this line is lost.

    def _was_made(self, begun: EffectFile) -> bool:
        path = self._root / begun.evidence
        try:
            content = self._files.read_bytes(path, limit=_MAX_EVIDENCE_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return not begun.digest
        except ValueError:
            return False  # No file of ours is as large as that.
        return hashlib.sha256(content).hexdigest() == begun.digest

    def _tell(self, begun: EffectFile) -> None:
        line = {
            "time": begun.begun_at,
            "effect": begun.effect,
            "object": begun.subject,
            "tag": begun.tag,
            "id": begun.effect_id,
        }
        log = self._root / LOG_FILE
        with self._files.lock(self._root / LOCK_FILE):
            size = self._mend()
            if not self._has(begun.effect_id, min(begun.log_size, size), size):
                self._files.append(log, json.dumps(line).encode() + b"\n")

    def _log_size(self) -> int:
        with self._files.lock(self._root / LOCK_FILE):
            return self._mend()

    def _mend(self) -> int:
        """Cut a line off that was not written to its end, and return the log's size."""
        path = self._root / LOG_FILE
        status = self._files.status(path)
        if status is None or status.size == 0:
            return 0
        with self._files.open_write(path) as log:
            size = log.size()
            start = max(0, size - _STEP_BYTES)
            whole = start + log.read(size - start, start).rfind(b"\n") + 1
            if whole < size:
                log.truncate(whole)
            return whole

    def _has(self, effect_id: str, start: int, end: int) -> bool:
        """Tell whether a line from `start` on has the id."""
        if start == end:
            return False
        wanted = effect_id.encode()
        with self._files.open_read(self._root / LOG_FILE) as log:
            return any(
                wanted in log.read(_STEP_BYTES + len(wanted), offset)
                for offset in range(start, end, _STEP_BYTES)
            )
