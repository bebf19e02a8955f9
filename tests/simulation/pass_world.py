"""A source sends its initial pass to a target that crashes: what was told durable stays, and the end is right."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from blake3 import blake3
from typing_extensions import override

from agent.replica.errors import ReplicaError
from agent.replica.images import ImageFormat
from agent.replica.initial_pass import InitialPass
from agent.replica.lineage import Lineage
from agent.replica.messages import Range
from agent.replica.pass_file import PassState
from tests.simulation.crash_world import SECTOR, CrashWorld, content_of
from tests.simulation.replica_checker import Wrap
from tests.simulation.replica_explorer import as_it_is
from tests.support.passes import PassSource, open_pass
from tests.support.segments import GENERATION, STARTED, Chunk, Write, disks_of

Sectors = set[tuple[int, int]]
"""(disk, number)"""

MAX_BATCHES = 3


class PassWorld(CrashWorld):
    """The source remembers what is pending: everything but what it was told to be durable."""

    def __init__(
        self,
        seed: int,
        image_format: ImageFormat,
        *,
        sizes: Sequence[int],
        spots: Sequence[int],
        share: float,
        wrap: Wrap = as_it_is,
    ) -> None:
        """`spots` are the sectors that the guest writes, on every disk."""
        super().__init__(seed, image_format, share=share, wrap=wrap)
        self._disks = disks_of(*sizes)
        self._spots = spots
        self._content = [bytearray(size) for size in sizes]
        self._attempt = 0
        self._floor = 0
        self._initial: InitialPass | None = None
        self._is_sealed = self._is_ending = False
        self._begin_anew()
        self._write()

    @override
    def act(self) -> None:
        """Do one thing of a conversation, or let time pass."""
        if self._is_sealed:
            self.chooser.choice((self.lose_power, lambda: None))()
        elif self._initial is None:
            self.chooser.choice((self._open_pass, self._open_pass, self._write, self.lose_power))()
        else:
            actions = [*[self._send] * 6, self._leave, self._compare, self.lose_power]
            actions += [self._supersede, self._abandon] if self.chooser.random() < 0.15 else []
            actions += [self._end] * 6 if not self._pending else []
            self.chooser.choice(actions)()

    @override
    def restarted(self) -> None:
        """Lose the conversation; learn whether the pass had ended."""
        self._initial = None
        if self._is_ending and self.lineage.history.head.sequence == 1:
            self._is_sealed = True
        self._is_ending = False

    @override
    def failed(self) -> None:
        """End the conversation, as after a refusal; what cannot be closed well is only closed."""
        self._is_ending = False
        with suppress(ReplicaError):
            self._leave()

    @override
    def check(self, lineage: Lineage) -> None:
        """Check what is durable; then let the source finish the pass in one of the ways that it has."""
        sequence = lineage.history.head.sequence
        assert sequence >= self._is_sealed, "the sealed point is gone"
        assert sequence <= (self._is_sealed or self._is_ending), "a point that nobody ended"
        if not sequence:
            self._check_state_of(lineage.passes.state)
            self._finish(lineage)
        assert content_of(lineage, 1) == tuple(map(bytes, self._content)), "other content"

    def _begin_anew(self) -> None:
        self._attempt += 1
        self._promised: PassState | None = None
        self._arriving: bytes = b""
        self._pending = self._everything()
        self._fresh = self._everything()

    def _everything(self) -> Sectors:
        return {
            (number, sector)
            for number, disk in enumerate(self._disks)
            for sector in range(disk.size // SECTOR)
        }

    def _write(self) -> None:
        """Let the guest write, and the source go on from a newer view."""
        for number, content in enumerate(self._content):
            for sector in self.chooser.sample(self._spots, 2):
                is_zero = self.chooser.random() < 0.3
                data = bytes(SECTOR) if is_zero else self.chooser.randbytes(SECTOR)
                content[sector * SECTOR : (sector + 1) * SECTOR] = data
                self._pending.add((number, sector))

    def _open_pass(self) -> None:
        source = PassSource(self._disks, attempt=self._attempt)
        self._initial = open_pass(self.lineage, source)
        state = self._initial.state
        assert state is not None
        self._judge(state)
        self._promised = state

    def _judge(self, state: PassState) -> None:
        """Learn from what the target has durable."""
        promised = self._promised
        known = {promised.digest: promised.chunk} if promised is not None else {bytes(32): 0}
        if self._arriving:
            known[self._arriving] = (promised.chunk if promised else 0) + 1
        assert known.get(state.digest) == state.chunk, "a chunk that was not sent"
        self._arriving = b""

    def _send(self) -> None:
        """Send a chunk of what is pending, or the beginning of one."""
        assert self._initial is not None
        assert self._promised is not None
        todo = sorted(self._pending)
        sent = set(todo[: self.chooser.randint(0, len(todo))])
        chunk = self._chunk(self._promised, sent, self._fresh)
        self._arriving = chunk.digest
        passes = self.lineage.passes
        passes.begin_chunk(self._initial, chunk.number)
        for records, payloads in _batches(chunk, self.chooser.randint(1, MAX_BATCHES)):
            passes.add(self._initial, records, payloads)
            if self.chooser.random() < 0.08:
                self._leave()
                return
        self._promised = passes.end_chunk(self._initial, chunk.watermarks, chunk.digest)
        self._arriving = b""
        self._pending -= sent
        self._fresh -= sent

    def _chunk(self, state: PassState, sent: Sectors, fresh: Sectors) -> Chunk:
        source = PassSource(self._disks, attempt=state.attempt)
        source.go_on(state)
        left = fresh - sent
        marks = [
            min([sector * SECTOR for number, sector in left if number == disk], default=size.size)
            for disk, size in enumerate(self._disks)
        ]
        reached = [max(pair) for pair in zip(marks, state.watermarks, strict=True)]
        return source.chunk(*self._writes(sent), watermarks=reached)

    def _writes(self, sectors: Sectors) -> list[Write]:
        """Return explicit writes: data as it is, zeros as runs."""
        writes: list[Write] = []
        for disk, sector in sorted(sectors):
            data = bytes(self._content[disk][sector * SECTOR : (sector + 1) * SECTOR])
            last = writes[-1] if writes else None
            if any(data):
                writes.append(Write(disk, sector * SECTOR, data))
            elif (
                last is not None
                and isinstance(last.data, int)
                and (last.disk, last.offset + last.data) == (disk, sector * SECTOR)
            ):
                writes[-1] = Write(disk, last.offset, last.data + SECTOR)
            else:
                writes.append(Write(disk, sector * SECTOR, SECTOR))
        return writes

    def _leave(self) -> None:
        initial, self._initial = self._initial, None
        if initial is not None:
            self.lineage.passes.leave(initial)

    def _compare(self) -> None:
        """Compare what is durable and not written since: it has to be equal."""
        assert self._initial is not None
        settled = sorted(self._everything() - self._pending)
        asked = self.chooser.sample(settled, min(8, len(settled)))
        ranges = [(disk, sector * SECTOR, SECTOR) for disk, sector in asked]
        if ranges:
            assert not _differing(self.lineage, self._initial, ranges, self._content)

    def _supersede(self) -> None:
        self._leave()
        self._begin_anew()
        self._open_pass()

    def _abandon(self) -> None:
        self._leave()
        abandoned = self._attempt
        self._begin_anew()
        assert self.lineage.abandon(GENERATION, 1, abandoned) == self._attempt
        self._floor = self._attempt

    def _end(self) -> None:
        assert self._initial is not None
        assert self._promised is not None
        self._is_ending = True
        _seal(self.lineage, self._initial, self._promised)
        self._initial = None
        self._is_sealed, self._is_ending = True, False

    def _check_state_of(self, state: PassState | None) -> None:
        promised = self._promised
        if state is not None:
            assert state.attempt >= self._floor, "an abandoned pass is back"
        if promised is None:
            return
        assert state is not None, "the pass is gone"
        assert state.attempt == promised.attempt, "another pass"
        allowed = {(promised.chunk, promised.digest)}
        if self._arriving:
            allowed.add((promised.chunk + 1, self._arriving))
        assert (state.chunk, state.digest) in allowed, "a durable chunk is gone"

    def _finish(self, lineage: Lineage) -> None:
        """End the pass in a crashed replica: as a source that knows all, that knows nothing, or anew."""
        way = self.chooser.choice(("remembers", "compares", "compares", "anew"))
        state = lineage.passes.state
        attempt = self._attempt + 1
        if way != "anew" and state is not None and state.attempt == self._attempt:
            attempt = self._attempt
        initial = open_pass(lineage, PassSource(self._disks, attempt=attempt))
        state = initial.state
        assert state is not None
        todo, fresh = self._everything(), self._everything()
        if state.chunk:
            todo, fresh = set(self._pending), set(self._fresh)
            if way == "compares":
                todo = self._found_by_comparing(lineage, initial, state)
                fresh = _above(todo, state)
        sent = todo if self.chooser.random() < 0.7 else set(sorted(todo)[: len(todo) // 2])
        for part in (sent, todo - sent):
            chunk = self._chunk(state, part, fresh)
            fresh = fresh - part
            lineage.passes.begin_chunk(initial, chunk.number)
            if chunk.records:
                lineage.passes.add(initial, chunk.records, chunk.payloads)
            state = lineage.passes.end_chunk(initial, chunk.watermarks, chunk.digest)
        _seal(lineage, initial, state)

    def _found_by_comparing(
        self, lineage: Lineage, initial: InitialPass, state: PassState
    ) -> Sectors:
        everything = self._everything()
        above = _above(everything, state)
        ranges = [(disk, sector * SECTOR, SECTOR) for disk, sector in sorted(everything - above)]
        found: Sectors = set()
        for start in range(0, len(ranges), 256):
            asked = ranges[start : start + 256]
            for disk, offset, _ in _differing(lineage, initial, asked, self._content):
                found.add((disk, offset // SECTOR))
        return found | above


def _above(sectors: Sectors, state: PassState) -> Sectors:
    return {(disk, sector) for disk, sector in sectors if sector * SECTOR >= state.watermarks[disk]}


def _batches(chunk: Chunk, count: int) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield the records of a chunk in some batches."""
    payloads = iter(chunk.payloads)
    records = [chunk.records[start : start + 48] for start in range(0, len(chunk.records), 48)]
    step = max(1, -(-len(records) // count))
    for start in range(0, len(records), step):
        part = records[start : start + step]
        yield b"".join(part), [next(payloads) for record in part if record[4:8] != bytes(4)]


def _differing(
    lineage: Lineage,
    initial: InitialPass,
    ranges: Sequence[Range],
    content: Sequence[bytearray],
) -> list[Range]:
    (*_, found) = lineage.passes.digests(initial, ranges)
    digests = [found[start : start + 32] for start in range(0, len(found), 32)]
    return [
        (disk, offset, length)
        for (disk, offset, length), there in zip(ranges, digests, strict=True)
        if blake3(content[disk][offset : offset + length]).digest() != there
    ]


def _seal(lineage: Lineage, initial: InitialPass, state: PassState) -> None:
    source = PassSource(state.disks, attempt=state.attempt)
    source.go_on(state)
    lineage.passes.seal(initial, *source.end(), STARTED)
