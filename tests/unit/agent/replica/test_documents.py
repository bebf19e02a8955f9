"""JSON files with a checksum."""

from pathlib import Path

import pytest

from agent.replica.documents import MAX_DOCUMENT_BYTES, read_document, write_document
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles

PATH = Path("/d.json")


def test_a_document_comes_back_and_is_replaced() -> None:
    files = CrashFiles()
    write_document(files, PATH, {"a": 1})
    write_document(files, PATH, {"a": [2, "é"]})
    assert read_document(files, PATH) == {"a": [2, "é"]}
    assert files.pending() == []
    assert files.list_directory(Path("/")) == ["d.json"]


def test_every_flipped_bit_is_noticed() -> None:
    files = CrashFiles()
    write_document(files, PATH, {"a": 1, "name": "x"})
    data = files.read_bytes(PATH, limit=1000)
    for place in range(len(data)):
        with files.open_write(PATH) as file:
            file.write(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], 0)
        with pytest.raises(SegmentFormatError):
            read_document(files, PATH)


def test_other_files_are_refused() -> None:
    files = CrashFiles()
    files.append(PATH, b"[]")
    with pytest.raises(SegmentFormatError, match=r"checksum of d\.json"):
        read_document(files, PATH)
    files.append(PATH, bytes(MAX_DOCUMENT_BYTES))
    with pytest.raises(SegmentFormatError, match="holds more than"):
        read_document(files, PATH)
    with pytest.raises(FileNotFoundError):
        read_document(files, Path("/none"))
