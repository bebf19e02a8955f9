"""Frames in a file."""

from pathlib import Path

import pytest

from agent.replica.frames import FrameWriter, Window, read_frames
from replikera.blocks.segment import SegmentFormatError, data_record, zero_record
from tests.support.crash_files import CrashFiles

PATH = Path("/f")
START = 100
A, B = b"a" * 512, b"b" * 1024


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    with files.create(PATH) as file:
        writer = FrameWriter(file, START)
        writer.add(data_record(0, 0, A) + zero_record(1, 0, 512), [A])
        writer.add(zero_record(1, 1024, 512), [])
        many = b"".join(data_record(0, 1024 * number, B) for number in range(1, 200))
        writer.add(many, [B[:100] + B * 198, B[100:]])
        assert (writer.records, writer.payload_bytes) == (202, 512 + 199 * 1024)
        assert writer.offset == file.size()
    return files


def contents(files: CrashFiles, end: int | None = None) -> list[tuple[int, int, bytes | None]]:
    window = Window()
    with files.open_read(PATH) as file:
        return [
            (piece.disk, piece.offset, None if piece.data is None else bytes(piece.data))
            for frame in read_frames(file, START, file.size() if end is None else end)
            for piece in frame.pieces(file, window)
        ]


def test_frames_come_back_in_order(files: CrashFiles) -> None:
    found = contents(files)
    assert found[:3] == [(0, 0, A), (1, 0, None), (1, 1024, None)]
    assert found[3:] == [(0, 1024 * number, B) for number in range(1, 200)]


def test_every_flipped_bit_is_noticed(files: CrashFiles) -> None:
    data = files.read_bytes(PATH, limit=1 << 20)
    for place in [*range(START, START + 900), *range(START + 900, len(data), 997)]:
        with files.open_write(PATH) as file:
            file.write(bytes([data[place] ^ 2]), place)
        with pytest.raises(SegmentFormatError):
            contents(files)
        with files.open_write(PATH) as file:
            file.write(data[place : place + 1], place)
    assert len(contents(files)) == 202


def test_a_changed_record_is_noticed_before_its_payload_is_read(files: CrashFiles) -> None:
    with files.open_write(PATH) as file:
        file.write(b"\1", START + 32 + 9)
    with pytest.raises(SegmentFormatError, match="damaged records in the frame at 100"):
        contents(files)


def test_a_file_cut_short_is_noticed(files: CrashFiles) -> None:
    size = len(files.read_bytes(PATH, limit=1 << 20))
    with pytest.raises(SegmentFormatError, match="beyond the end"):
        contents(files, size - 1)
    with files.open_write(PATH) as file:
        file.truncate(size - 1)
    with pytest.raises(SegmentFormatError, match="ends inside"):
        contents(files, size)
    with files.open_write(PATH) as file:
        file.truncate(START + 10)
    with pytest.raises(SegmentFormatError, match="damaged frame at 100"):
        contents(files, size)


def test_a_window_grows_and_is_used_again() -> None:
    window = Window()
    small = window.view(4)
    small[:] = b"1234"
    assert bytes(window.view(2)) == b"12"
    assert len(window.view(1000)) == 1000
    assert len(window.view(0)) == 0
