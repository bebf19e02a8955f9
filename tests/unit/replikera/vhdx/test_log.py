"""Log replay: which entries count, and what a damaged or hostile log can do (nothing)."""

import struct
import uuid
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.vhdx import VhdxError, log
from replikera.vhdx.headers import Header
from replikera.vhdx.log import Log, PageChange, ZeroChange
from tests.unit.replikera.vhdx.foreign_log import LOG_ID, MIB, SECTOR, Entry, Page, Zeros, write_log
from tests.unit.replikera.vhdx.memory_file import MemoryFile

NIL = uuid.UUID(int=0)
TABLE = 3 * MIB
HEADER = Header(9, NIL, NIL, LOG_ID, 0, 1, MIB, MIB)


def page(number: int, offset: int = TABLE) -> Page:
    return Page(offset, bytes([number]) * 8 + bytes([number + 1]) * 4084 + bytes([number + 2]) * 4)


def file_with(content: bytes | bytearray) -> MemoryFile:
    data = bytearray(4 * MIB)
    data[MIB : MIB + len(content)] = content
    return MemoryFile(data)


def replayed(content: bytes | bytearray, header: Header = HEADER) -> list[object]:
    return list(Log(file_with(content), header).changes())


def test_the_changes_of_an_entry_are_put_together_again() -> None:
    changes = replayed(write_log([Entry(5, [page(1), Zeros(TABLE + SECTOR, 2 * SECTOR)])]))

    assert changes == [
        PageChange(TABLE, page(1).data),
        ZeroChange(TABLE + SECTOR, 2 * SECTOR),
    ]


def test_entries_are_replayed_from_the_tail_on_in_their_order() -> None:
    entries = [Entry(1, [page(1)]), Entry(2, [page(20)]), Entry(3, [page(40)], tail=2 * SECTOR)]

    assert replayed(write_log(entries)) == [
        PageChange(TABLE, page(20).data),
        PageChange(TABLE, page(40).data),
    ]


def test_a_sequence_goes_on_at_the_start_of_the_log() -> None:
    start = MIB - SECTOR
    entries = [Entry(7, [page(1)], tail=start), Entry(8, [page(9)], tail=start)]

    assert len(replayed(write_log(entries, start=start))) == 2


def test_sequence_numbers_may_be_huge() -> None:
    number = (1 << 63) + 12345

    assert len(replayed(write_log([Entry(number, [page(1)])]))) == 1


def test_the_newest_whole_sequence_counts() -> None:
    older = write_log([Entry(1, [page(1)]), Entry(2, [page(2)], tail=0)])
    newer = write_log([Entry(9, [page(3)])], start=512 * 1024)
    both = bytes(a | b for a, b in zip(older, newer, strict=True))

    assert replayed(both) == [PageChange(TABLE, page(3).data)]


def test_a_torn_newest_entry_is_as_if_it_had_never_been_written() -> None:
    content = write_log([Entry(1, [page(1)]), Entry(2, [page(2)], tail=0)])
    content[3 * SECTOR + 100] ^= 1

    assert replayed(content) == [PageChange(TABLE, page(1).data)]


def test_a_sequence_whose_tail_was_overwritten_does_not_count() -> None:
    lost = MIB // 2
    content = write_log([Entry(3, [page(1)]), Entry(4, [page(2)], tail=lost)])

    with pytest.raises(VhdxError, match="no valid sequence"):
        replayed(content)


def test_entries_of_an_earlier_opening_do_not_count() -> None:
    stale = uuid.UUID(int=5)

    with pytest.raises(VhdxError, match="no valid sequence"):
        replayed(write_log([Entry(1, [page(1)], log_id=stale)]))


