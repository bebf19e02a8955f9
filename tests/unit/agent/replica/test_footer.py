"""Footers of sealed files."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.replica.footer import FOOTER_BYTES, Footer, read_footer
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles

FOOTER = Footer(7, b"\1" * 32, b"\2" * 32, 1000, 24, 5, 6, datetime(2026, 1, 2, 3, 4, 5, 678, UTC))
PATH = Path("/f")


def read(data: bytes) -> Footer:
    files = CrashFiles()
    files.append(PATH, data)
    with files.open_read(PATH) as file:
        return read_footer(file)


def test_a_footer_comes_back() -> None:
    assert read(bytes(1024) + FOOTER.encode()) == FOOTER


def test_a_file_of_another_length_is_refused() -> None:
    for data in (FOOTER.encode(), bytes(1023) + FOOTER.encode(), bytes(2000) + FOOTER.encode()):
        with pytest.raises(SegmentFormatError, match="another length"):
            read(data)
    for data in (b"", bytes(FOOTER_BYTES), FOOTER.encode()[:-1]):
        with pytest.raises(SegmentFormatError, match="damaged"):
            read(data)


def test_every_flipped_bit_is_noticed() -> None:
    data = bytes(1024) + FOOTER.encode()
    for place in range(1024, len(data)):
        with pytest.raises(SegmentFormatError):
            read(data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :])


def test_ids_are_told_apart() -> None:
    other = replace(FOOTER, point_id=FOOTER.previous, previous=FOOTER.point_id)
    assert read(bytes(1024) + other.encode()) != FOOTER
