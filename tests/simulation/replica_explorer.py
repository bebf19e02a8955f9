"""Drives the real replica over a file system that forgets, and looks at what a crash at any moment leaves.

One world lives on: segments arrive, are applied and released; it is killed, loses power, meets a full volume. Ahead of
every change of the file system, crashed copies of it are opened, and every promise that was made by then is checked in
each: before anything is finished, and again after all is applied.
"""

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from agent.replica.errors import ReplicaError
from agent.replica.images import ImageFormat
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from replikera.ports.files import Files
from tests.support.crash_files import CrashFiles
from tests.support.segments import (
    ACCEPTED,
    PROTECTION,
    STARTED,
    Write,
    build_segment,
    disks_of,
    painted,
)

ROOT = Path("/replicas")
FOLDER = ROOT / PROTECTION
OUT = Path("/out")
SECTOR = 512
RETENTION = timedelta(seconds=6)

Contents: TypeAlias = tuple[bytes, ...]
Wrap: TypeAlias = Callable[[CrashFiles], Files]


def as_it_is(files: CrashFiles) -> Files:
    """Return the file system for a replica without mutation."""
    return files


class BrokenPromiseError(BaseException):
    """A crash left what must not be; past every handler of the code under test."""


class KilledError(BaseException):
    """The process is gone: nothing that it would still do happens."""


@dataclass
class Promises:
    """What was acknowledged, and what may or may not have happened besides."""

    contents: dict[int, Contents] = field(default_factory=dict)
    acknowledged: int = 0
    arriving: tuple[int, Contents] | None = None
    oldest: int = 1
    floor: tuple[int, int] = (0, 0)
    is_accepted: bool = False

    def expected(self, sequence: int) -> Contents:
        if self.arriving is not None and sequence == self.arriving[0]:
            return self.arriving[1]
        return self.contents[sequence]

    def highest(self) -> int:
        return self.arriving[0] if self.arriving is not None else self.acknowledged