@pytest.mark.parametrize(
    "spoil",
    [
        {64: b"what"},
        {64 + 24: struct.pack("<Q", 6)},
        {64 + 16: struct.pack("<Q", TABLE + 1)},
        {SECTOR: b"dada"},
        {SECTOR + 4: struct.pack("<I", 1)},
        {2 * SECTOR - 4: struct.pack("<I", 4)},
        {16: bytes(8)},
        {12: struct.pack("<I", 100)},
        {12: struct.pack("<I", MIB)},
        {8: struct.pack("<I", SECTOR + 1)},
        {24: struct.pack("<I", 1 << 30)},
    ],
    ids=[
        "descriptor",
        "descriptor's sequence",
        "offset",
        "sector",
        "sector's high half",
        "sector's low half",
        "sequence zero",
        "tail between sectors",
        "tail outside",
        "length",
        "count",
    ],
)
def test_an_entry_with_a_wrong_field_and_a_right_checksum_does_not_count(
    spoil: dict[int, bytes],
) -> None:
    with pytest.raises(VhdxError, match="no valid sequence"):
        replayed(write_log([Entry(5, [page(1)], spoil=spoil)]))


def test_an_empty_log_under_a_log_id_is_damage() -> None:
    with pytest.raises(VhdxError, match="holds no valid sequence"):
        replayed(bytes(MIB))


def test_a_file_shorter_than_its_log_says_is_truncated() -> None:
    with pytest.raises(VhdxError, match="truncated"):
        replayed(write_log([Entry(5, [page(1)], flushed=5 * MIB)]))


def test_the_file_grows_to_what_the_log_says() -> None:
    found = Log(file_with(write_log([Entry(5, last=9 * MIB)])), HEADER)

    assert found.file_size == 9 * MIB


def test_a_whole_entry_that_asks_for_the_impossible_is_damage_and_not_passed_over() -> None:
    older = Entry(1, [page(1)])
    newer = Entry(2, [page(2)], tail=0, last=1 << 60)

    with pytest.raises(VhdxError, match=f"has {1 << 60} bytes"):
        replayed(write_log([older, newer]))


@pytest.mark.parametrize(
    "change",
    [
        Page(0, bytes(SECTOR)),
        Page(128 << 10, bytes(SECTOR)),
        Page(MIB, bytes(SECTOR)),
        Zeros(MIB - SECTOR, 2 * SECTOR),
        Zeros(TABLE, 1 << 62),
        Page(1 << 62, bytes(SECTOR)),
    ],
)
def test_a_change_of_headers_or_log_or_far_away_is_damage(change: Page | Zeros) -> None:
    with pytest.raises(VhdxError, match="where no log may"):
        replayed(write_log([Entry(5, [change])]))


def test_a_log_that_is_too_large_or_cut_off_is_refused() -> None:
    with pytest.raises(VhdxError, match="replays up to"):
        replayed(b"", replace(HEADER, log_length=log.MAX_LOG_SIZE + MIB))
    with pytest.raises(VhdxError, match="ends inside its log"):
        replayed(b"", replace(HEADER, log_length=8 * MIB))
    with pytest.raises(VhdxError, match="version 3"):
        replayed(b"", replace(HEADER, log_version=3))


def test_entries_over_each_other_do_not_take_for_ever() -> None:
    content = bytearray(MIB)
    claim = Entry(1).encode(0)
    for position in range(0, MIB, SECTOR):
        head = bytearray(claim[:64])
        head[8:12] = struct.pack("<I", MIB)
        content[position : position + 64] = head

    with pytest.raises(VhdxError, match="over each other"):
        replayed(content)


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    start=st.integers(0, MIB // SECTOR - 1),
    first=st.integers(1, (1 << 64) - 100),
    tail=st.integers(0, 29),
)
def test_any_run_of_entries_is_found_wherever_it_lies(
    counts: list[int], start: int, first: int, tail: int
) -> None:
    positions, at = [], start * SECTOR
    for count in counts:
        positions.append(at % MIB)
        at += SECTOR * (1 + count)
    begin = min(tail, len(counts) - 1)
    entries = [
        Entry(
            first + index,
            [page(index, TABLE + number * SECTOR) for number in range(count)],
            tail=positions[min(begin, index)],
        )
        for index, count in enumerate(counts)
    ]

    changes = replayed(write_log(entries, start=start * SECTOR))

    assert len(changes) == sum(counts[begin:])
