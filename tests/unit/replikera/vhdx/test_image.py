import errno
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.blocks.extents import Extents
from replikera.ports.randomness import Randomness
from replikera.system.files import SystemFiles
from replikera.vhdx import Image, VhdxError, create_image, open_image
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_file import MIB, entry, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile

SIZE = 4 * MIB + 512


@pytest.fixture
def file() -> MemoryFile:
    return MemoryFile()


@pytest.fixture
def image(file: MemoryFile, randomness: Randomness) -> Image:
    return create_image(file, size=SIZE, block_size=MIB, randomness=randomness)


def reopened(file: MemoryFile) -> Image:
    return open_image(MemoryFile(file.durable))


def fail(*_: object) -> NoReturn:
    raise OSError(errno.EIO, "Input/output error")


def test_what_is_written_across_blocks_is_read_back(image: Image) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB
    image.write(data, MIB - 512)

    assert image.read(2 * MIB, MIB - 512) == data
    assert image.read(SIZE, 0) == bytes(MIB - 512) + data + bytes(SIZE - 3 * MIB + 512)
    buffer = bytearray(b"?" * 3000)
    image.read_into(memoryview(buffer), MIB - 1000)
    assert buffer == (bytes(488) + data)[:3000]


def test_a_new_block_is_zero_where_nothing_was_written(file: MemoryFile, image: Image) -> None:
    image.write(b"a" * 512, 512)
    image.close()

    assert reopened(file).read(MIB, 0) == bytes(512) + b"a" * 512 + bytes(MIB - 1024)
    assert reopened(file).data_extents() == Extents.of([(0, MIB)])


def test_zeros_into_nothing_take_no_space(file: MemoryFile, image: Image) -> None:
    size = file.size()
    image.write(bytes(3 * MIB), 512)
    image.zero(0, SIZE)

    assert file.size() == size
    assert image.data_extents() == Extents.empty()


def test_only_blocks_that_get_data_are_made(image: Image) -> None:
    image.write(bytes(MIB) + b"x" * MIB + bytes(MIB) + b"\1".rjust(512, b"\0"), 0)

    assert image.data_extents() == Extents.of([(MIB, MIB), (3 * MIB, MIB)])
    assert image.read(512, 3 * MIB) == b"\1".rjust(512, b"\0")


def test_zeros_over_data_are_zeros(file: MemoryFile, image: Image) -> None:
    image.write(b"x" * (3 * MIB), 0)
    image.write(bytes(512), 0)
    image.zero(MIB - 512, MIB + 1024)
    image.close()

    expected = bytes(512) + b"x" * (MIB - 1024) + bytes(MIB + 1024) + b"x" * (MIB - 512)
    assert reopened(file).read(3 * MIB, 0) == expected


def test_undecided_blocks_are_zeros_for_everybody_once_zeros_were_written(
    randomness: Randomness,
) -> None:
    file = MemoryFile(foreign_file.build(entries={0: entry(1), 1: entry(3), 2: entry(3)}))
    with open_image(file, writable=True, randomness=randomness) as image:
        image.zero(0, 512)
        image.write(bytes(MIB), MIB)

    states = [file.durable[3 * MIB + 8 * index] for index in range(3)]
    assert states == [2, 2, 3]


