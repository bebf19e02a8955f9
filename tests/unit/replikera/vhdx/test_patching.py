"""Changes of a few bytes become whole pages, with everything beside them as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replikera.vhdx.patching import patched_pages
from tests.unit.replikera.vhdx.memory_file import MemoryFile

PAGE = 4096
CONTENT = bytes(number % 251 for number in range(5 * PAGE + 100))


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 5 * PAGE), st.binary(min_size=1, max_size=2 * PAGE)), max_size=5
    )
)
def test_the_pages_are_the_file_with_the_changes(changes: list[tuple[int, bytes]]) -> None:
    expected = bytearray(CONTENT.ljust(8 * PAGE, b"\0"))
    for offset, data in changes:
        expected[offset : offset + len(data)] = data

    patched = bytearray(CONTENT.ljust(8 * PAGE, b"\0"))
    for offset, page in patched_pages(MemoryFile(CONTENT), changes):
        patched[offset : offset + PAGE] = page
    assert patched == expected


@pytest.mark.parametrize(
    ("offset", "length", "pages"),
    [(0, 1, [0]), (PAGE - 1, 1, [0]), (PAGE - 1, 2, [0, PAGE]), (PAGE, PAGE, [PAGE])],
)
def test_only_pages_that_change_are_there(offset: int, length: int, pages: list[int]) -> None:
    found = patched_pages(MemoryFile(CONTENT), [(offset, b"x" * length)])
    assert [at for at, _ in found] == pages
    assert all(len(data) == PAGE for _, data in found)
