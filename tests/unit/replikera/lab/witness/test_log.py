"""Of a log only the newest whole sequence counts, and it counts entirely."""

from pathlib import Path

import pytest

from replikera.lab.witness import WitnessError
from replikera.lab.witness.log import Patch, Replay, replay
from tests.unit.replikera.vhdx.foreign_log import LOG_ID, SECTOR, Entry, Page, Zeros, write_log

PATH = Path("disk.vhdx")
A, B = bytes(range(256)) * 16, b"b" * SECTOR


def found(entries: list[Entry], *, start: int = 0, size: int = 1 << 30) -> Replay:
    return replay(PATH, bytes(write_log(entries, start=start)), LOG_ID.bytes_le, size)


def test_the_changes_of_a_sequence_come_in_their_order() -> None:
    first = Entry(5, [Page(8 * SECTOR, A), Zeros(2 * SECTOR, SECTOR)], tail=0)
    second = Entry(6, [Page(8 * SECTOR, B)], tail=0, flushed=SECTOR, last=9 * SECTOR)
    assert found([first, second]) == Replay(
        (
            Patch(8 * SECTOR, SECTOR, A),
            Patch(2 * SECTOR, SECTOR, None),
            Patch(8 * SECTOR, SECTOR, B),
        ),
        9 * SECTOR,
    )


def test_a_sequence_goes_on_at_the_start_of_the_log() -> None:
    entries = [Entry(1, [Page(0, A)], tail=255 * SECTOR), Entry(2, tail=255 * SECTOR)]
    assert found(entries, start=255 * SECTOR).patches == (Patch(0, SECTOR, A),)


def test_what_lies_before_the_tail_is_done_already() -> None:
    entries = [Entry(1, [Page(0, A)]), Entry(2, [Page(0, B)], tail=2 * SECTOR)]
    assert found(entries).patches == (Patch(0, SECTOR, B),)


def test_of_two_sequences_the_newer_one_counts() -> None:
    log = write_log([Entry(9, [Page(0, B)])], start=40 * SECTOR)
    old = write_log([Entry(4, [Page(0, A)])])
    log[: 2 * SECTOR] = old[: 2 * SECTOR]
    assert replay(PATH, bytes(log), LOG_ID.bytes_le, 0).patches == (Patch(0, SECTOR, B),)


@pytest.mark.parametrize(
    "spoil",
    [
        {0: b"what"},
        {8: b"\x01"},
        {16: bytes(8)},
        {24: b"\xff\xff"},
        {32: b"another log"},
        {64: b"nope"},
        {80: b"\x01"},
        {88: b"\x07"},
        {SECTOR: b"nope"},
        {2 * SECTOR - 1: b"\x01"},
    ],
    ids=str,
)
def test_an_entry_that_is_not_whole_is_none(spoil: dict[int, bytes]) -> None:
    with pytest.raises(WitnessError, match="none that is whole"):
        found([Entry(5, [Page(8 * SECTOR, A)], spoil=spoil)])


def test_a_page_without_its_checksum_is_none() -> None:
    log = write_log([Entry(5, [Page(0, A)])])
    log[SECTOR + 100] ^= 1
    with pytest.raises(WitnessError, match="none that is whole"):
        replay(PATH, bytes(log), LOG_ID.bytes_le, 0)


def test_a_file_that_lost_its_end_is_refused() -> None:
    with pytest.raises(WitnessError, match="cut off"):
        found([Entry(5, flushed=2 * SECTOR)], size=SECTOR)
