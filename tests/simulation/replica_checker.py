"""Looks whether crashed copies of a replica keep what was promised: before anything is finished, and after all is."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

from blake3 import blake3

from agent.replica import batch
from agent.replica.errors import ReplicaError
from agent.replica.history import History
from agent.replica.images import ImageFormat
from agent.replica.lineage import Lineage, open_lineage
from agent.replica.point_view import PointView
from agent.replica.sidecar import GRANULE_BYTES
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files
from tests.simulation.replica_promises import BrokenPromiseError, Contents, Promises
from tests.support.crash_files import CrashFiles
from tests.support.segments import PROTECTION, STARTED

ROOT = Path("/replicas")
FOLDER = ROOT / PROTECTION
OUT = Path("/out")
BATCHES = (1, 2, 3, 32)

Wrap: TypeAlias = Callable[[CrashFiles], Files]


class Checker:
    """Opens crash states and reads every point that was promised. `states` counts them."""

    def __init__(
        self,
        chooser: random.Random,
        image_format: ImageFormat,
        disks: tuple[DiskGeometry, ...],
        promises: Promises,
        wrap: Wrap,
    ) -> None:
        self.states = 0
        self.now: datetime = STARTED
        self._chooser = chooser
        self._format = image_format
        self._disks = disks
        self._promises = promises
        self._wrap = wrap

    def open_replica(self, files: CrashFiles) -> Lineage | None:
        """Open the replica as the next process would."""
        if FOLDER.name not in files.list_directory(ROOT):
            return None
        return open_lineage(self._wrap(files), FOLDER, self._format)

    def check(self, state: CrashFiles) -> None:
        """Check every promise in a crashed file system; sometimes crash again while it recovers."""
        again = self._crash_later(state) if self._chooser.random() < 0.15 else []
        try:
            self._check_once(state)
            state.before = None
            for second in again:
                self._check_once(second)
        except (AssertionError, LookupError, ReplicaError) as error:
            raise BrokenPromiseError(str(error)) from error

    def check_live(self, lineage: Lineage) -> None:
        """Check what the process reads that lives on, by the view that it keeps, whatever it is doing to the base."""
        points = lineage.history.points
        for point in self._chooser.sample(points, min(3, len(points))):
            expected = self._expected(point.sequence)
            if expected is None:
                continue
            ranges = [
                (disk, offset, min(GRANULE_BYTES, len(content) - offset))
                for disk, content in enumerate(expected)
                for offset in range(0, len(content), GRANULE_BYTES)
            ]
            digests = b"".join(
                blake3(expected[disk][offset : offset + length]).digest()
                for disk, offset, length in ranges
            )
            try:
                *_, found = lineage.range_digests(point.sequence, ranges)
            except ReplicaError as error:
                raise BrokenPromiseError(f"point {point.sequence} is not read: {error}") from error
            if found != digests:
                raise BrokenPromiseError(f"point {point.sequence} is read as another")

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
        lineage = self.open_replica(state)
        if lineage is None:
            assert not self._promises.is_accepted, "the replica is gone"
            return
        self._check_pins(lineage)
        self._check_points(state, lineage)
        if lineage.history.points and self._chooser.random() < 0.15:
            self._check_rot(state, lineage)
        elif lineage.history.above:
            self._apply_all(state, lineage)
            self._check_points(state, lineage)

    def _apply_all(self, state: CrashFiles, lineage: Lineage) -> None:
        pinned = {pin.holder for pin in lineage.pins}
        position = lineage.history.position.sequence
        with patch.object(batch, "MAX_POINTS", self._chooser.choice(BATCHES)):
            if pinned:
                for _ in lineage.apply_next(self.now):
                    pass
                assert lineage.history.position.sequence == position, "the base moved under a pin"
            if pinned:
                state.before = None  # from here on the world does not promise any more what it did
            for order in pinned:
                lineage.unpin(order)
            while lineage.has_work:
                for _ in lineage.apply_next(self.now):
                    pass
        assert not lineage.history.above

    def _check_pins(self, lineage: Lineage) -> None:
        promises = self._promises
        found = {pin.holder: pin.sequence for pin in lineage.pins}
        uncertain = found.pop(promises.changing_pin, None)
        expected = {
            order: n for order, n in promises.pins.items() if order != promises.changing_pin
        }
        assert found == expected, f"pins are {found}, not {expected}"
        if promises.pinned_position is not None and (expected or uncertain):
            assert lineage.history.position.sequence == promises.pinned_position, (
                "pinned base moved"
            )
        for sequence in expected.values():
            assert lineage.history.find(sequence) is not None, "a pinned point is gone"

    def _check_points(self, state: CrashFiles, lineage: Lineage) -> None:
        promises, history = self._promises, lineage.history
        sequences = [point.sequence for point in history.points]
        newest = sequences[-1] if sequences else 0
        self._check_newest(history, newest)
        assert sequences == list(range(newest - len(sequences) + 1, newest + 1))
        assert not sequences or sequences[0] <= promises.oldest, "history given up"
        if promises.floor[0] == history.head.sequence + 1:
            assert history.head.attempt_floor >= promises.floor[1], "abandoned attempt may return"
        # The ends of both chains and one between: reading all of them would take most of the time.
        likely = {*sequences[:1], history.position.sequence, newest}
        likely.update(self._chooser.sample(sequences, min(1, len(sequences))))
        for sequence in sorted(likely & set(sequences)):
            expected = self._expected(sequence)
            if expected is None:
                continue
            content = self._read(state, lineage, sequence)
            assert content == expected, f"point {sequence} has other content"

    def _check_newest(self, _history: History, newest: int) -> None:
        lowest, highest = self._promises.acknowledged, self._promises.highest()
        assert lowest <= newest <= highest, "acknowledged point lost"

    def _expected(self, sequence: int) -> Contents | None:
        """Return what a point has to hold, None where nothing is promised."""
        return self._promises.expected(sequence)

    def _check_rot(self, state: CrashFiles, lineage: Lineage) -> None:
        """Lose something of the base or a log: what is read is right, or it is refused, also after all is applied."""
        state.before = None  # no promise is about a crash after this
        place = self._rot(state, lineage)
        self._check_what_is_left(lineage, place)
        with suppress(ReplicaError):
            self._apply_all(state, lineage)
        self._check_what_is_left(lineage, place)

    def _check_what_is_left(self, lineage: Lineage, place: Path) -> None:
        for point in lineage.history.points:
            try:
                with lineage.open_view(point.sequence) as view:
                    is_copied = self._chooser.random() < 0.5
                    content = _copied(view) if is_copied else _content(view)
            except ReplicaError as error:
                if error.code not in {"base-damaged", "replica-damaged"}:
                    raise
                continue
            expected = self._promises.expected(point.sequence)
            assert content == expected, f"rot in {place} gives point {point.sequence} other content"

    def _rot(self, state: CrashFiles, lineage: Lineage) -> Path:
        layout = lineage.layout
        images = layout.images(lineage.history.position.initial_attempt)
        folders = [images, images, images, layout.undo, layout.journal]
        paths = [
            folder / name
            for folder in folders
            for name in state.list_directory(folder)
            if name.endswith((self._format.suffix, ".sums", ".undo", ".redo"))
        ]
        path = self._chooser.choice(paths)
        with state.open_write(path) as file:
            spots = [0]  # of zeros, too
            for start, length in file.data_ranges():
                spots += [start, start + self._chooser.randrange(length), start + length - 1]
            offset = self._chooser.choice(spots)
            if self._chooser.random() < 0.3:
                file.zero(offset, min(GRANULE_BYTES, file.size() - offset))
                return path
            byte = file.read(1, offset)[0]
            file.write(bytes([byte ^ 1 << self._chooser.randrange(8)]), offset)
        return path

    def _read(self, state: CrashFiles, lineage: Lineage, sequence: int) -> Contents:
        """Read a point, in place or from the disks that it is recovered as."""
        if self._chooser.random() < 0.8:
            with lineage.open_view(sequence) as view:
                return _content(view)
        for _ in lineage.materialise(sequence, lambda disk: OUT / disk.name):
            pass
        disks = []
        for disk in self._disks:
            path = OUT / disk.name
            image = self._format.open(state.open_read(path), is_writable=False)
            content = bytearray(disk.size)
            image.read_into(memoryview(content), 0)
            disks.append(bytes(content))
            state.remove(path)
        return tuple(disks)


def _copied(view: PointView) -> Contents:
    """Return what a copy of the point's data is."""
    disks = []
    for disk, geometry in enumerate(view.disks):
        content = bytearray(geometry.size)
        for offset, length in view.data_extents(disk):
            view.read_into(disk, memoryview(content)[offset : offset + length], offset)
        disks.append(bytes(content))
    return tuple(disks)


def _content(view: PointView) -> Contents:
    disks = []
    for disk, geometry in enumerate(view.disks):
        content = bytearray(geometry.size)
        view.read_into(disk, memoryview(content), 0)
        disks.append(bytes(content))
    return tuple(disks)
