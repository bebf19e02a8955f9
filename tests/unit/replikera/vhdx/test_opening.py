import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.blocks.extents import Extents
from replikera.ports.randomness import Randomness
from replikera.system.files import SystemFiles
from replikera.vhdx import (
    Extent,
    ExtentKind,
    Image,
    ImageKind,
    VhdxError,
    create_image,
    open_image,
    open_path,
)
from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_file import BAT, METADATA, MIB, STRANGER, entry, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile


def with_payload(data: bytearray, *places_mib: int) -> MemoryFile:
    for place in places_mib:
        data[place * MIB : (place + 1) * MIB] = bytes([place]) * MIB
    return MemoryFile(data)


def test_a_dynamic_file_of_another_writer_is_read() -> None:
    entries = {0: entry(6, 5), 1: entry(2), 2: entry(3), 3: entry(6, 4)}
    image = open_image(with_payload(foreign_file.build(entries=entries, file_mib=6), 4, 5))

    assert image.kind is ImageKind.DYNAMIC
    assert image.disk_id == str(foreign_file.DISK_ID)
    assert image.read(4 * MIB, 0) == b"\5" * MIB + bytes(2 * MIB) + b"\4" * MIB
    assert image.data_extents() == Extents.of([(0, MIB), (3 * MIB, MIB)])


def test_a_fixed_file_is_one() -> None:
    content = items(size=2 * MIB, flags=1)
    entries = {0: entry(6, 4), 1: entry(6, 5)}
    image = open_image(
        with_payload(foreign_file.build(content=content, entries=entries, file_mib=6), 4, 5)
    )

    assert image.kind is ImageKind.FIXED
    assert image.read(2, MIB - 1) == b"\4\5"


def test_equal_headers_optional_regions_and_a_table_before_the_metadata_are_accepted() -> None:
    data = foreign_file.build(
        headers=(foreign_file.header(5), foreign_file.header(5)),
        required=0,
        bat_at_mib=2,
        metadata_at_mib=3,
        entries={2: entry(6, 4)},
        file_mib=5,
    )

    assert open_image(with_payload(data, 4)).read(MIB, 2 * MIB) == b"\4" * MIB


def test_a_file_without_a_log_is_accepted() -> None:
    headers = (foreign_file.header(1, log=(0, 0)), foreign_file.header(2, log=(0, 0)))

    assert open_image(MemoryFile(foreign_file.build(headers=headers))).size == 4 * MIB


@pytest.mark.parametrize("content", [b"", b"vhdxfil", b"conectix" * 1000, bytes(8 * MIB)])
def test_anything_but_a_vhdx_is_refused(content: bytes) -> None:
    with pytest.raises(VhdxError, match="not a VHDX file.*qemu-img convert") as refused:
        open_image(MemoryFile(content, "notes.txt"))
    assert str(refused.value.path) == "/volume/notes.txt"
    assert refused.value.problem == "it is not a VHDX file"
    assert refused.value.remedy


@pytest.mark.parametrize(
    "size",
    [100, 70_000, 200_000, 300_000, MIB, 2 * MIB, 2 * MIB + 4096, 3 * MIB, 4 * MIB, 6 * MIB - 1],
)
def test_a_file_cut_anywhere_is_refused(size: int) -> None:
    file = with_payload(foreign_file.build(entries={0: entry(6, 5)}, file_mib=6), 5)
    del file.content[size:]

    with pytest.raises(VhdxError, match="truncated"):
        open_image(file)


def test_regions_that_overlap_are_refused() -> None:
    regions = [(BAT, 3 * MIB, 2 * MIB, 1), (METADATA, 2 * MIB, 2 * MIB, 1)]

    with pytest.raises(VhdxError, match="the block allocation table overlaps the metadata"):
        open_image(MemoryFile(foreign_file.build(regions=regions, file_mib=6)))


def test_a_log_over_the_metadata_is_refused() -> None:
    header = foreign_file.header(9, log=(MIB, 2 * MIB))

    with pytest.raises(VhdxError, match="the metadata overlaps the log"):
        open_image(MemoryFile(foreign_file.build(headers=(header, header))))


def test_a_log_behind_the_files_end_is_refused() -> None:
    header = foreign_file.header(9, log=((1 << 64) - MIB, MIB))

    with pytest.raises(VhdxError, match="the log ends at"):
        open_image(MemoryFile(foreign_file.build(headers=(header, header))))


def test_a_block_over_an_unknown_region_is_refused() -> None:
    regions = [
        (BAT, 3 * MIB, MIB, 1),
        (METADATA, 2 * MIB, MIB, 1),
        (STRANGER, 4 * MIB, MIB, 0),
    ]
    data = foreign_file.build(regions=regions, entries={0: entry(6, 4)}, file_mib=5)

    with pytest.raises(VhdxError, match=f"a block overlaps region {STRANGER}"):
        open_image(MemoryFile(data))


def test_a_refused_file_stays_open_and_unchanged(randomness: Randomness) -> None:
    file = MemoryFile(foreign_file.build(content=items(flags=2)))

    with pytest.raises(VhdxError, match="no parent locator"):
        open_image(file, writable=True, randomness=randomness)
    assert not file.is_closed
    assert not file.pending


def test_writing_needs_randomness() -> None:
    with pytest.raises(ValueError, match="needs randomness"):
        open_image(MemoryFile(foreign_file.build()), writable=True)


