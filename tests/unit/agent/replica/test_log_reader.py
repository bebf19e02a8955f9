"""Single records of redo and undo files."""

from pathlib import Path

import pytest

from agent.replica import log_reader
from agent.replica.errors import BaseDamagedError
from agent.replica.frames import FrameWriter
from agent.replica.log_reader import LOST_CHECKSUM, LogReader
from agent.replica.overlay import Stroke
from replikera.blocks.segment import RECORD_BYTES, Codec, SegmentFormatError, compress, data_record
from tests.support.crash_files import CrashFiles
from tests.support.segments import disks_of

FOLDER = Path("/logs")
DISKS = disks_of(4096, 1 << 20)
PLAIN = b"abcdefgh" * 512
TABLE = 32
"""Where the records of a frame at the beginning of a file are."""


def write_log(files: CrashFiles, name: str, codec: Codec = Codec.NONE) -> Path:
    stored = compress(codec, PLAIN) or PLAIN
    path = FOLDER / name
    with files.create(path) as file:
        FrameWriter(file, 0).add(data_record(1, 4096, PLAIN, codec, len(stored)), [stored])
    return path


def write_lost(files: CrashFiles) -> Path:
    record = data_record(1, 4096, PLAIN)
    path = FOLDER / "lost"
    with files.create(path) as file:
        FrameWriter(file, 0).add(record[:24] + LOST_CHECKSUM + record[40:], [PLAIN])
    return path


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(FOLDER)
    return files


def read(reader: LogReader, start: int, end: int, *, log: int = 0, disk: int = 1) -> bytes:
    buffer = bytearray(end - start)
    stroke = Stroke(start, end, log, TABLE, TABLE + RECORD_BYTES)
    reader.read_into(memoryview(buffer), disk, stroke)
    return bytes(buffer)


@pytest.mark.parametrize("codec", list(Codec))
def test_a_part_of_a_record_is_unpacked_and_verified(files: CrashFiles, codec: Codec) -> None:
    reader = LogReader(files, [write_log(files, "a", codec)], DISKS)
    assert read(reader, 4096, 8192) == PLAIN
    assert read(reader, 4096 + 512, 4096 + 1536) == PLAIN[512:1536]
    reader.close()


def test_a_flipped_bit_is_noticed_wherever_it_is(files: CrashFiles) -> None:
    path = write_log(files, "a")
    for place in (TABLE, TABLE + 8, TABLE + 24, TABLE + RECORD_BYTES + 4000):
        with files.open_write(path) as file:
            byte = file.read(1, place)[0]
            file.write(bytes([byte ^ 1]), place)
            with pytest.raises(SegmentFormatError):
                read(LogReader(files, [path], DISKS), 4096, 4608)
            file.write(bytes([byte]), place)


def test_a_record_of_other_bytes_is_refused(files: CrashFiles) -> None:
    reader = LogReader(files, [write_log(files, "a")], DISKS)
    for start, end in ((3584, 4096), (8192, 8704), (7680, 8704)):
        with pytest.raises(SegmentFormatError, match="another record|wrong checksum"):
            read(reader, start, end)
    reader.close()
    with pytest.raises(SegmentFormatError, match="another record|wrong checksum"):
        read(reader, 4096, 4608, disk=0)


def test_few_files_are_open_at_once(files: CrashFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_OPEN_LOGS", 2)
    paths = [write_log(files, name) for name in "abc"]
    opened = {log: files.open_read(path) for log, path in enumerate(paths)}
    closed: list[Path] = []
    monkeypatch.setattr(files, "open_read", lambda path: opened[paths.index(path)])
    for file in opened.values():
        monkeypatch.setattr(file, "close", lambda file=file: closed.append(file.path))
    reader = LogReader(files, paths, DISKS)
    for log in (0, 1, 0, 2):
        assert read(reader, 4096, 8192, log=log) == PLAIN
    assert closed == [paths[1]]
    reader.close()
    assert sorted(closed) == sorted(paths)
    reader.close()


def test_a_record_read_in_parts_is_read_once(
    files: CrashFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_log(files, "a")
    reader = LogReader(files, [path], DISKS)
    assert read(reader, 4096, 4608) == PLAIN[:512]
    with files.open_write(path) as file:
        file.write(b"x", TABLE + RECORD_BYTES)
    assert read(reader, 4608, 5120) == PLAIN[512:1024]
    reader.close()
    with pytest.raises(SegmentFormatError):
        read(reader, 4096, 4608)


def test_bytes_that_were_lost_before_are_named_as_such(files: CrashFiles) -> None:
    reader = LogReader(files, [write_lost(files)], DISKS)
    with pytest.raises(BaseDamagedError) as raised:
        read(reader, 4608, 5120)
    assert (raised.value.disk_name, raised.value.offset) == ("disk-1.vhdx", 4608)
