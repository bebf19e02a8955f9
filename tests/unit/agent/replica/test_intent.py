"""The record of an apply that has begun."""

from pathlib import Path

import numpy as np
import pytest

from agent.replica import intent as intent_module
from agent.replica.intent import (
    ENTRY,
    Entries,
    IntentHeader,
    IntentWriter,
    find_intent,
    open_intent,
    temporary_of,
)
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles
from tests.support.segments import GENERATION

FOLDER = Path("/replica")
PATHS = (FOLDER / "intent.0", FOLDER / "intent.1")
HEADER = IntentHeader(GENERATION, 4, b"\4" * 32, 7, b"\7" * 32)


def entries_of(count: int) -> Entries:
    entries: Entries = np.zeros(count, dtype=ENTRY)
    entries["granule"] = np.arange(count) * 3
    entries["before"], entries["after"] = 5, (1 << 64) - 1
    return entries


def write(files: CrashFiles, header: IntentHeader = HEADER, count: int = 10) -> None:
    with IntentWriter(files, PATHS, header) as writer:
        writer.add(entries_of(count))
        writer.add(entries_of(1))
        writer.seal()


def read(files: CrashFiles, path: Path) -> Entries:
    with open_intent(files, path) as intent:
        assert intent.header == HEADER
        return np.concatenate([*intent.frames()])


def flip(files: CrashFiles, path: Path, place: int) -> None:
    with files.open_write(path) as file:
        file.write(bytes([file.read(1, place)[0] ^ 8]), place)


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(FOLDER)
    files.sync_directory(Path("/"))
    return files


def test_both_copies_come_back_durable(files: CrashFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intent_module, "MAX_ENTRIES", 4)
    write(files)
    assert files.pending() == []
    for path in PATHS:
        assert np.array_equal(read(files, path), np.concatenate([entries_of(10), entries_of(1)]))
    assert find_intent(files, PATHS, HEADER.point_id) == (PATHS[0], HEADER)


def test_one_that_is_not_sealed_leaves_nothing(files: CrashFiles) -> None:
    with pytest.raises(KeyError), IntentWriter(files, PATHS, HEADER) as writer:
        writer.add(entries_of(3))
        assert files.list_directory(FOLDER) == [temporary_of(path).name for path in PATHS]
        raise KeyError
    assert files.list_directory(FOLDER) == []
    assert find_intent(files, PATHS, HEADER.point_id) is None


def test_a_full_volume_leaves_nothing(files: CrashFiles) -> None:
    files.capacity = 4096
    with pytest.raises(OSError, match="no space"), IntentWriter(files, PATHS, HEADER):
        pass
    assert files.list_directory(FOLDER) == []


def test_every_flipped_bit_is_noticed_and_one_copy_is_enough(files: CrashFiles) -> None:
    write(files)
    size = len(files.read_bytes(PATHS[0], limit=1 << 20))
    for place in range(0, size, 7):
        flip(files, PATHS[0], place)
        with pytest.raises(SegmentFormatError):
            read(files, PATHS[0])
        assert find_intent(files, PATHS, HEADER.point_id) == (PATHS[1], HEADER)
        flip(files, PATHS[0], place)


def test_two_damaged_copies_are_refused(files: CrashFiles) -> None:
    write(files)
    for path in PATHS:
        flip(files, path, 600)
    with pytest.raises(SegmentFormatError):
        find_intent(files, PATHS, HEADER.point_id)


def test_a_damaged_copy_beside_none_or_one_of_another_point_says_that_nothing_began(
    files: CrashFiles,
) -> None:
    write(files)
    flip(files, PATHS[0], 600)
    assert find_intent(files, PATHS, b"\5" * 32) is None
    files.remove(PATHS[1])
    assert find_intent(files, PATHS, HEADER.point_id) is None


def test_a_cut_one_is_damaged(files: CrashFiles) -> None:
    write(files)
    for length in (0, 100, 512, 530, 900):
        with files.open_write(PATHS[0]) as file:
            data = file.read(1 << 20, 0)
            file.truncate(length)
            with pytest.raises(SegmentFormatError):
                read(files, PATHS[0])
            file.write(data, 0)
