"""Two readers that share no code read the same bytes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.vhdx import open_image
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.foreign_chain import Block, Volume, child, child_items
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.memory_file import MemoryFile
from tests.unit.replikera.vhdx.test_parents import BLOCKS, open_chain, parent_file
from tests.unit.replikera.vhdx.test_replayed_file import CHANGES
from tests.unit.replikera.vhdx.test_samples import digest, needs_samples, unpack


def second(files: dict[str, bytearray], name: str) -> vhdx_reader.Reader:
    data = files[name]
    return vhdx_reader.Reader(
        lambda offset, length: bytes(data[offset : offset + length]),
        open_parent=lambda told: second(files, told.rpartition("\\")[2]),
    )


@settings(max_examples=30, deadline=None)
@given(layers=st.lists(BLOCKS, min_size=1, max_size=2))
def test_on_chains(layers: list[dict[int, Block]]) -> None:
    names = ["parent.vhdx", *(f"{number}.vhdx" for number in range(len(layers)))]
    files = {"parent.vhdx": parent_file()}
    for name, below, blocks in zip(names[1:], names, layers, strict=False):
        files[name] = child(blocks, content=child_items(below))

    assert second(files, names[-1]).read(0, 4 * MIB) == open_chain(Volume(files), names[-1]).read(
        4 * MIB, 0
    )


@settings(max_examples=30, deadline=None)
@given(
    changes=CHANGES,
    table=st.dictionaries(st.integers(0, 3), st.sampled_from([0, 2, 3, 6]), max_size=4),
    start=st.integers(0, 255),
)
def test_on_logs_that_change_the_block_table(
    changes: list[foreign_log.Page | foreign_log.Zeros], table: dict[int, int], start: int
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
        foreign_log.Entry(5, [*moved], tail=start * 4096),
        foreign_log.Entry(6, [foreign_log.Page(3 * MIB, bytes(page))], tail=start * 4096),
    ]
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers, file_mib=4) + b"\7" * (6 * MIB)
    data[MIB : 2 * MIB] = foreign_log.write_log(entries, start=start * 4096)

    found = open_image(MemoryFile(data)).read(4 * MIB, 0)

    assert found == second({"disk.vhdx": data}, "disk.vhdx").read(0, 4 * MIB)


@pytest.mark.parametrize(
    "name",
    [
        "fat-parent.vhdx.gz",
        "fat-differential.vhdx.gz",
        "iotest-dynamic-1G.vhdx.bz2",
        "iotest-dirtylog-10G-4M.vhdx.bz2",
        "swap.vhdx.gz",
    ],
)
@needs_samples
def test_on_samples(tmp_path: Path, name: str) -> None:
    unpack("fat-parent.vhdx.gz", tmp_path)
    path = unpack(name, tmp_path)

    assert vhdx_reader.open_path(path).digest() == digest(path)