class Explorer:
    """One seeded world. `states` counts the crash states that were checked."""

    def __init__(
        self,
        seed: int,
        image_format: ImageFormat,
        *,
        size: int,
        spots: tuple[int, ...],
        share: float,
        wrap: Wrap,
    ) -> None:
        """`spots` are the offsets that writes begin at; `share` of all moments are looked at."""
        self.states = 0
        self._chooser = random.Random(seed)
        self._format = image_format
        self._disks = disks_of(size, size)
        self._spots = spots
        self._share = share
        self._wrap = wrap
        self._files = CrashFiles()
        for folder in (ROOT, OUT):
            self._files.make_directory(folder)
        self._files.sync_directory(Path("/"))
        self._now = STARTED
        self._promises = Promises()
        self._lineage: Lineage | None = None
        self._dies_in: int | None = None
        self._fault_in: int | None = None
        self._watch()

    def run(self, actions: int) -> None:
        """Let the world live for some actions."""
        for _ in range(actions):
            self._now += timedelta(seconds=1)
            self._arm()
            try:
                self._act()
            except KilledError:
                self._reopen(self._files)
            except ReplicaError:
                if self._lineage is None or self._lineage.failure is not None:
                    self._reopen(self._files)
            self._dies_in = self._fault_in = None
            self._learn_what_arrived()
        self._check(self._files.crash(self._chooser))

    def _arm(self) -> None:
        """Sometimes let the next action die or meet a fault at one of its operations."""
        luck = self._chooser.random()
        if luck < 0.3:
            self._dies_in = self._chooser.randrange(40)
        elif luck < 0.42:
            self._fault_in = self._chooser.randrange(40)

    def _watch(self) -> None:
        self._files.before = self._before

    def _before(self, operation: str, path: Path) -> None:
        if path.is_relative_to(OUT):
            return
        if self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in < 0 and self._is_fit_to_die(operation):
                raise KilledError
        if self._fault_in is not None:
            self._fault_in -= 1
            if self._fault_in == 0:
                is_write = operation in {"write", "truncate", "create"}
                raise OSError(errno.ENOSPC if is_write else errno.EIO, "injected", str(path))
        if self._chooser.random() < self._share:
            self._look()

    def _is_fit_to_die(self, operation: str) -> bool:
        """Between a rename and the sync of its directory, every other time: where it tells most."""
        if self._chooser.random() < 0.5:
            return True
        return operation == "sync_directory"

    def _look(self) -> None:
        states = list(self._files.crash_states(self._chooser, samples=4, torn=1))
        for state in self._chooser.sample(states, min(3, len(states))):
            self._check(state)

    def _act(self) -> None:
        if self._lineage is None:
            self._accept()
        elif self._lineage.history.head.sequence == 0:
            self._deliver()
        else:
            actions = (
                self._deliver,
                self._deliver,
                self._apply,
                self._apply,
                self._release,
                self._abandon,
                self._lose_power,
            )
            self._chooser.choice(actions)()

    def _accept(self) -> None:
        files = self._wrap(self._files)
        self._lineage = create_lineage(files, FOLDER, ACCEPTED, self._format)
        self._promises.is_accepted = True

    def _deliver(self) -> None:
        lineage = self._open()
        head = lineage.history.head
        writes = self._writes()
        blank = tuple(bytes(disk.size) for disk in self._disks)
        before = self._promises.contents[head.sequence] if head.sequence else blank
        content = painted(before, writes)
        attempt = max(1, head.attempt_floor)
        segment = build_segment(head, self._disks, writes, attempt=attempt)
        self._promises.arriving = (head.sequence + 1, content)
        opened = lineage.begin(segment.header)
        lineage.add(opened, segment.records, segment.payloads)
        lineage.seal(opened, segment.trailer, segment.chain_digest, self._now)
        self._acknowledge()

    def _apply(self) -> None:
        for _ in self._open().apply_next(self._now):
            pass

    def _release(self) -> None:
        lineage = self._open()
        base = lineage.history.position.sequence
        for point in lineage.history.points:
            if self._now - point.sealed_at <= RETENTION or point.sequence >= base:
                break
            self._promises.oldest = point.sequence + 1
        lineage.release(self._now, RETENTION)
        assert lineage.history.points[0].sequence == self._promises.oldest

    def _abandon(self) -> None:
        lineage = self._open()
        head = lineage.history.head
        attempt = max(1, head.attempt_floor) + self._chooser.randrange(3)
        segment = build_segment(head, self._disks, self._writes(), attempt=attempt)
        opened = lineage.begin(segment.header)
        lineage.add(opened, segment.records, segment.payloads)
        floor = lineage.abandon(head.generation, head.sequence + 1, attempt)
        assert floor > attempt
        self._promises.floor = (head.sequence + 1, floor)

    def _lose_power(self) -> None:
        self._reopen(self._files.crash(self._chooser))

    def _reopen(self, files: CrashFiles) -> None:
        """Go on as a new process; a crash inside its recovery is looked at, too."""
        self._files = files
        self._watch()
        self._dies_in = self._fault_in = None
        self._lineage = self._open_replica(files)
        self._promises.is_accepted = self._lineage is not None
        self._learn_what_arrived()

    def _open_replica(self, files: CrashFiles) -> Lineage | None:
        if FOLDER.name not in files.list_directory(ROOT):
            return None
        return open_lineage(self._wrap(files), FOLDER, self._format)

    def _learn_what_arrived(self) -> None:
        arriving, lineage = self._promises.arriving, self._lineage
        if arriving is not None and lineage is not None:
            if lineage.history.head.sequence == arriving[0]:
                self._acknowledge()
            else:
                self._promises.arriving = None

    def _acknowledge(self) -> None:
        assert self._promises.arriving is not None
        sequence, content = self._promises.arriving
        self._promises.contents[sequence] = content
        self._promises.acknowledged = sequence
        self._promises.arriving = None

    def _open(self) -> Lineage:
        assert self._lineage is not None
        return self._lineage

    def _writes(self) -> list[Write]:
        writes = []
        for disk in range(len(self._disks)):
            spots = sorted(self._chooser.sample(self._spots, self._chooser.randint(0, 2)))
            reached = 0
            for spot in spots:
                if spot < reached:
                    continue
                length = SECTOR * self._chooser.randint(1, 2)
                is_zero = self._chooser.random() < 0.3
                data = length if is_zero else self._chooser.randbytes(length)
                writes.append(Write(disk, spot, data))
                reached = spot + length
        return writes or [Write(0, self._spots[0], self._chooser.randbytes(SECTOR))]

    def _check(self, state: CrashFiles) -> None:
        """Check every promise in a crashed file system; sometimes crash again while it recovers."""
        again = self._crash_later(state) if self._chooser.random() < 0.15 else []
        try:
            self._check_once(state)
            state.before = None
            for second in again:
                self._check_once(second)
        except (AssertionError, LookupError, ReplicaError) as error:
            raise BrokenPromiseError(str(error)) from error

    def _crash_later(self, state: CrashFiles) -> list[CrashFiles]:
        seconds: list[CrashFiles] = []
        wait = self._chooser.randrange(25)

        def before(_operation: str, path: Path) -> None:
            nonlocal wait
            wait -= 0 if path.is_relative_to(OUT) else 1
            if wait == -1:
                seconds.append(state.crash(self._chooser))

        state.before = before
        return seconds

    def _check_once(self, state: CrashFiles) -> None:
        self.states += 1
        state.remove_tree(OUT)
        state.make_directory(OUT)
        lineage = self._open_replica(state)
        if lineage is None:
            assert not self._promises.is_accepted, "the replica is gone"
            return
        self._check_points(state, lineage)
        has_applied = bool(lineage.history.above)
        while lineage.history.above:
            for _ in lineage.apply_next(self._now):
                pass
        if has_applied:
            self._check_points(state, lineage)

    def _check_points(self, state: CrashFiles, lineage: Lineage) -> None:
        promises, history = self._promises, lineage.history
        sequences = [point.sequence for point in history.points]
        newest = sequences[-1] if sequences else 0
        assert promises.acknowledged <= newest <= promises.highest(), "acknowledged point lost"
        assert sequences == list(range(newest - len(sequences) + 1, newest + 1))
        assert not sequences or sequences[0] <= promises.oldest, "history given up"
        if promises.floor[0] == history.head.sequence + 1:
            assert history.head.attempt_floor >= promises.floor[1], "abandoned attempt may return"
        # The ends of both chains and one between: reading all of them would take most of the time.
        likely = {*sequences[:1], history.position.sequence, newest}
        likely.update(self._chooser.sample(sequences, min(1, len(sequences))))
        for sequence in sorted(likely & set(sequences)):
            content = self._read(state, lineage, sequence)
            assert content == promises.expected(sequence), f"point {sequence} has other content"

    def _read(self, state: CrashFiles, lineage: Lineage, sequence: int) -> Contents:
        paths = [OUT / disk.name for disk in self._disks]
        for _ in lineage.materialise(sequence, lambda disk: OUT / disk.name):
            pass
        disks = []
        for path, disk in zip(paths, self._disks, strict=True):
            image = self._format.open(state.open_read(path), is_writable=False)
            content = bytearray(disk.size)
            image.read_into(memoryview(content), 0)
            disks.append(bytes(content))
            state.remove(path)
        return tuple(disks)
