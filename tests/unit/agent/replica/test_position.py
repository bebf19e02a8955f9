"""The position of a base."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica.fence import FencedFiles, SyncFailedError
from agent.replica.layout import Layout
from agent.replica.position import Position, decode_position, read_position, write_position
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles
from tests.support.segments import GENERATION

LAYOUT = Layout(Path("/"))
POSITION = Position(GENERATION, 3, 7, b"\7" * 32, 2, 8, 4)


@pytest.fixture
def inner() -> CrashFiles:
    return CrashFiles()


@pytest.fixture
def files(inner: CrashFiles) -> FencedFiles:
    return FencedFiles(inner)


def overwrite(inner: CrashFiles, path: Path, data: bytes) -> None:
    with inner.open_write(path) as file:
        file.truncate(0)
        file.write(data, 0)


def test_a_position_comes_back_durable(inner: CrashFiles, files: FencedFiles) -> None:
    written = write_position(files, LAYOUT, POSITION)
    assert written == replace(POSITION, counter=1)
    assert inner.pending() == []
    assert read_position(files, LAYOUT) == written
    assert decode_position(POSITION.encode()) == POSITION


def test_either_copy_is_enough_and_the_other_is_made_again(
    inner: CrashFiles, files: FencedFiles
) -> None:
    for path in LAYOUT.positions:
        written = write_position(files, LAYOUT, POSITION)
        overwrite(inner, path, b"rot")
        found = read_position(files, LAYOUT)
        assert replace(found, counter=1) == written
        first, second = (inner.read_bytes(copy, limit=1000) for copy in LAYOUT.positions)
        assert first == second == found.encode()


def test_the_newer_copy_counts(inner: CrashFiles, files: FencedFiles) -> None:
    older = write_position(files, LAYOUT, POSITION)
    newer = write_position(files, LAYOUT, replace(older, sequence=8))
    for path in LAYOUT.positions:
        write_position(files, LAYOUT, replace(newer, counter=newer.counter - 1))
        overwrite(inner, path, older.encode())
        assert read_position(files, LAYOUT).sequence == 8


def test_two_bad_copies_are_refused(inner: CrashFiles, files: FencedFiles) -> None:
    with pytest.raises(SegmentFormatError, match="both copies"):
        read_position(files, LAYOUT)
    write_position(files, LAYOUT, POSITION)
    for path in LAYOUT.positions:
        overwrite(inner, path, bytes(600))
    with pytest.raises(SegmentFormatError, match="both copies"):
        read_position(files, LAYOUT)


def test_every_flipped_bit_is_noticed() -> None:
    data = POSITION.encode()
    for place in range(len(data)):
        with pytest.raises(SegmentFormatError):
            decode_position(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(SegmentFormatError):
        decode_position(data + b"\0")


def test_a_floor_holds_for_its_sequence_alone() -> None:
    assert POSITION.attempt_floor(8) == 4
    assert POSITION.attempt_floor(9) == 0


def test_a_failure_before_the_names_is_harmless_and_one_after_is_not(
    inner: CrashFiles, files: FencedFiles
) -> None:
    written = write_position(files, LAYOUT, POSITION)

    def fail(wanted: str) -> None:
        def before(operation: str, path: Path) -> None:
            if operation == wanted and path.name.startswith("position.1"):
                raise OSError(errno.ENOSPC, "full")

        inner.before = before

    fail("write")
    with pytest.raises(OSError, match="full"):
        write_position(files, LAYOUT, replace(written, sequence=8))
    assert files.fence.failure is None
    assert read_position(files, LAYOUT) == written
    fail("rename")
    with pytest.raises(SyncFailedError):
        write_position(files, LAYOUT, replace(written, sequence=8))
    assert files.fence.failure is not None
