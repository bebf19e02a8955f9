"""Drives the real replica over a file system that forgets, and looks at what a crash at any moment leaves.

One world lives on: segments arrive, are applied in batches, pinned and released; it is killed, loses power, meets a
full volume. Ahead of every change of the file system, crashed copies of it are opened, and every promise that was made
by then is checked in each: before anything is finished, and again after all is applied. In some, a bit rots first.
"""

import errno
import random
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from agent.replica import apply, batch, slices
from agent.replica.errors import ReplicaError
from agent.replica.images import ImageFormat
from agent.replica.lineage import Lineage, create_lineage
from replikera.blocks.segment import Codec
from replikera.ports.files import Files
from tests.simulation.replica_checker import BATCHES, FOLDER, OUT, ROOT, Checker, Wrap
from tests.simulation.replica_promises import BrokenPromiseError, KilledError, Promises
from tests.support.crash_files import CrashFiles
from tests.support.lineages import batches, send_pass
from tests.support.segments import (
    ACCEPTED,
    STARTED,
    Write,
    build_segment,
    disks_of,
    painted,
)

SECTOR = 512
RETENTION = timedelta(seconds=3)


def as_it_is(files: CrashFiles) -> Files:
    """Return the file system for a replica without mutation."""
    return files


class Explorer:
    """One seeded world."""

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
        self._checker = self.new_checker()
        self._lineage: Lineage | None = None
        self._dies_in: int | None = None
        self._fault_in: int | None = None
        self._watch()

    @property
    def states(self) -> int:
        """Return how many crash states were checked."""
        return self._checker.states

    def new_checker(self) -> Checker:
        """Return who looks at the crash states."""
        return Checker(self._chooser, self._format, self._disks, self._promises, self._wrap)

    def run(self, actions: int) -> None:
        """Let the world live for some actions."""
        for _ in range(actions):
            self._now = self._checker.now = self._now + timedelta(seconds=1)
            self._arm()
            try:
                self._act()
            except KilledError:
                self._reopen(self._files)
            except AssertionError as error:
                raise BrokenPromiseError(str(error)) from error
            except ReplicaError:
                if self._lineage is None or self._lineage.failure is not None:
                    self._reopen(self._files)
            self._dies_in = self._fault_in = None
            self._learn_what_arrived()
            self._learn_what_is_pinned()
        self._checker.check(self._files.crash(self._chooser))

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
            self._checker.check(state)

    def _act(self) -> None:
        if self._lineage is None:
            self._accept()
        elif self._lineage.history.head.sequence == 0:
            self._deliver()
        else:
            actions = (
                *[self._deliver] * 4,
                *[self._apply] * 4,
                *[self._release] * 3,
                *[self._pin] * 2,
                self._unpin,
                self._unpin,
                self._read,
                self._abandon,
                *[self._lose_power] * 2,
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
        self._promises.arriving = (head.sequence + 1, painted(before, writes))
        attempt = max(1, head.attempt_floor)
        if not head.sequence:
            send_pass(lineage, self._disks, writes, self._now, attempt=attempt)
        else:
            codec = self._chooser.choice(list(Codec))
            segment = build_segment(head, self._disks, writes, attempt=attempt, codec=codec)
            opened = lineage.deltas.begin(segment.header)
            for records, payloads in batches(segment, is_one=self._chooser.random() < 0.5):
                lineage.deltas.add(opened, records, payloads)
            lineage.deltas.seal(opened, segment.trailer, segment.chain_digest, self._now)
        self._acknowledge()

    def _apply(self) -> None:
        """Apply a batch; sometimes stop it on the way, as somebody who wants to pin does."""
        lineage = self._open()
        stops_in = self._chooser.randrange(12)
        with (
            patch.object(batch, "MAX_POINTS", self._chooser.choice(BATCHES)),
            patch.object(slices, "MIN_SLICE_RECORDS", self._chooser.choice((1, 4096))),
            patch.object(apply, "ROUND_BYTES", self._chooser.choice((512, apply.ROUND_BYTES))),
        ):
            for step, is_rest in enumerate(lineage.apply_next(self._now)):
                if is_rest and self._chooser.random() < 0.3:
                    self._checker.check_live(lineage)
                if step == stops_in:
                    lineage.ask_to_stop()
        if not lineage.has_work and lineage.history.above and not lineage.pins:
            lineage.allow_apply()

    def _read(self) -> None:
        self._checker.check_live(self._open())

    def _pin(self) -> None:
        lineage = self._open()
        order = f"order-{self._chooser.randrange(3)}"
        if order in self._promises.pins:
            return
        points = lineage.history.points
        sequence = self._chooser.choice([points[0], *points]).sequence
        self._promises.changing_pin = order
        lineage.pin(order, sequence)
        self._promises.changing_pin = ""
        self._promises.pins[order] = sequence
        self._promises.pinned_position = lineage.history.position.sequence

    def _unpin(self) -> None:
        if self._promises.pins:
            order = self._chooser.choice(sorted(self._promises.pins))
            self._promises.changing_pin = order
            del self._promises.pins[order]
            if not self._promises.pins:
                self._promises.pinned_position = None
            self._open().unpin(order)
            self._promises.changing_pin = ""

    def _release(self) -> None:
        lineage = self._open()
        base = lineage.history.position.sequence
        # A power cut may have brought back what was released before: it is there until it is released again.
        self._promises.oldest = lineage.history.points[0].sequence
        for point in lineage.history.points:
            if self._now - point.sealed_at <= RETENTION or point.sequence >= base:
                break
            if point.sequence in self._promises.pins.values():
                break
            self._promises.oldest = point.sequence + 1
        lineage.release(self._now, RETENTION)
        oldest = lineage.history.points[0].sequence
        assert oldest == self._promises.oldest, "a point was released that was to stay"

    def _abandon(self) -> None:
        lineage = self._open()
        head = lineage.history.head
        attempt = max(1, head.attempt_floor) + self._chooser.randrange(3)
        segment = build_segment(head, self._disks, self._writes(), attempt=attempt)
        opened = lineage.deltas.begin(segment.header)
        lineage.deltas.add(opened, segment.records, segment.payloads)
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
        try:
            self._lineage = self._checker.open_replica(files)
        except ReplicaError as error:
            raise BrokenPromiseError(str(error)) from error
        self._promises.is_accepted = self._lineage is not None
        self._learn_what_arrived()
        self._learn_what_is_pinned()

    def _learn_what_arrived(self) -> None:
        arriving, lineage = self._promises.arriving, self._lineage
        if arriving is not None and lineage is not None:
            if lineage.history.head.sequence == arriving[0]:
                self._acknowledge()
            else:
                self._promises.arriving = None

    def _learn_what_is_pinned(self) -> None:
        order, lineage = self._promises.changing_pin, self._lineage
        if order and lineage is not None:
            pins = {pin.holder: pin.sequence for pin in lineage.pins}
            self._promises.pins.update({order: pins[order]} if order in pins else {})
            if self._promises.pins:
                self._promises.pinned_position = lineage.history.position.sequence
        self._promises.changing_pin = ""

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
                data = length if is_zero else self._chooser.randbytes(64) * (length // 64)
                writes.append(Write(disk, spot, data))
                reached = spot + length
        return writes or [Write(0, self._spots[0], self._chooser.randbytes(SECTOR))]
