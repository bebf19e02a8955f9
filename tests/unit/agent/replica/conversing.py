"""A replica store behind a receiver, and the source's end of conversations with it, spoken by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from agent.replica.accepted import AcceptedReplica
from agent.replica.history import Head
from agent.replica.receiver import Receiver
from agent.replica.store import ReplicaStore
from replikera.ports.streams import StreamClosedError
from replikera.system.files import SystemFiles
from replikera.vhdx import open_image
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2
from tests.support.grants import GrantOffice, terms
from tests.support.memory_stream import Direction, MemoryStream, stream_pair
from tests.support.passes import PassSource
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import (
    ACCEPTED,
    GENERATION,
    PROTECTION,
    Chunk,
    Segment,
    Write,
    build_segment,
    disks_of,
)
from tests.support.storage_folders import folders_in
from tests.support.virtual_clock import InlineWorker
from tests.unit.agent.fakes import ManualClock, settle

TARGET = "host-t"
OFFICE = GrantOffice(terms(PROTECTION, GENERATION, ACCEPTED.source_host_id, TARGET))
SIZE = 4 << 20
DISKS = disks_of(SIZE)
DATA = Random(1).randbytes(65536)
WRITES = [Write(0, 0, DATA), Write(0, 1 << 20, DATA)]


def first_pass(attempt: int = 1) -> PassSource:
    """Return the pass that leads to the first point; `whole(*WRITES)` is its one chunk."""
    return PassSource(DISKS, attempt=attempt)


def _end_of_first() -> tuple[bytes, bytes]:
    source = first_pass()
    source.whole(*WRITES)
    return source.end()


FIRST_DIGEST = _end_of_first()[1]
"""The identity of the first point."""

AFTER_FIRST = Head(GENERATION, 1, FIRST_DIGEST, 0)
SECOND = build_segment(AFTER_FIRST, DISKS, [Write(0, 4096, b"x" * 512), Write(0, 8192, 4096)])


class Source:
    """Speaks the source's end by hand."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream

    async def say(self, message: wire.ReplicateRequest) -> None:
        await self.stream.send(message.SerializeToString())

    async def answer(self) -> wire.ReplicateResponse:
        async with asyncio.timeout(10):
            return wire.ReplicateResponse.FromString(await self.stream.receive())

    async def nothing_more(self) -> None:
        """Return when everything that is on its way was acted upon; nothing is answered to it."""
        await settle()
        assert not self.stream._link.pipes[Direction.TO_SOURCE]._messages

    async def refusal(self) -> wire.Refused:
        """Return the refusal, behind which the conversation is over."""
        while (answer := await self.answer()).WhichOneof("message") != "refused":
            pass
        with pytest.raises(StreamClosedError):
            await self.answer()
        return answer.refused

    async def open(
        self,
        protection_id: str = PROTECTION,
        number: int = 1,
        generation: str = GENERATION,
        grant: bytes | None = None,
    ) -> None:
        epoch = types_pb2.Epoch(number=number, generation=generation)
        signed = OFFICE.grant() if grant is None else grant
        opening = wire.OpenReplica(protection_id=protection_id, epoch=epoch, grant=signed)
        await self.say(wire.ReplicateRequest(open=opening))

    async def opened(self, grant: bytes | None = None) -> wire.ReplicaOpened:
        await self.open(grant=grant)
        return (await self.answer()).opened

    async def present(self, grant: bytes) -> None:
        await self.say(wire.ReplicateRequest(present=wire.PresentGrant(grant=grant)))

    async def begin_pass(self, made: PassSource) -> None:
        await self.say(wire.ReplicateRequest(pass_begin=wire.PassBegin(header=made.header)))

    async def pass_opened(self, made: PassSource) -> wire.PassOpened:
        """Open the pass; go on behind what the target has."""
        await self.begin_pass(made)
        opened = (await self.answer()).pass_opened
        made.number, made.digest = opened.chunk, opened.digest
        made.watermarks = tuple(opened.watermarks)
        made.records, made.payload_bytes = opened.records, opened.payload_bytes
        return opened

    async def begin_chunk(self, number: int) -> None:
        await self.say(wire.ReplicateRequest(chunk_begin=wire.ChunkBegin(number=number)))

    async def end_chunk(self, chunk: Chunk) -> None:
        ending = wire.ChunkEnd(watermarks=chunk.watermarks, digest=chunk.digest)
        await self.say(wire.ReplicateRequest(chunk_end=ending))

    async def chunk(self, chunk: Chunk) -> None:
        """Send a whole chunk."""
        await self.begin_chunk(chunk.number)
        if chunk.records:
            await self.batch(chunk)
        await self.end_chunk(chunk)

    async def end_pass(self, trailer: bytes, chain_digest: bytes) -> None:
        ending = wire.PassEnd(trailer=trailer, chain_digest=chain_digest)
        await self.say(wire.ReplicateRequest(pass_end=ending))

    async def send_first(self, attempt: int = 1) -> wire.Sealed:
        """Make the first point, in one chunk."""
        made = first_pass(attempt)
        await self.pass_opened(made)
        await self.chunk(made.whole(*WRITES))
        assert (await self.answer()).WhichOneof("message") == "chunk_durable"
        await self.end_pass(*made.end())
        return (await self.answer()).sealed

    async def ask(self, sequence: int, *ranges: tuple[int, int, int]) -> None:
        asked = [wire.DigestRange(disk=d, offset=o, length=n) for d, o, n in ranges]
        question = wire.DigestRequest(sequence=sequence, ranges=asked)
        await self.say(wire.ReplicateRequest(digests=question))

    async def resume(self, attempt: int, records: int) -> None:
        resuming = wire.SegmentResume(attempt=attempt, records=records)
        await self.say(wire.ReplicateRequest(resume=resuming))

    async def begin(self, segment: Segment) -> None:
        await self.say(wire.ReplicateRequest(begin=wire.SegmentBegin(header=segment.header)))

    async def batch(self, segment: Segment | Chunk) -> None:
        lengths = [len(payload) for payload in segment.payloads]
        manifest = wire.Batch(records=segment.records, payload_lengths=lengths)
        await self.say(wire.ReplicateRequest(batch=manifest))
        for payload in segment.payloads:
            await self.stream.send(payload)

    async def end(self, segment: Segment) -> None:
        ending = wire.SegmentEnd(trailer=segment.trailer, chain_digest=segment.chain_digest)
        await self.say(wire.ReplicateRequest(end=ending))

    async def send(self, segment: Segment) -> wire.Sealed:
        await self.begin(segment)
        await self.batch(segment)
        await self.end(segment)
        while (answer := await self.answer()).WhichOneof("message") == "receipt":
            pass
        return answer.sealed

    async def abandon(self, sequence: int, attempt: int) -> None:
        giving_up = wire.Abandon(generation=GENERATION, sequence=sequence, attempt=attempt)
        await self.say(wire.ReplicateRequest(abandon=giving_up))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.restart()

    def restart(self) -> None:
        """Forget everything but the files."""
        self.store = self.new_store()
        self.receiver = Receiver(self.store, OFFICE.reader(TARGET, self.clock), self.clock)

    def new_store(self) -> ReplicaStore:
        return ReplicaStore(
            SystemFiles(),
            InlineWorker(),
            self.clock,
            SeededRandomness(1),
            folders_in(self.folder.parent),
        )

    @asynccontextmanager
    async def conversing(self, peer: str = "host-a") -> AsyncIterator[Source]:
        near, far, link = stream_pair(peer)

        async def hold() -> None:
            try:
                await self.receiver.serve(far)
            finally:
                await link.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(hold())
            try:
                yield Source(near)
            finally:
                await near.close()

    def files(self) -> list[Path]:
        """Return all files of all replicas."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    async def materialised(self, sequence: int) -> bytes:
        """Return the first disk of a point."""
        path = self.folder.parent / f"recovered-{sequence}.vhdx"
        await self.store.get(PROTECTION).materialise(sequence, lambda _disk: path)
        with open_image(SystemFiles().open_read(path)) as image:
            return image.read(image.size, 0)


async def rig_in(folder: Path, accepted: AcceptedReplica = ACCEPTED) -> Rig:
    """Return a host that has accepted a replica."""
    rig = Rig(folder / "replicas")
    await rig.store.open()
    await rig.store.accept(accepted)
    return rig
