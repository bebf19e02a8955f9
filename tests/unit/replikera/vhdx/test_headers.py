from uuid import UUID

import pytest

from replikera.vhdx.errors import VhdxError
from replikera.vhdx.headers import Headers, decode_header
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.memory_file import MemoryFile

FIRST, SECOND = foreign_file.HEADERS
NEW_FILE_ID, NEW_DATA_ID = UUID(int=5), UUID(int=6)


def file_with(first: bytes, second: bytes) -> MemoryFile:
    return MemoryFile(foreign_file.build(headers=(first, second)))


def header_at(file: MemoryFile, offset: int) -> bytes:
    return file.read(4096, offset)


@pytest.mark.parametrize(("sequences", "expected"), [((8, 7), 8), ((7, 8), 8), ((9, 9), 9)])
def test_the_higher_sequence_number_counts(sequences: tuple[int, int], expected: int) -> None:
    first, second = (foreign_file.header(sequence) for sequence in sequences)

    assert Headers.read(file_with(first, second)).current.sequence_number == expected


def test_of_two_equal_sequence_numbers_the_first_header_counts() -> None:
    first = foreign_file.header(3, log=(foreign_file.MIB, foreign_file.MIB))
    second = foreign_file.header(3, log=(2 * foreign_file.MIB, foreign_file.MIB))

    assert Headers.read(file_with(first, second)).current.log_offset == foreign_file.MIB


@pytest.mark.parametrize("damaged", foreign_file.HEADERS)
def test_one_damaged_header_does_not_matter(damaged: int) -> None:
    file = file_with(foreign_file.header(3), foreign_file.header(4))
    file.content[damaged + 2000] ^= 1

    assert Headers.read(file).current.sequence_number in {3, 4}


def test_two_damaged_headers_are_refused() -> None:
    file = file_with(bytes(4096), bytes(4096))

    with pytest.raises(VhdxError, match=r"disk\.vhdx: neither header is valid.*Restore the file"):
        Headers.read(file)


def test_a_dirty_log_of_the_header_that_does_not_count_is_no_matter() -> None:
    dirty = foreign_file.header(8, log_id=foreign_file.STRANGER)

    assert Headers.read(file_with(dirty, foreign_file.header(9))).current.sequence_number == 9


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (foreign_file.header(9, version=2), "version is 2"),
        (foreign_file.header(9, log=(1000, foreign_file.MIB)), "the log at 1000"),
        (foreign_file.header(9, log=(foreign_file.MIB, 4096)), "the log at 1048576, 4096 bytes"),
        (foreign_file.header(9, log=(0, foreign_file.MIB)), "the log at 0"),
    ],
)
def test_what_a_header_may_not_say_is_refused(header: bytes, problem: str) -> None:
    with pytest.raises(VhdxError, match=problem):
        Headers.read(file_with(foreign_file.header(8), header))


def test_writing_begins_with_new_ids_in_both_headers_and_successive_numbers() -> None:
    file = file_with(foreign_file.header(7), foreign_file.header(8))

    Headers.read(file).begin_writing(NEW_FILE_ID, NEW_DATA_ID)

    found = [decode_header(header_at(file, offset)) for offset in foreign_file.HEADERS]
    assert [header and header.sequence_number for header in found] == [9, 10]
    assert {header and header.file_write_id for header in found} == {NEW_FILE_ID}
    assert {header and header.data_write_id for header in found} == {NEW_DATA_ID}
    assert not file.pending


def test_one_header_is_durable_before_the_other_is_touched() -> None:
    file = file_with(foreign_file.header(7), foreign_file.header(8))
    touched: list[list[int]] = []
    file.before_sync = lambda: touched.append([change.offset for change in file.pending])

    Headers.read(file).begin_writing(NEW_FILE_ID, NEW_DATA_ID)

    assert touched == [[FIRST], [SECOND]]


def test_a_damaged_header_is_the_first_to_be_replaced() -> None:
    file = file_with(foreign_file.header(7), bytes(4096))
    touched: list[int] = []
    file.before_sync = lambda: touched.append(file.pending[0].offset)

    Headers.read(file).begin_writing(NEW_FILE_ID, NEW_DATA_ID)

    assert touched == [SECOND, FIRST]


def test_the_last_sequence_number_can_be_read_but_not_written() -> None:
    file = file_with(foreign_file.header(7), foreign_file.header(2**64 - 1))
    headers = Headers.read(file)

    with pytest.raises(VhdxError, match="no successor"):
        headers.begin_writing(NEW_FILE_ID, NEW_DATA_ID)
    assert not file.pending
