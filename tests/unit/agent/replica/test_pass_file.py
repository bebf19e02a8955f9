"""How far a pass is durable."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica.documents import read_document, write_document
from agent.replica.layout import Layout
from agent.replica.pass_file import PassState, read_pass, write_pass
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles
from tests.support.power_cuts import empty_files
from tests.support.segments import NOTHING, disks_of, pass_header

LAYOUT = Layout(Path("/replica"))
DISKS = disks_of(4096, 2048)
BEGUN = PassState.begun(pass_header(NOTHING, DISKS, attempt=3), is_seeded=True)
LATER = BEGUN.advanced(b"d" * 32, (4096, 512), records=7, payload_bytes=900)


@pytest.fixture
def files() -> CrashFiles:
    return empty_files(LAYOUT.folder, LAYOUT.images(3))


def test_a_pass_begins_with_nothing() -> None:
    assert (BEGUN.attempt, BEGUN.chunk, BEGUN.digest) == (3, 0, bytes(32))
    assert (BEGUN.watermarks, BEGUN.records, BEGUN.payload_bytes) == ((0, 0), 0, 0)


def test_chunks_add_up() -> None:
    more = LATER.advanced(b"e" * 32, (4096, 2048), records=1, payload_bytes=100)
    assert (more.chunk, more.digest, more.records, more.payload_bytes) == (2, b"e" * 32, 8, 1000)
    assert more.is_seeded
    assert more.is_covered
    assert not LATER.is_covered


@pytest.mark.parametrize("state", [BEGUN, LATER])
def test_what_is_written_is_read_and_durable(files: CrashFiles, state: PassState) -> None:
    write_pass(files, LAYOUT, state)
    assert files.pending() == []
    assert read_pass(files, LAYOUT, 3) == state


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": 4},
        {"chunk": -1},
        {"chunk": "1"},
        {"digest": "x" * 64},
        {"disks": []},
        {"is_seeded": 1},
        {"records": -1},
        {"watermarks": [0]},
        {"watermarks": {"0": 0, "1": 0}},
        {"watermarks": [0, "0"]},
        {"watermarks": [0, -1]},
        {"watermarks": [0, 4096]},
        {"more": 1},
    ],
)
def test_what_cannot_be_is_refused(files: CrashFiles, changes: dict[str, object]) -> None:
    write_pass(files, LAYOUT, LATER)
    path = LAYOUT.pass_file(3)
    fields = {**read_document(files, path), **changes}
    write_document(files, path, fields)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="."):
        read_pass(files, LAYOUT, 3)


def test_every_flipped_bit_is_noticed(files: CrashFiles) -> None:
    write_pass(files, LAYOUT, LATER)
    path = LAYOUT.pass_file(3)
    data = files.read_bytes(path, limit=1 << 20)
    for place in range(len(data)):
        with files.open_write(path) as file:
            file.write(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], 0)
        with pytest.raises(SegmentFormatError):
            read_pass(files, LAYOUT, 3)


def test_a_state_of_another_pass_is_refused(files: CrashFiles) -> None:
    files.make_directory(LAYOUT.images(4))
    write_pass(files, LAYOUT, replace(LATER, attempt=4))
    files.append(LAYOUT.pass_file(3), files.read_bytes(LAYOUT.pass_file(4), limit=1 << 20))
    with pytest.raises(SegmentFormatError, match="pass 4"):
        read_pass(files, LAYOUT, 3)