def test_a_fixed_file_is_written_in_place(randomness: Randomness) -> None:
    content = items(size=2 * MIB, flags=1)
    entries = {0: entry(6, 4), 1: entry(6, 5)}
    data = foreign_file.build(content=content, entries=entries, file_mib=6)
    file = MemoryFile(data)
    with open_image(file, writable=True, randomness=randomness) as image:
        image.write(b"x" * MIB, MIB // 2)
        image.zero(MIB, 512)

    assert file.size() == 6 * MIB
    assert file.content[MIB : 4 * MIB] == data[MIB : 4 * MIB]
    found = file.durable[4 * MIB :]
    assert found[: MIB + 512] == bytes(MIB // 2) + b"x" * (MIB // 2) + bytes(512)
    assert found[MIB + 512 :] == b"x" * (MIB // 2 - 512) + bytes(MIB // 2)


def test_no_table_entry_is_written_before_its_payload_is_durable(
    file: MemoryFile, image: Image
) -> None:
    image.write(b"x" * 512, 0)
    touched: list[list[int]] = []
    file.before_sync = lambda: touched.append([change.offset // MIB for change in file.pending])
    image.flush()

    # Growth and payload; the log begins with an empty entry, and is named; the entry: then the table is written.
    assert touched == [[5, 4], [1], [0], [1]]
    assert [change.offset // MIB for change in file.pending] == [3]


def test_a_flush_without_new_blocks_is_one_sync_and_without_changes_none(
    file: MemoryFile, image: Image
) -> None:
    image.write(b"x" * 512, 0)
    image.flush()
    image.write(b"y" * 512, 0)
    before = file.sync_count
    image.flush()
    image.flush()

    assert file.sync_count == before + 1
    assert reopened(file).read(512, 0) == b"y" * 512


def test_after_a_failed_flush_nothing_is_written_any_more(file: MemoryFile, image: Image) -> None:
    image.write(b"x" * 512, 0)
    file.before_sync = fail
    with pytest.raises(OSError, match="Input/output"):
        image.flush()
    file.before_sync = lambda: None
    durable = file.durable

    for attempt in (image.flush, lambda: image.write(b"x" * 512, 0), lambda: image.zero(0, 512)):
        with pytest.raises(VhdxError, match="earlier flush failed.*verify"):
            attempt()
    image.close()
    assert file.durable == durable
    assert file.is_closed


def test_a_failed_renewal_of_the_write_ids_is_not_tried_again(randomness: Randomness) -> None:
    file = MemoryFile(foreign_file.build())
    image = open_image(file, writable=True, randomness=randomness)
    file.before_sync = fail
    with pytest.raises(OSError, match="Input/output"):
        image.write(b"x" * 512, 0)
    file.before_sync = lambda: None

    with pytest.raises(VhdxError, match="earlier flush failed"):
        image.write(b"x" * 512, 0)


def test_a_close_that_cannot_flush_says_so_and_closes(file: MemoryFile, image: Image) -> None:
    image.write(b"x" * 512, 0)
    file.before_sync = fail

    with pytest.raises(OSError, match="Input/output"):
        image.close()
    assert file.is_closed
    image.close()


def test_a_full_volume_leaves_the_disk_as_it_was(file: MemoryFile, image: Image) -> None:
    image.write(b"a" * MIB, 0)
    image.flush()
    size = file.size()
    file.room = 1000
    with pytest.raises(OSError, match="No space left"):
        image.write(b"b" * (2 * MIB), MIB)
    file.room = None

    assert file.size() == size
    assert image.read(SIZE, 0) == b"a" * MIB + bytes(SIZE - MIB)
    image.write(b"c" * 512, 2 * MIB)
    image.flush()
    assert reopened(file).read(SIZE, 0) == (
        b"a" * MIB + bytes(MIB) + b"c" * 512 + bytes(SIZE - 2 * MIB - 512)
    )


@pytest.mark.parametrize(
    ("offset", "length"), [(-512, 512), (0, SIZE + 512), (SIZE, 512), (1 << 70, 512)]
)
def test_bytes_outside_the_disk_are_refused(image: Image, offset: int, length: int) -> None:
    with pytest.raises(VhdxError, match="not inside its disk"):
        image.read(length, offset)
    with pytest.raises(VhdxError, match="not inside its disk"):
        image.read_into(memoryview(bytearray(length)), offset)
    with pytest.raises(VhdxError, match="not inside its disk"):
        image.write(bytes(length), offset)
    with pytest.raises(VhdxError, match="not inside its disk"):
        image.zero(offset, length)


def test_a_negative_length_is_refused(image: Image) -> None:
    with pytest.raises(VhdxError, match="not inside its disk"):
        image.read(-1, 512)


@pytest.mark.parametrize(("offset", "length"), [(0, 100), (100, 512), (512, 513)])
def test_parts_of_sectors_are_read_but_not_written(image: Image, offset: int, length: int) -> None:
    assert image.read(length, offset) == bytes(length)
    with pytest.raises(VhdxError, match="whole sectors of 512 bytes"):
        image.write(bytes(length), offset)
    with pytest.raises(VhdxError, match="whole sectors of 512 bytes"):
        image.zero(offset, length)


def test_a_sector_of_a_4k_disk_has_4096_bytes(file: MemoryFile, randomness: Randomness) -> None:
    image = create_image(file, size=MIB, logical_sector_size=4096, randomness=randomness)

    with pytest.raises(VhdxError, match="whole sectors of 4096 bytes"):
        image.write(bytes(512), 0)
    image.write(b"x" * 4096, 4096)
    image.close()
    assert reopened(file).read(8192, 4096) == b"x" * 4096 + bytes(4096)


def test_no_bytes_are_no_change(file: MemoryFile, image: Image) -> None:
    image.write(b"", SIZE)
    image.zero(SIZE, 0)
    image.flush()

    assert image.read(0, SIZE) == b""
    assert not file.pending
    assert file.sync_count == 1  # the creation's


def test_a_disk_opened_for_reading_refuses_changes() -> None:
    file = MemoryFile(foreign_file.build())
    image = open_image(file)

    with pytest.raises(VhdxError, match="reading only.*writable"):
        image.write(b"x" * 512, 0)
    with pytest.raises(VhdxError, match="reading only.*writable"):
        image.zero(0, 512)
    image.close()
    assert not file.pending
    assert file.is_closed


def test_a_file_that_lost_its_end_meanwhile_is_an_error(file: MemoryFile, image: Image) -> None:
    image.write(b"x" * MIB, 0)
    del file.content[4 * MIB + 1000 :]

    with pytest.raises(VhdxError, match="ends inside the block"):
        image.read(MIB, 0)
    with pytest.raises(VhdxError, match="ends inside the block"):
        image.read_into(memoryview(bytearray(MIB)), 0)


def test_readers_beside_a_writer_see_zeros_or_data(image: Image) -> None:
    seen: set[bytes] = set()
    stop = threading.Event()

    def keep_reading() -> None:
        while not stop.is_set():
            seen.update(image.read(512, block * MIB + 4096) for block in range(4))

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for block in range(4):
            image.write(b"x" * MIB, block * MIB)
            image.flush()
    finally:
        stop.set()
        reader.join()

    assert seen <= {bytes(512), b"x" * 512}
    assert image.read(512, 3 * MIB + 4096) == b"x" * 512


SECTORS = SIZE // 512
ranges = st.tuples(st.integers(0, SECTORS - 1), st.integers(1, 3000)).map(
    lambda drawn: (drawn[0] * 512, min(drawn[1], SECTORS - drawn[0]) * 512)
)
steps = st.lists(
    st.tuples(st.sampled_from(["data", "zeros", "zero", "flush", "reopen"]), ranges), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_any_sequence_of_changes_reads_like_a_flat_disk(
    steps: list[tuple[str, tuple[int, int]]],
) -> None:
    randomness = SeededRandomness(3)
    file = MemoryFile()
    image = create_image(file, size=SIZE, block_size=MIB, randomness=randomness)
    model = bytearray(SIZE)
    for step, (offset, length) in steps:
        data = randomness.bytes(length) if step == "data" else bytes(length)
        if step in {"data", "zeros"}:
            image.write(memoryview(data), offset)
        elif step == "zero":
            image.zero(offset, length)
        elif step == "flush":
            image.flush()
            assert reopened(file).read(SIZE, 0) == model
        else:
            image.close()
            image = open_image(
                file := MemoryFile(file.durable), writable=True, randomness=randomness
            )
        if step in {"data", "zeros", "zero"}:
            model[offset : offset + length] = data
        assert image.read(length, offset) == model[offset : offset + length]
    image.close()

    final = reopened(file)
    assert final.read(SIZE, 0) == model
    for start, length in Extents.whole(SIZE).subtract(final.data_extents()):
        assert not any(model[start : start + length])


def test_holes_of_the_file_are_not_stored(tmp_path: Path) -> None:
    with create_image(
        SystemFiles().create(tmp_path / "disk.vhdx"), size=16 * MIB, randomness=SeededRandomness(1)
    ) as image:
        image.write(b"a" * 4096, 3 * MIB)
        image.write(b"b" * MIB, 9 * MIB)
        image.write(b"c" * 512, 16 * MIB - 512)
        image.flush()
        stored = image.stored_extents()
        for start, length in Extents.whole(16 * MIB).subtract(stored):
            assert not any(image.read(length, start))
        assert image.data_extents().total() == 6 * MIB
        if stored == image.data_extents():
            pytest.skip("this volume has no holes")
        written = Extents.of([(3 * MIB, 4096), (9 * MIB, MIB), (16 * MIB - 512, 512)])
        assert written.subtract(stored) == Extents.empty()
        assert stored.total() < 2 * MIB


def test_where_the_volume_tells_no_holes_all_blocks_are_stored() -> None:
    file = MemoryFile()
    image = create_image(file, size=8 * MIB, block_size=MIB, randomness=SeededRandomness(1))
    for block in (6, 1, 2):
        image.write(b"x" * 512, block * MIB + 1024)
    image.flush()
    assert (
        image.stored_extents()
        == image.data_extents()
        == Extents.of([(MIB, 2 * MIB), (6 * MIB, MIB)])
    )
