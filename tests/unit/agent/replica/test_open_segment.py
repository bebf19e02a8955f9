"""A delta while it is received."""

import errno
from pathlib import Path

import pytest

from agent.replica.intake import Intake
from agent.replica.journal import open_redo
from agent.replica.open_segment import (
    OpenSegment,
    create_segment,
    find_segment,
    read_open_header,
)
from replikera.blocks.segment import RECORD_BYTES, SegmentFormatError, decode_header
from tests.support.lineages import LineageBench
from tests.support.segments import Segment, Write

WRITES = [Write(0, number * 512, bytes([65 + number]) * 512) for number in range(4)]
FRAME = 32 + RECORD_BYTES + 512


class Bench(LineageBench):
    def __init__(self) -> None:
        super().__init__()
        self.deliver_many(1)
        self.sent: Segment = self.segment(WRITES)
        self.header = decode_header(self.sent.header)
        self.path: Path = self.layout.open_file(2, 1)

    def received(self, count: int) -> OpenSegment:
        """Return a segment with that many records, each in a frame."""
        opened = create_segment(self.files, self.layout, self.header)
        for number in range(count):
            opened.add(self.record(number), [self.sent.payloads[number]])
        return opened

    def record(self, number: int) -> bytes:
        return self.sent.records[number * RECORD_BYTES : (number + 1) * RECORD_BYTES]

    def found(self) -> tuple[OpenSegment, Intake]:
        """Read again what is there, as after a restart."""
        opened, intake = find_segment(self.files, self.layout, self.header), Intake(self.header)
        for _ in opened.read_again(intake):
            pass
        return opened, intake

    @property
    def size(self) -> int:
        with self.files.open_read(self.path) as file:
            return file.size()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_durable_before_a_sync_and_all_is_after_it(bench: Bench) -> None:
    opened = bench.received(3)
    assert opened.durable_records == 0
    opened.sync()
    assert opened.durable_records == 3
    assert bench.files.pending() == []


def test_a_closed_one_is_not_synced(bench: Bench) -> None:
    opened = bench.received(1)
    opened.close()
    opened.close()
    opened.sync()
    assert opened.durable_records == 0


def test_it_goes_on_after_a_restart_and_is_sealed_as_if_nothing_had_been(bench: Bench) -> None:
    bench.received(3).close()
    opened, intake = bench.found()
    assert (intake.records, intake.payload_bytes, opened.durable_records) == (3, 1536, 3)
    opened.add(bench.record(3), [bench.sent.payloads[3]])
    intake.take(bench.record(3), [bench.sent.payloads[3]])
    intake.finish(bench.sent.trailer, bench.sent.chain_digest)
    opened.seal(bench.sent.trailer, bench.sent.chain_digest, bench.now(2))
    with open_redo(bench.files, bench.layout.redo_file(2)) as redo:
        assert sum(len(frame.records) for frame in redo.frames()) == 4
        assert redo.footer.payload_bytes == 4 * 512


def test_what_is_read_again_is_durable(bench: Bench) -> None:
    bench.received(3).close()
    bench.found()
    assert bench.files.pending() == []


@pytest.mark.parametrize("cut", [1, 100, 300, FRAME - 1])
def test_half_a_frame_is_cut_off(bench: Bench, cut: int) -> None:
    bench.received(3).close()
    whole = bench.size
    with bench.files.open_write(bench.path) as file:
        file.truncate(whole - cut)
    opened, intake = bench.found()
    assert (intake.records, opened.durable_records) == (2, 2)
    assert bench.size == whole - FRAME


def test_what_comes_behind_a_damaged_frame_is_cut_off(bench: Bench) -> None:
    bench.received(4).close()
    bench.damage(bench.path, -2 * FRAME - 100)
    _, intake = bench.found()
    assert intake.records == 1
    assert bench.size == len(bench.sent.header) + FRAME


@pytest.mark.parametrize("part", [5, 40, 90, 400])
def test_a_flipped_bit_anywhere_in_a_frame_ends_it_there(bench: Bench, part: int) -> None:
    bench.received(2).close()
    bench.damage(bench.path, len(bench.sent.header) + FRAME + part)
    _, intake = bench.found()
    assert intake.records == 1


def test_frames_that_repeat_are_cut_off(bench: Bench) -> None:
    opened = bench.received(2)
    opened.add(bench.record(1), [bench.sent.payloads[1]])
    opened.close()
    _, intake = bench.found()
    assert intake.records == 2


def test_a_volume_that_cannot_read_ends_it_there(bench: Bench) -> None:
    bench.received(3).close()
    opened, intake = find_segment(bench.files, bench.layout, bench.header), Intake(bench.header)
    steps = opened.read_again(intake)
    next(steps)
    file = opened._file
    read = file.read

    def fail(length: int, offset: int) -> bytes:
        if offset > len(bench.sent.header) + FRAME:
            raise OSError(errno.EIO, "injected")
        return read(length, offset)

    file.read = fail  # type: ignore[method-assign]  # that is the fault
    assert list(steps) == [None]
    assert intake.records == 2


def test_reading_again_goes_on_where_it_was_left(bench: Bench) -> None:
    bench.received(3).close()
    opened, intake = find_segment(bench.files, bench.layout, bench.header), Intake(bench.header)
    steps = opened.read_again(intake)
    next(steps)
    steps.close()  # type: ignore[attr-defined]  # a generator
    assert (intake.records, opened.durable_records) == (1, 0)
    for _ in opened.read_again(intake):
        pass
    assert (intake.records, opened.durable_records) == (3, 3)


def test_a_new_one_takes_the_place_of_what_had_its_name(bench: Bench) -> None:
    bench.received(3).close()
    assert bench.received(0).durable_records == 0
    assert bench.size == len(bench.sent.header)


def test_one_that_cannot_be_begun_leaves_nothing(bench: Bench) -> None:
    def full(operation: str, path: Path) -> None:
        if operation == "write" and path == bench.path:
            raise OSError(errno.ENOSPC, "injected", str(path))

    bench.files.before = full
    with pytest.raises(OSError, match="injected"):
        bench.received(0)
    assert bench.files.status(bench.path) is None


def test_discarding_leaves_nothing(bench: Bench) -> None:
    opened = bench.received(2)
    opened.discard()
    opened.discard()
    assert bench.files.status(bench.path) is None


def test_its_header_is_read_without_the_rest(bench: Bench) -> None:
    bench.received(1).close()
    assert read_open_header(bench.files, bench.layout, 2, 1) == bench.header
    other = bench.layout.open_file(2, 9)
    bench.files.append(other, bench.files.read_bytes(bench.path, limit=1 << 20))
    with pytest.raises(SegmentFormatError, match="name of segment 2"):
        read_open_header(bench.files, bench.layout, 2, 9)
    bench.files.append(bench.layout.open_file(3, 1), b"short")
    with pytest.raises(SegmentFormatError):
        read_open_header(bench.files, bench.layout, 3, 1)
