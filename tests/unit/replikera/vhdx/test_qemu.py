"""QEMU's VHDX driver as a second opinion on what we write, and as another writer for what we read."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from replikera.system.files import SystemFiles
from replikera.vhdx import Image, ImageKind, create_image, open_image
from tests.support import oracles
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_file import MIB

FILES = SystemFiles()
RANDOMNESS = SeededRandomness(5)


@pytest.fixture(autouse=True)
def _qemu_img() -> None:
    oracles.qemu_img()


def qemu_img(*arguments: object) -> None:
    command = ["qemu-img", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def expect_equal(disk: Path, content: dict[int, bytes], size: int) -> None:
    """Let QEMU check the file and compare it with a raw disk of these bytes by offset."""
    raw = disk.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(size)
        for offset, data in content.items():
            file.seek(offset)
            file.write(data)
    qemu_img("check", "-f", "vhdx", disk)
    qemu_img("compare", "-f", "vhdx", "-F", "raw", disk, raw)


def sector(disk: Path, number: int) -> bytes:
    """Return one sector as QEMU reads it."""
    part = disk.with_suffix(".part")
    place = (f"skip={number}", "bs=512", f"count={number + 1}")  # what is skipped counts too
    qemu_img("dd", "-f", "vhdx", "-O", "raw", *place, f"if={disk}", f"of={part}")
    return part.read_bytes()


def open_existing(disk: Path) -> Image:
    return open_image(FILES.open_write(disk), writable=True, randomness=RANDOMNESS)


@pytest.mark.parametrize(
    ("size", "block_size"),
    [
        (512, MIB),
        (5 * MIB + 512, 2 * MIB),
        (5 << 30, MIB),  # beyond the first chunk of 4096 blocks
        (10 << 30, 256 * MIB),  # chunks of 16 blocks
        (64 << 40, 256 * MIB),
    ],
)
def test_qemu_reads_what_was_written(tmp_path: Path, size: int, block_size: int) -> None:
    chance = random.Random(size)
    disk = tmp_path / "disk.vhdx"
    image = create_image(
        FILES.create(disk), size=size, block_size=block_size, randomness=RANDOMNESS
    )
    chunk = (16 if block_size == 256 * MIB else 4096) * block_size
    content = {0: chance.randbytes(512)}
    for offset in (size // 1024 * 512, size - 512, chunk - 512, chunk):
        if offset < size:
            content[offset] = chance.randbytes(512)
    for offset, data in content.items():
        image.write(data, offset)
    image.close()

    qemu_img("check", "-f", "vhdx", disk)
    for offset, data in content.items():
        assert sector(disk, offset // 512) == data
        if offset + 512 not in content and offset + 512 < size:
            assert sector(disk, offset // 512 + 1) == bytes(512)


def test_qemu_reads_a_disk_written_zeroed_and_written_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk.vhdx"
    with create_image(FILES.create(disk), size=8 * MIB, randomness=RANDOMNESS) as image:
        image.write(b"a" * (5 * MIB), MIB)
        image.zero(2 * MIB, 3 * MIB)
    with open_existing(disk) as image:
        image.write(b"b" * 512, 3 * MIB)
        image.write(b"c" * 512, 8 * MIB - 512)

    content = {
        MIB: b"a" * MIB,
        3 * MIB: b"b" * 512,
        5 * MIB: b"a" * MIB,
        8 * MIB - 512: b"c" * 512,
    }
    expect_equal(disk, content, 8 * MIB)


@pytest.mark.parametrize("flushes", [1, 3, 9])
def test_qemu_replays_the_log_of_a_writer_that_was_killed(tmp_path: Path, flushes: int) -> None:
    disk, killed = tmp_path / "disk.vhdx", tmp_path / "killed.vhdx"
    content: dict[int, bytes] = {}
    with create_image(FILES.create(disk), size=64 * MIB, randomness=RANDOMNESS) as image:
        for number in range(flushes):
            offset = (number * 7 % 31) * 2 * MIB + 4096 * number
            content[offset] = random.Random(number).randbytes(8192)
            image.write(content[offset], offset)
            image.flush()
        shutil.copyfile(disk, killed)  # as a kill would leave it

    with open_image(FILES.open_read(killed)) as image:
        assert all(image.read(len(data), offset) == data for offset, data in content.items())
    qemu_img("check", "-r", "all", "-f", "vhdx", killed)
    expect_equal(killed, content, 64 * MIB)


def test_qemu_may_write_where_we_wrote(tmp_path: Path) -> None:
    disk, raw = tmp_path / "disk.vhdx", tmp_path / "content.raw"
    raw.write_bytes(b"q" * (3 * MIB))
    with create_image(FILES.create(disk), size=3 * MIB, randomness=RANDOMNESS) as image:
        image.write(b"a" * 512, 0)
    qemu_img("convert", "-n", "-f", "raw", "-O", "vhdx", raw, disk)

    with open_existing(disk) as image:
        assert image.read(3 * MIB, 0) == b"q" * (3 * MIB)
        image.write(b"z" * 512, 2 * MIB)
    expect_equal(disk, {0: b"q" * (3 * MIB), 2 * MIB: b"z" * 512}, 3 * MIB)


@pytest.mark.parametrize("block_size_mib", [1, 8, 32])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("subformat=dynamic", ImageKind.DYNAMIC),
        ("subformat=fixed,block_state_zero=on", ImageKind.FIXED),
        ("subformat=fixed,block_state_zero=off", ImageKind.FIXED),
    ],
)
def test_disks_that_qemu_made_are_read_and_written(
    tmp_path: Path, options: str, kind: ImageKind, block_size_mib: int
) -> None:
    chance = random.Random(block_size_mib)
    size = 35 * MIB + 512
    content = {3 * MIB + 512: chance.randbytes(2 * MIB), 34 * MIB: chance.randbytes(MIB)}
    raw, disk = tmp_path / "source.raw", tmp_path / "disk.vhdx"
    with raw.open("wb") as file:
        file.truncate(size)
        for offset, data in content.items():
            file.seek(offset)
            file.write(data)
    settings = f"{options},block_size={block_size_mib * MIB}"
    qemu_img("convert", "-f", "raw", "-O", "vhdx", "-o", settings, raw, disk)

    with open_existing(disk) as image:
        assert image.kind is kind
        assert image.block_size == block_size_mib * MIB
        for offset in range(0, size, MIB):
            length = min(MIB, size - offset)
            with raw.open("rb") as file:
                file.seek(offset)
                assert image.read(length, offset) == file.read(length)
        content[20 * MIB] = b"new" * 512
        content[size - 512] = b"!" * 512
        image.write(content[20 * MIB], 20 * MIB)
        image.write(content[size - 512], size - 512)
    expect_equal(disk, content, size)
