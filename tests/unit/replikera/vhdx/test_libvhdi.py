"""libvhdi as a second opinion: of what we write, children and sectors of 4096 bytes too, and of real files.

It reads no log: every file here has a clean one.
"""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from replikera.cli.disk_content import digest_of
from replikera.system.files import SystemFiles
from replikera.vhdx import Image, create_child, create_fixed, create_image, open_path
from tests.support import oracles
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_file import MIB
from tests.unit.replikera.vhdx.test_samples import needs_samples, unpack

FILES = SystemFiles()
DIGEST = Path(__file__).parents[3] / "support" / "libvhdi_digest.py"
SIZE = 24 * MIB


@pytest.fixture(scope="module")
def python() -> str:
    return oracles.debian_python("pyvhdi", "python3-libvhdi")


def opinion(python: str, *chain: Path) -> tuple[int, str]:
    """Return size and digest of the first file over the others."""
    done = subprocess.run(
        [python, str(DIGEST), *map(str, chain)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    size, digest = done.stdout.split()
    return int(size), digest


def ours(path: Path) -> tuple[int, str]:
    with open_path(FILES, path) as image:
        return image.size, digest_of(image)


def change(image: Image, seed: int) -> None:
    """Change a disk in all ways that there are."""
    chance = random.Random(seed)
    sector = image.logical_sector_size
    with image:
        for _ in range(24):
            length = chance.choice([sector, 7 * sector, 256 * sector, 2 * MIB])
            offset = chance.randrange((SIZE - length) // sector) * sector
            kind = chance.random()
            if kind < 0.15:
                image.zero(offset, length)
            elif kind < 0.3:
                image.unmap(offset, length)
            else:
                image.write(chance.randbytes(length), offset)


def dynamic(path: Path, sector: int) -> Image:
    return create_image(
        FILES.create(path), size=SIZE, logical_sector_size=sector, randomness=SeededRandomness(1)
    )


def fixed(path: Path, sector: int) -> Image:
    return create_fixed(
        FILES.create(path), size=SIZE, logical_sector_size=sector, randomness=SeededRandomness(1)
    )


def child(path: Path, parent: Path) -> Image:
    return create_child(
        FILES.create(path),
        open_path(FILES, parent),
        parent_path=parent,
        randomness=SeededRandomness(2),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("make", [dynamic, fixed])
def test_what_we_write_reads_the_same(
    python: str, tmp_path: Path, make: Callable[[Path, int], Image], sector: int, seed: int
) -> None:
    path = tmp_path / "disk.vhdx"
    change(make(path, sector), seed)

    assert opinion(python, path) == ours(path)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sector", [512, 4096])
def test_a_chain_reads_the_same(python: str, tmp_path: Path, sector: int, seed: int) -> None:
    below, middle, above = (tmp_path / name for name in ("0.vhdx", "1.vhdx", "2.vhdx"))
    change(dynamic(below, sector), seed)
    change(child(middle, below), seed + 10)
    change(child(above, middle), seed + 20)

    assert opinion(python, middle, below) == ours(middle)
    assert opinion(python, above, middle, below) == ours(above)


def test_a_disk_that_has_grown_reads_the_same(python: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    change(dynamic(path, 512), 1)
    with open_path(FILES, path, writable=True, randomness=SeededRandomness(3)) as image:
        image.grow(3 * SIZE)
        image.write(b"g" * MIB, 2 * SIZE)

    assert opinion(python, path) == ours(path)
    assert ours(path)[0] == 3 * SIZE


def test_a_wrong_byte_would_be_noticed(python: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    change(dynamic(path, 512), 1)
    before = opinion(python, path)
    with open_path(FILES, path, writable=True, randomness=SeededRandomness(3)) as image:
        byte = image.read(512, SIZE - 512)
        image.write(bytes([byte[0] ^ 1]) + byte[1:], SIZE - 512)

    assert opinion(python, path) != before


@needs_samples
@pytest.mark.parametrize(
    "names",
    [
        ("fat-differential.vhdx.gz", "fat-parent.vhdx.gz"),
        ("fat-parent.vhdx.gz",),
        ("iotest-dynamic-1G.vhdx.bz2",),
        ("swap.vhdx.gz",),
    ],
)
def test_real_files_read_the_same(python: str, tmp_path: Path, names: tuple[str, ...]) -> None:
    paths = [unpack(name, tmp_path) for name in names]

    assert opinion(python, *paths) == ours(paths[0])
