"""Before-images."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica import undo as undo_module
from agent.replica.errors import ReplicaError
from agent.replica.frames import Window
from agent.replica.images import VhdxImages
from agent.replica.log_reader import LOST_CHECKSUM
from agent.replica.undo import UndoHeader, UndoWriter, decode_undo_header, open_undo
from replikera.blocks.segment import RecordKind, SegmentFormatError
from tests.support.crash_files import CrashFile
from tests.support.lineages import LineageBench
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import GENERATION, Write

MIB = 1 << 20
GRANULE = 64 << 10
HEADER = UndoHeader(GENERATION, 4, b"\4" * 32, b"\3" * 32)


def before_images(bench: LineageBench, sequence: int) -> list[tuple[int, int, int, bytes | None]]:
    window = Window()
    with open_undo(bench.files, bench.layout.undo_file(sequence)) as undo:
        return [
            (disk, offset, length, None if data is None else bytes(data))
            for frame in undo.frames()
            for disk, offset, length, data in frame.pieces(undo.file, window)
        ]


def test_it_holds_what_the_base_held() -> None:
    bench = LineageBench()
    first = bench.deliver(Write(0, 512, b"a" * 1024), Write(1, 0, b"b" * 512))
    second = bench.deliver(Write(0, 1024, b"c" * 1024), Write(0, 2048, 512), Write(1, 0, 1024))
    bench.apply()
    # A piece of the base that is partly zeros is kept as bytes, one that is all zeros as a range.
    assert before_images(bench, 2) == [
        (0, 1024, 1024, b"a" * 512 + bytes(512)),
        (0, 2048, 512, None),
        (1, 0, 1024, b"b" * 512 + bytes(512)),
    ]
    with open_undo(bench.files, bench.layout.undo_file(2)) as undo:
        assert undo.header.point_id == second.point_id
        assert undo.header.previous == first.point_id
        assert undo.header.generation == GENERATION


def test_inside_a_batch_it_holds_what_the_point_before_held() -> None:
    bench = LineageBench()
    bench.deliver(Write(0, 0, b"a" * 1024))
    bench.deliver(Write(0, 512, b"b" * 512), Write(0, 2048, b"c" * 512))
    bench.deliver(Write(0, 0, b"d" * 1024), Write(0, 2048, 512))
    bench.apply(together=2)
    assert before_images(bench, 2) == [(0, 512, 512, b"a" * 512), (0, 2048, 512, None)]
    assert before_images(bench, 3) == [
        (0, 0, 1024, b"a" * 512 + b"b" * 512),
        (0, 2048, 512, b"c" * 512),
    ]


def test_ranges_without_data_are_zero_records_and_not_read() -> None:
    size = 64 * MIB
    bench = LineageBench(sizes=(size,), image_format=VhdxImages(SeededRandomness(1)))
    bench.deliver(Write(0, 4 * MIB, b"a" * 512))
    bench.deliver(Write(0, 0, size))
    bench.apply()
    images = before_images(bench, 2)
    zeros = [(offset, length) for _, offset, length, data in images if data is None]
    data = [(offset, length) for _, offset, length, data in images if data is not None]
    assert data == [(4 * MIB, GRANULE)]
    assert sorted(zeros) == [(0, 4 * MIB), (4 * MIB + GRANULE, 60 * MIB - GRANULE)]
    assert bench.read(1) == bench.contents[1]
    assert bench.read(2) == bench.contents[2]


@pytest.mark.parametrize(("payload", "records"), [(1024, 3), (1 << 20, 2)])
def test_more_than_one_frame_is_written(
    monkeypatch: pytest.MonkeyPatch, payload: int, records: int
) -> None:
    monkeypatch.setattr(undo_module, "GATHERED_BYTES", payload)
    monkeypatch.setattr(undo_module, "MAX_BATCH_RECORDS", records)
    monkeypatch.setattr(undo_module, "MAX_RECORD_BYTES", 512)
    bench = LineageBench()
    bench.deliver(Write(0, 0, bytes(range(256)) * 8))
    bench.deliver(Write(0, 0, b"c" * 2048))
    bench.apply()
    with open_undo(bench.files, bench.layout.undo_file(2)) as undo:
        assert [len(frame.records) for frame in undo.frames()] == [2, 2]
    bench.assert_all_points_are_right()


def test_many_zero_ranges_are_written_in_bounded_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo_module, "MAX_BATCH_RECORDS", 2)
    bench = LineageBench(sizes=(64 * MIB,), image_format=VhdxImages(SeededRandomness(1)))
    bench.deliver(Write(0, 0, b"a" * 512))
    bench.deliver(*(Write(0, number * 8 * MIB, b"c" * 512) for number in range(1, 6)))
    bench.apply()
    with open_undo(bench.files, bench.layout.undo_file(2)) as undo:
        assert [len(frame.records) for frame in undo.frames()] == [2, 2, 1]
    assert bench.read(1) == bench.contents[1]


def test_zero_records_carry_no_payload() -> None:
    bench = LineageBench()
    bench.deliver(Write(0, 0, b"a" * 512))
    bench.deliver(Write(0, 2048, b"c" * 512))
    bench.apply()
    with open_undo(bench.files, bench.layout.undo_file(2)) as undo:
        (frame,) = undo.frames()
        assert frame.records["kind"].tolist() == [RecordKind.ZERO]
        assert undo.footer.payload_bytes == 0


def test_lost_bytes_are_kept_under_a_checksum_that_nothing_has() -> None:
    bench = LineageBench()
    with UndoWriter(bench.files, bench.layout, HEADER, 1) as writer:
        writer.add(0, 512, memoryview(b"rotten!!" * 64), is_lost=True)
        writer.add(0, 1024, memoryview(bytes(512)), is_lost=True)
        writer.finish(bench.now(0))
        assert list(writer.verify(bench.disks)) == [None]
        writer.seal()
    with open_undo(bench.files, bench.layout.undo_file(4)) as undo:
        (frame,) = undo.frames()
        assert {bytes(checksum) for checksum in frame.records["checksum"]} == {LOST_CHECKSUM}
        assert undo.footer.payload_bytes == 1024
        with pytest.raises(SegmentFormatError):
            list(frame.pieces(undo.file, Window()))


def test_what_does_not_read_back_is_not_sealed_and_the_base_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = LineageBench()
    bench.deliver_many(2)
    real = CrashFile.write_many

    def bad(self: CrashFile, parts: list[bytes], offset: int) -> None:
        real(self, parts, offset)
        if self.path.name.endswith(".undo.new"):
            with bench.files.open_write(self.path) as file:
                file.write(b"rot", self.size() - 10)

    monkeypatch.setattr(CrashFile, "write_many", bad)
    with pytest.raises(ReplicaError, match="does not read back") as error:
        bench.apply()
    assert error.value.code == "storage-error"
    assert bench.files.list_directory(bench.layout.undo) == []
    assert not bench.lineage.history.is_interrupted
    monkeypatch.undo()
    bench.apply()
    bench.assert_all_points_are_right()


@pytest.mark.parametrize("operation", ["create", "write"])
def test_a_failed_one_gives_its_space_back(operation: str) -> None:
    bench = LineageBench()
    bench.deliver_many(3)

    def full(found: str, path: Path) -> None:
        if found == operation and path.name == bench.layout.undo_file(3).name + ".new":
            raise OSError(errno.ENOSPC, "full")

    bench.files.before = full
    with pytest.raises(ReplicaError, match="no space"):
        bench.apply(together=2)
    assert bench.files.list_directory(bench.layout.undo) == []
    assert not [name for name in bench.files.list_directory(bench.layout.folder) if "new" in name]


def test_headers_come_back_and_notice_every_flipped_bit() -> None:
    data = HEADER.encode()
    assert decode_undo_header(data) == HEADER
    for place in range(len(data)):
        with pytest.raises(SegmentFormatError):
            decode_undo_header(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])


def test_a_header_of_another_undo_is_noticed() -> None:
    bench = LineageBench()
    bench.deliver_many(2)
    bench.apply()
    path = bench.layout.undo_file(2)
    with open_undo(bench.files, path) as undo:
        other = replace(undo.header, previous=b"\1" * 32)
    with bench.files.open_write(path) as file:
        file.write(other.encode(), 0)
    with pytest.raises(SegmentFormatError, match="disagree"), open_undo(bench.files, path):
        pass
