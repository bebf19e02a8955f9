"""Pages: what is read is the file with the changes over it, whatever was dropped between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.vhdx.errors import VhdxError
from replikera.vhdx.pages import PAGE_SIZE, Pages
from tests.unit.replikera.vhdx.memory_file import MemoryFile

SIZE = 6 * PAGE_SIZE


def test_a_read_goes_across_pages_and_is_zero_behind_the_file() -> None:
    file = MemoryFile(bytes(range(256)) * (SIZE // 256))
    pages = Pages(file)

    assert pages.read(PAGE_SIZE - 3, 6).tobytes() == bytes([253, 254, 255, 0, 1, 2])
    assert pages.read(SIZE - 2, 4).tobytes() == bytes([254, 255, 0, 0])
    assert pages.number(8) == int.from_bytes(bytes(range(8, 16)), "little")


def test_a_file_that_is_cut_off_meanwhile_does_not_read_as_zeros() -> None:
    file = MemoryFile(bytes(SIZE))
    pages = Pages(file)
    del file.content[PAGE_SIZE + 5 :]

    with pytest.raises(VhdxError, match="cut off while it was open"):
        pages.read(PAGE_SIZE, 1)


def test_no_more_pages_are_kept_than_allowed_but_for_changed_ones() -> None:
    pages = Pages(MemoryFile(bytes(SIZE)), most=2)
    for number in range(4):
        pages.change(number * PAGE_SIZE, np.full(1, 7, dtype=np.uint8))
    for number in range(6):
        pages.read(number * PAGE_SIZE, 1)

    assert [int(pages.read(number * PAGE_SIZE, 1)[0]) for number in range(6)] == [7, 7, 7, 7, 0, 0]
    pages.settle()
    for number in range(6):
        pages.read(number * PAGE_SIZE, 1)
    assert len(pages._pages) == 2


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=300)), max_size=8),
    st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 3 * PAGE_SIZE)), max_size=4),
)
def test_changes_lie_over_the_file(
    changes: list[tuple[int, bytes]], reads: list[tuple[int, int]]
) -> None:
    pages = Pages(MemoryFile(b"\5" * SIZE), most=2)
    model = bytearray(b"\5" * SIZE) + bytes(4 * PAGE_SIZE)
    for offset, data in changes:
        pages.change(offset, np.frombuffer(data, dtype=np.uint8))
        model[offset : offset + len(data)] = data

    for offset, length in [(0, SIZE), *reads]:
        if length:
            assert pages.read(offset, length).tobytes() == model[offset : offset + length]
