"""A file reads as if its log had been applied."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.lab.witness import WitnessError, digest
from replikera.lab.witness.layer import Layer
from replikera.system.files import SystemFiles
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.test_replayed_file import CHANGES

FILES = SystemFiles()
HEADERS = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))


def with_log(entries: list[foreign_log.Entry], payload: bytes = b"") -> bytearray:
    data = foreign_file.build(headers=HEADERS, file_mib=4) + payload
    data[MIB : 2 * MIB] = foreign_log.write_log(entries)
    return data


@settings(max_examples=30, deadline=None)
@given(
    changes=CHANGES,
    table=st.dictionaries(st.integers(0, 3), st.sampled_from([0, 2, 3, 6]), max_size=4),
)
def test_it_agrees_with_the_reader_of_the_tests(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[foreign_log.Page | foreign_log.Zeros],
    table: dict[int, int],
) -> None:
    page = bytearray(4096)
    for block, state in table.items():
        page[8 * block : 8 * block + 8] = entry(state, 4 + block).to_bytes(8, "little")
    moved = [
        foreign_log.Page(change.offset + 5 * MIB, change.data)
        if isinstance(change, foreign_log.Page)
        else foreign_log.Zeros(change.offset + 5 * MIB, change.length)
        for change in changes
    ]
    entries = [
        foreign_log.Entry(5, [*moved], tail=0),
        foreign_log.Entry(6, [foreign_log.Page(3 * MIB, bytes(page))], tail=0),
    ]
    path = tmp_path_factory.mktemp("log") / "disk.vhdx"
    path.write_bytes(with_log(entries, b"\7" * (6 * MIB)))
    assert digest(FILES, path) == vhdx_reader.open_path(path).digest()


def test_what_the_log_made_longer_is_zeros_but_for_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    change = foreign_log.Page(4 * MIB + 4096, b"x" * 4096)
    path.write_bytes(with_log([foreign_log.Entry(5, [change], last=5 * MIB)]))
    layer = Layer(FILES.open_read(path))
    try:
        assert layer.size == 5 * MIB
        assert layer.read(12288, 4 * MIB) == bytes(4096) + b"x" * 4096 + bytes(4096)
        assert layer.read(100, 5 * MIB - 50) == bytes(50)
        assert layer.read(100, 6 * MIB) == b""
    finally:
        layer.close()


@pytest.mark.parametrize("log", [(MIB, 0), (MIB, 4096), (0, MIB), (MIB, 512 * MIB)])
def test_a_log_that_can_be_nowhere_is_refused(tmp_path: Path, log: tuple[int, int]) -> None:
    headers = (foreign_file.header(8, log_id=foreign_log.LOG_ID, log=log),) * 2
    path = tmp_path / "disk.vhdx"
    path.write_bytes(foreign_file.build(headers=headers, file_mib=4))
    with pytest.raises(WitnessError, match="a log of"), FILES.open_read(path) as file:
        Layer(file)


def test_a_log_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    headers = (foreign_file.header(8, log_id=foreign_log.LOG_ID, log=(64 * MIB, MIB)),) * 2
    path = tmp_path / "disk.vhdx"
    path.write_bytes(foreign_file.build(headers=headers, file_mib=4))
    with pytest.raises(WitnessError, match="its log is cut off"), FILES.open_read(path) as file:
        Layer(file)
