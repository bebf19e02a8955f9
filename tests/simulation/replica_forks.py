"""A world in which redo is lost: points are given up, and others take their numbers.

What was given up stays on the disk as long as nothing takes its place, and a removed name may be back after a power
cut: nothing of the lost time line may ever be taken for a part of the new one.
"""

from pathlib import Path
from unittest.mock import patch

from typing_extensions import override

from agent.replica import batch
from agent.replica.errors import ReplicaError
from agent.replica.history import History
from agent.replica.lineage import Lineage
from tests.simulation.replica_checker import BATCHES, Checker
from tests.simulation.replica_explorer import Explorer
from tests.simulation.replica_promises import Contents
from tests.support.crash_files import CrashFiles
from tests.support.segments import build_segment, painted


class ForkChecker(Checker):
    """Knows from which point on nothing is promised any more; 0 where all is."""

    lost_from = 0
    lost_newest = 0

    @override
    def _apply_all(self, state: CrashFiles, lineage: Lineage) -> None:
        state.before = None
        for pin in lineage.pins:
            lineage.unpin(pin.holder)
        with patch.object(batch, "MAX_POINTS", self._chooser.choice(BATCHES)):
            while lineage.has_work:
                try:
                    for _ in lineage.apply_next(self.now):
                        pass
                except ReplicaError as error:
                    if error.code != "replica-damaged" or not self.lost_from:
                        raise
        assert not lineage.history.above

    @override
    def _check_rot(self, state: CrashFiles, lineage: Lineage) -> None:
        """Leave it: more damage than one loss at a time says nothing about either."""
        self._apply_all(state, lineage)

    @override
    def _check_newest(self, history: History, newest: int) -> None:
        if not self.lost_from:
            super()._check_newest(history, newest)
            return
        highest = max(self.lost_newest, self._promises.highest())
        assert self.lost_from - 1 <= newest <= highest, "acknowledged point lost"

    @override
    def _expected(self, sequence: int) -> Contents | None:
        if self.lost_from and sequence >= self.lost_from:
            return None
        return super()._expected(sequence)


class ForkExplorer(Explorer):
    """Loses redo now and then, gives up what went on from it, and goes on from what is left."""

    @override
    def new_checker(self) -> ForkChecker:
        self._fork_checker = ForkChecker(
            self._chooser, self._format, self._disks, self._promises, self._wrap
        )
        return self._fork_checker

    @override
    def _act(self) -> None:
        if self._lineage is None or not self._fork_checker.lost_from:
            can_lose = self._lineage is not None and self._lineage.history.above
            if can_lose and self._chooser.random() < 0.3:
                self._lose_redo()
            else:
                super()._act()
        elif self._lineage.history.head.sequence >= self._fork_checker.lost_from:
            self._chooser.choice((self._give_up, self._give_up, self._unpin, self._lose_power))()
        else:
            self._chooser.choice((self._replace, self._replace, self._apply, self._lose_power))()

    def _lose_redo(self) -> None:
        """Let a bit of a segment that is not applied yet rot, in its payload or at its end."""
        lineage, promises = self._open(), self._promises
        if self._chooser.random() < 0.6:
            self._interrupt()
        pinned = max(promises.pins.values(), default=0)
        above = [record for record in lineage.history.above if record.sequence > pinned]
        if not above:
            return
        record = self._chooser.choice(above)
        self._fork_checker.lost_from = record.sequence
        self._fork_checker.lost_newest = lineage.history.head.sequence
        promises.acknowledged = record.sequence - 1
        for sequence in [number for number in promises.contents if number >= record.sequence]:
            del promises.contents[sequence]
        self._flip(lineage.layout.redo_file(record.sequence))

    def _interrupt(self) -> None:
        """Begin an apply and leave it while the base is in doubt."""
        lineage = self._open()
        with patch.object(batch, "MAX_POINTS", self._chooser.choice(BATCHES)):
            steps = lineage.apply_next(self._now)
            for _ in steps:
                if lineage.history.is_interrupted:
                    break
            steps.close()

    def _flip(self, path: Path) -> None:
        watch, self._files.before = self._files.before, None
        with self._files.open_write(path) as file:
            place = file.size() - self._chooser.choice((1, 600, 1500))
            file.write(bytes([file.read(1, place)[0] ^ 2]), place)
            file.sync()
        self._files.before = watch

    def _give_up(self) -> None:
        """Apply until the loss is met; the points from it on are then not listed any more."""
        self._apply()

    def _replace(self) -> None:
        """Seal another point in the place of the first one that was lost."""
        lineage = self._open()
        head = lineage.history.head
        writes = self._writes()
        content = painted(self._promises.contents[head.sequence], writes)
        segment = build_segment(head, self._disks, writes, attempt=max(1, head.attempt_floor))
        self._promises.arriving = (head.sequence + 1, content)
        opened = lineage.deltas.begin(segment.header)
        lineage.deltas.add(opened, segment.records, segment.payloads)
        lineage.deltas.seal(opened, segment.trailer, segment.chain_digest, self._now)
        self._acknowledge()

    @override
    def _learn_what_arrived(self) -> None:
        arriving, lineage = self._promises.arriving, self._lineage
        if arriving is not None and lineage is not None and self._fork_checker.lost_from:
            newest = lineage.history.newest
            is_new = newest is not None and newest.point.sealed_at == self._now
            if newest is not None and newest.sequence == arriving[0] and is_new:
                self._acknowledge()
            self._promises.arriving = None
            return
        super()._learn_what_arrived()

    @override
    def _acknowledge(self) -> None:
        super()._acknowledge()
        # It took the name of the lost one; what else there was of that time line is behind it.
        self._fork_checker.lost_from = 0
