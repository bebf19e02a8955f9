"""A world over a file system that forgets: it acts, dies, loses power and meets faults, and is looked at all the while.

Ahead of every change of the file system crashed copies of it are checked, and sometimes crashed again on the way.
"""

import errno
import random
from abc import ABC, abstractmethod
from pathlib import Path

from agent.replica.errors import ReplicaError
from agent.replica.images import ImageFormat
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from tests.simulation.replica_checker import FOLDER, ROOT, Wrap
from tests.simulation.replica_promises import BrokenPromiseError, KilledError
from tests.support.crash_files import CrashFiles
from tests.support.segments import ACCEPTED

SECTOR = 512


class CrashWorld(ABC):
    """One seeded world with one replica. `states` counts the crash states that were checked."""

    def __init__(self, seed: int, image_format: ImageFormat, *, share: float, wrap: Wrap) -> None:
        """`share` of all moments are looked at."""
        self.states = 0
        self.chooser = random.Random(seed)
        self.files = CrashFiles()
        self.files.make_directory(ROOT)
        self.files.sync_directory(Path("/"))
        self._format = image_format
        self._share = share
        self._wrap = wrap
        self._dies_in: int | None = None
        self._fault_in: int | None = None
        self.lineage: Lineage = create_lineage(wrap(self.files), FOLDER, ACCEPTED, image_format)
        self.files.before = self._before

    @abstractmethod
    def act(self) -> None:
        """Do one thing."""

    @abstractmethod
    def restarted(self) -> None:
        """Go on with a lineage that was opened again; whatever was open in memory is gone."""

    @abstractmethod
    def failed(self) -> None:
        """Go on after a refusal or a fault that the replica survived."""

    @abstractmethod
    def check(self, lineage: Lineage) -> None:
        """Check every promise in a replica that was opened after a crash; it may be changed."""

    def run(self, actions: int) -> None:
        """Let the world live for some actions."""
        for _ in range(actions):
            self._arm()
            try:
                self.act()
            except KilledError:
                self.reopen(self.files)
            except ReplicaError:
                if self.lineage.failure is not None:
                    self.reopen(self.files)
                else:
                    self._disarm()
                    self.failed()
            self._disarm()
        self._check_state(self.files.crash(self.chooser))

    def lose_power(self) -> None:
        """Keep some of what is not durable."""
        self.reopen(self.files.crash(self.chooser))

    def reopen(self, files: CrashFiles) -> None:
        """Go on as a new process; a crash inside its recovery is looked at, too."""
        self._disarm()
        self.files = files
        self.files.before = self._before
        self.lineage = self._open(files)
        self.restarted()

    def _arm(self) -> None:
        """Sometimes let the next action die or meet a fault at one of its operations."""
        luck = self.chooser.random()
        if luck < 0.25:
            self._dies_in = self.chooser.randrange(25)
        elif luck < 0.4:
            self._fault_in = self.chooser.randrange(25)

    def _disarm(self) -> None:
        self._dies_in = self._fault_in = None

    def _before(self, operation: str, path: Path) -> None:
        if self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in < 0:
                raise KilledError
        if self._fault_in is not None:
            self._fault_in -= 1
            if self._fault_in == 0:
                is_write = operation in {"write", "truncate", "create"}
                raise OSError(errno.ENOSPC if is_write else errno.EIO, "injected", str(path))
        if self.chooser.random() < self._share:
            states = list(self.files.crash_states(self.chooser, samples=4, torn=1))
            for state in self.chooser.sample(states, min(3, len(states))):
                self._check_state(state)

    def _check_state(self, state: CrashFiles) -> None:
        again = self._crash_later(state) if self.chooser.random() < 0.15 else []
        try:
            self._check_once(state)
            for second in again:
                self._check_once(second)
        except (AssertionError, LookupError, ReplicaError) as error:
            raise BrokenPromiseError(str(error)) from error

    def _crash_later(self, state: CrashFiles) -> list[CrashFiles]:
        seconds: list[CrashFiles] = []
        wait = self.chooser.randrange(8)

        def before(_operation: str, _path: Path) -> None:
            nonlocal wait
            wait -= 1
            if wait == -1:
                seconds.append(state.crash(self.chooser))

        state.before = before
        return seconds

    def _check_once(self, state: CrashFiles) -> None:
        self.states += 1
        lineage = self._open(state)
        # What the check does is not the world's doing: a crash in it has no promises.
        state.before = None
        self.check(lineage)

    def _open(self, files: CrashFiles) -> Lineage:
        lineage = open_lineage(self._wrap(files), FOLDER, self._format)
        assert lineage is not None, "the replica is gone"
        return lineage


def content_of(lineage: Lineage, sequence: int) -> tuple[bytes, ...]:
    """Return the disks of a point; every checksum of the base is checked on the way."""
    disks = []
    with lineage.open_view(sequence) as view:
        for disk, geometry in enumerate(view.disks):
            content = bytearray(geometry.size)
            view.read_into(disk, memoryview(content), 0)
            disks.append(bytes(content))
    return tuple(disks)
