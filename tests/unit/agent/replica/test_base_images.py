"""A base and its checksums."""

import random
from pathlib import Path

import pytest

from agent.replica import base_images
from agent.replica.base_images import BaseReader, BaseWriter, create_base, open_base
from agent.replica.damage import Damage
from agent.replica.errors import BaseDamagedError
from agent.replica.pieces import Piece
from agent.replica.sidecar import GRANULE_BYTES
from tests.support.crash_files import CrashFiles
from tests.support.raw_images import RawImages
from tests.support.segments import disks_of

FOLDER = Path("/base")
SIZE = 6 * GRANULE_BYTES - 1024
DISKS = disks_of(SIZE, 4096)


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(FOLDER)
    with BaseWriter(create_base(files, FOLDER, DISKS, RawImages())):
        pass
    return files


def writer_of(files: CrashFiles) -> BaseWriter:
    return BaseWriter(open_base(files, FOLDER, DISKS, RawImages(), is_writable=True))


def reader_of(files: CrashFiles, damage: Damage | None = None) -> BaseReader:
    base = open_base(files, FOLDER, DISKS, RawImages(), is_writable=False)
    return BaseReader(base, damage or Damage(), None)


def content(files: CrashFiles, disk: int = 0) -> bytes:
    """Read a disk, verified."""
    with reader_of(files) as reader:
        buffer = bytearray(DISKS[disk].size)
        reader.read_into(disk, memoryview(buffer), 0)
    return bytes(buffer)


def flip(files: CrashFiles, place: int) -> None:
    with files.open_write(FOLDER / "00.img") as file:
        file.write(bytes([file.read(1, place)[0] ^ 4]), place)


def test_pieces_of_any_shape_leave_true_checksums(files: CrashFiles) -> None:
    chooser = random.Random(3)
    expected = bytearray(SIZE)
    for _ in range(30):
        with writer_of(files) as writer:
            for _ in range(chooser.randrange(1, 5)):
                start = chooser.randrange(SIZE // 512) * 512
                length = 512 * chooser.randint(1, min(300, (SIZE - start) // 512))
                is_zero = chooser.random() < 0.4
                data = bytes(length) if is_zero else chooser.randbytes(length)
                expected[start : start + length] = data
                writer.paint(Piece(0, start, length, None if is_zero else memoryview(data)))
        assert content(files) == expected
    assert not any(content(files, 1))


def test_many_partly_written_granules_are_summed_up_early(
    files: CrashFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_images, "MAX_PARTLY", 2)
    with writer_of(files) as writer:
        for granule in range(5):
            data = memoryview(bytes([granule + 1]) * 512)
            writer.paint(Piece(0, granule * GRANULE_BYTES + 512, 512, data))
            assert len(writer._partly[0]) <= 2
    assert content(files)[GRANULE_BYTES + 512] == 2


def test_everything_is_durable_when_it_is_closed(files: CrashFiles) -> None:
    files.sync_directory(FOLDER)
    with writer_of(files) as writer:
        writer.paint(Piece(0, 0, 512, memoryview(b"x" * 512)))
        writer.flush()
        inside = [change for change in files.pending() if str(FOLDER / "0") in change.description]
        assert inside == []
        writer.paint(Piece(0, 512, 512, memoryview(b"y" * 512)))
    inside = [change for change in files.pending() if str(FOLDER / "0") in change.description]
    assert inside == []


def test_an_exception_leaves_nothing_durable_and_no_file_open(files: CrashFiles) -> None:
    with pytest.raises(KeyError), writer_of(files) as writer:
        writer.paint(Piece(0, 0, 512, memoryview(b"x" * 512)))
        raise KeyError
    with pytest.raises(OSError, match="closed"):
        writer.paint(Piece(0, 0, 512, memoryview(b"x" * 512)))
    assert [change for change in files.pending() if "00.img" in change.description]


@pytest.mark.parametrize("place", [0, GRANULE_BYTES, 2 * GRANULE_BYTES + 77, SIZE - 1])
def test_a_flipped_bit_is_noticed_and_the_rest_stays_readable(
    files: CrashFiles, place: int
) -> None:
    with writer_of(files) as writer:
        for start in range(0, SIZE, GRANULE_BYTES):
            length = min(GRANULE_BYTES, SIZE - start)
            writer.paint(Piece(0, start, length, memoryview(b"z" * length)))
    flip(files, place)
    damage = Damage()
    damaged = place // GRANULE_BYTES
    with reader_of(files, damage) as reader:
        for granule in range(6):
            buffer = memoryview(bytearray(512))
            if granule != damaged:
                reader.read_into(0, buffer, granule * GRANULE_BYTES + 1024)
                assert bytes(buffer) == b"z" * 512
                continue
            with pytest.raises(BaseDamagedError) as raised:
                reader.read_into(0, buffer, granule * GRANULE_BYTES)
            assert (raised.value.disk, raised.value.offset) == (0, granule * GRANULE_BYTES)
    error = damage.error(DISKS)
    assert error is not None
    assert error.code == "base-damaged"


def test_rot_in_what_was_never_written_is_noticed(files: CrashFiles) -> None:
    flip(files, 3 * GRANULE_BYTES)
    with pytest.raises(BaseDamagedError):
        content(files)


def test_what_is_right_the_second_time_is_right(
    files: CrashFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader_of(files) as reader:
        image = reader._images[0]
        read, calls = image.read_into, 0

        def flaky(buffer: memoryview, offset: int) -> None:
            nonlocal calls
            read(buffer, offset)
            calls += 1
            if calls == 1:
                buffer[5] = 1

        monkeypatch.setattr(image, "read_into", flaky)
        buffer = memoryview(bytearray(512))
        reader.read_into(0, buffer, 0)
    assert (calls, bytes(buffer)) == (2, bytes(512))


def test_a_base_without_one_of_its_files_does_not_open(files: CrashFiles) -> None:
    files.remove(FOLDER / "01.img")
    with pytest.raises(FileNotFoundError):
        reader_of(files)