def test_every_opening_that_writes_renews_the_write_ids_before_its_first_change(
    randomness: Randomness,
) -> None:
    data = foreign_file.build()
    file = MemoryFile(data)
    image = open_image(file, writable=True, randomness=randomness)
    image.read(4096, 0)
    assert file.content == data

    image.write(b"x" * 512, 0)
    for offset in foreign_file.HEADERS:
        header = file.durable[offset : offset + 4096]
        assert foreign_file.FILE_WRITE_ID.bytes_le not in header
        assert foreign_file.DATA_WRITE_ID.bytes_le not in header

    ids = [file.read(32, offset + 16) for offset in foreign_file.HEADERS]
    image.write(b"y" * 512, 512)
    image.close()
    assert [file.read(32, offset + 16) for offset in foreign_file.HEADERS] == ids


def test_an_opening_without_a_change_leaves_the_file_as_it_was(randomness: Randomness) -> None:
    data = foreign_file.build()
    file = MemoryFile(data)
    open_image(file, writable=True, randomness=randomness).close()

    assert file.content == data
    assert file.sync_count == 0


@pytest.mark.parametrize(
    ("entries", "kept", "expected_mib"),
    [
        ({1: entry(6, 4)}, 4 * MIB + 512, 6),  # QEMU cuts the last block: it still counts as whole
        ({}, 4 * MIB + 512, 5),
        ({}, 4 * MIB, 4),
    ],
)
def test_new_blocks_go_behind_everything_in_whole_mib(
    entries: dict[int, int], kept: int, expected_mib: int, randomness: Randomness
) -> None:
    content = items(size=2 * MIB + 512, block_size=2 * MIB)
    data = foreign_file.build(content=content, entries=entries, file_mib=6)
    file = MemoryFile(data[:kept])
    with open_image(file, writable=True, randomness=randomness) as image:
        image.write(b"x" * 512, 0)

    assert file.read(8, 3 * MIB) == entry(6, expected_mib).to_bytes(8, "little")
    assert file.size() == (expected_mib + 2) * MIB


def opened_or_refused(file: MemoryFile) -> Image | VhdxError:
    try:
        return open_image(file)
    except VhdxError as refusal:
        return refusal


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    area=st.sampled_from(["header", "regions", "table of metadata", "items", "entries"]),
)
def test_whatever_a_file_claims_it_is_read_or_refused(data: st.DataObject, area: str) -> None:
    content = foreign_file.build(entries={0: entry(6, 4), 2: entry(2)}, file_mib=5)
    start, size = {
        "header": (foreign_file.HEADERS[1], 80),
        "regions": (foreign_file.REGION_TABLES[0], 80),
        "table of metadata": (2 * MIB, 192),
        "items": (2 * MIB + (64 << 10), 40),
        "entries": (3 * MIB, 32),
    }[area]
    for position in data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3)):
        content[start + position] = data.draw(st.integers(0, 255))
    for offset, length in ((foreign_file.HEADERS[1], 4096), (foreign_file.REGION_TABLES[0], 65536)):
        content[offset : offset + length] = foreign_file.sealed(
            bytes(content[offset : offset + length])
        )

    found = opened_or_refused(MemoryFile(content))
    if isinstance(found, VhdxError):
        assert found.remedy
    else:
        length = min(found.size, 6 * MIB)
        assert len(found.read(length, found.size - length)) == length


def dirty(entry: foreign_log.Entry) -> MemoryFile:
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers)
    data[MIB : 2 * MIB] = foreign_log.write_log([entry])
    return MemoryFile(data)


def test_a_dirty_log_is_replayed_in_memory_and_the_file_left_alone() -> None:
    table = foreign_file.entry(6, 4).to_bytes(8, "little").ljust(4096, b"\0")
    file = dirty(foreign_log.Entry(5, [foreign_log.Page(3 * MIB, table)], last=5 * MIB))

    with open_image(file) as image:
        assert list(image.data_extents()) == [(0, MIB)]
        assert image.read(512, 0) == bytes(512)
    assert not file.pending


def test_a_dirty_log_is_replayed_into_a_file_that_is_to_be_written() -> None:
    table = foreign_file.entry(6, 4).to_bytes(8, "little").ljust(4096, b"\0")
    change = foreign_log.Page(3 * MIB, table)
    file = dirty(foreign_log.Entry(5, [change, foreign_log.Zeros(2 * MIB + 4096, 0)], last=5 * MIB))

    open_image(file, writable=True, randomness=SeededRandomness(1)).close()

    assert not file.pending
    clean = open_image(MemoryFile(file.durable))
    assert list(clean.data_extents()) == [(0, MIB)]
    assert foreign_log.LOG_ID.bytes_le not in max(
        (file.durable[at : at + 4096] for at in foreign_file.HEADERS),
        key=lambda header: int.from_bytes(header[8:16], "little"),
    )


def test_a_disk_of_64_tib_opens_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.vhdx"
    size = 64 << 40
    with create_image(
        SystemFiles().create(path), size=size, block_size=MIB, randomness=SeededRandomness(1)
    ) as image:
        image.write(b"x" * 512, size - 512)

    tracemalloc.start()
    try:
        with open_path(SystemFiles(), path) as image:
            assert image.read(512, size - 512) == b"x" * 512
            assert image.read(512, 0) == bytes(512)
            assert list(image.extents(size - 3 * MIB)) == [
                Extent(size - 3 * MIB, 2 * MIB, ExtentKind.ZERO),
                Extent(size - MIB, MIB, ExtentKind.DATA),
            ]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB


def test_a_path_that_is_refused_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "not.vhdx"
    path.write_bytes(b"something else")

    with pytest.raises(VhdxError, match="not a VHDX file"):
        open_path(SystemFiles(), path)
