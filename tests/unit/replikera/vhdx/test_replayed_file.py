"""The file behind its log: equal to a file into which the log was written."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.vhdx import VhdxError, replayed_file
from replikera.vhdx.log import Log
from replikera.vhdx.replayed_file import ReplayedFile
from tests.unit.replikera.vhdx.foreign_log import MIB, SECTOR, Entry, Page, Zeros, write_log
from tests.unit.replikera.vhdx.memory_file import MemoryFile
from tests.unit.replikera.vhdx.test_log import HEADER, TABLE

CHANGES = st.lists(
    st.one_of(
        st.builds(
            lambda at, byte: Page(TABLE + at * SECTOR, bytes([byte]) * SECTOR),
            st.integers(0, 40),
            st.integers(1, 255),
        ),
        st.builds(
            lambda at, count: Zeros(TABLE + at * SECTOR, count * SECTOR),
            st.integers(0, 40),
            st.integers(0, 20),
        ),
    ),
    max_size=12,
)


def file_with(changes: Sequence[Page | Zeros], *, last: int = 0) -> MemoryFile:
    data = bytearray(b"\x07" * (4 * MIB))
    data[MIB : 2 * MIB] = write_log([Entry(5, changes, last=last)])
    return MemoryFile(data)


def replay(file: MemoryFile) -> ReplayedFile:
    return ReplayedFile(file, Log(file, HEADER))


@settings(max_examples=60)
@given(CHANGES, st.lists(st.tuples(st.integers(0, 6 * MIB), st.integers(0, 80_000)), max_size=5))
def test_it_reads_like_a_file_into_which_the_log_was_written(
    changes: list[Page | Zeros], reads: list[tuple[int, int]]
) -> None:
    file = file_with(changes, last=5 * MIB)
    expected = bytearray(file.content) + bytes(MIB)
    for change in changes:
        data = change.data if isinstance(change, Page) else bytes(change.length)
        expected[change.offset : change.offset + len(data)] = data
    found = replay(file)

    assert found.size() == 5 * MIB
    for offset, length in [(TABLE - 100, 200_000), *reads]:
        assert found.read(length, offset) == expected[offset : offset + length]


def test_nothing_of_the_file_is_changed() -> None:
    file = file_with([Page(TABLE, b"x" * SECTOR)])
    found = replay(file)
    found.sync()
    found.close()

    assert not file.pending
    assert file.sync_count == 0
    changes: list[Callable[[], object]] = [
        lambda: found.write(b"", 0),
        lambda: found.write_many([b""], 0),
        lambda: found.zero(0, 1),
        lambda: found.truncate(0),
    ]
    for change in changes:
        with pytest.raises(AssertionError):
            change()


def test_pages_count_as_data() -> None:
    assert list(replay(file_with([Page(TABLE, b"x" * SECTOR)])).data_ranges()) == [(0, 4 * MIB)]


def test_a_log_that_zeroes_itself_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayed_file, "_MAX_STEPS", 100)
    pages = [Page(TABLE + at * SECTOR, b"x" * SECTOR) for at in range(60)]
    zeros = [Zeros(TABLE + 60 * SECTOR, 60 * SECTOR)] * 3

    with pytest.raises(VhdxError, match="again and again"):
        replay(file_with([*pages, *zeros]))
