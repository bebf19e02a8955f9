"""Files made by Windows and QEMU that nobody here wrote, where a folder with them is named."""

import bz2
import gzip
import hashlib
import os
from pathlib import Path

import pytest

from replikera.system.files import SystemFiles
from replikera.vhdx import ImageKind, VhdxError, open_image, open_path
from tests.unit.replikera.vhdx.conftest import SeededRandomness

FOLDER = os.environ.get("REPLIKERA_SAMPLES", "")
MIB = 1 << 20

needs_samples = pytest.mark.skipif(
    not FOLDER, reason="REPLIKERA_SAMPLES names no folder with sample files"
)
pytestmark = needs_samples


def unpack(name: str, folder: Path) -> Path:
    """Decompress a sample, leaving holes for its zeros."""
    target, packed = folder / Path(name).stem, Path(FOLDER) / name
    kind = gzip.GzipFile if packed.suffix == ".gz" else bz2.BZ2File
    with kind(packed) as source, target.open("wb") as file:
        while data := source.read(MIB):
            if any(data):
                file.write(data)
            else:
                file.seek(len(data), os.SEEK_CUR)
        file.truncate(file.tell())
    return target


def digest(path: Path) -> str:
    """Return the SHA-256 of the whole disk; gaps are zeros without being read."""
    found = hashlib.sha256()
    with open_path(SystemFiles(), path) as image:
        end = 0
        for offset, length in image.data_extents().split(MIB):
            _add_zeros(found, offset - end)
            found.update(image.read(length, offset))
            end = offset + length
        _add_zeros(found, image.size - end)
    return found.hexdigest()


def _add_zeros(found: "hashlib._Hash", length: int) -> None:
    zeros = bytes(MIB)
    for start in range(0, length, MIB):
        found.update(zeros[: length - start])


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (
            "fat-differential.vhdx.gz",
            ImageKind.DIFFERENCING,
            "a538161f34bc44c12bf9a542ce9218741c62728723ea18d0e4f6ea92e9f32e93",
        ),
        (
            "fat-parent.vhdx.gz",
            ImageKind.FIXED,
            "2d1954fec68faefe81dd3687282a9b387bf8417f6d2cf0da3825fa1445b64cfb",
        ),
        (
            "iotest-dynamic-1G.vhdx.bz2",
            ImageKind.DYNAMIC,
            "d3d112d8dab7fd360609f7d5a7b769904b7a2a7d7b6b8c535f65a23293c05478",
        ),
        (
            "iotest-dirtylog-10G-4M.vhdx.bz2",
            ImageKind.DYNAMIC,
            "179cefe8b0587f123393eedf2aa7aa8d25798591178e6bc3950a09762f38f96f",
        ),
        (
            "swap.vhdx.gz",
            ImageKind.DYNAMIC,
            "60dd30b4c74361427d1089510cabb36e2eeda0cc4747f467ea43173acd358c49",
        ),
    ],
)
def test_a_sample_reads_as_other_tools_read_it(
    tmp_path: Path, name: str, kind: ImageKind, expected: str
) -> None:
    path = unpack(name, tmp_path)
    if kind is ImageKind.DIFFERENCING:
        unpack("fat-parent.vhdx.gz", tmp_path)

    assert digest(path) == expected
    with open_path(SystemFiles(), path) as image:
        assert image.kind is kind


def test_a_sample_without_its_parent_is_refused(tmp_path: Path) -> None:
    path = unpack("fat-differential.vhdx.gz", tmp_path)

    with pytest.raises(VhdxError, match="its parent is missing"):
        open_path(SystemFiles(), path)


@pytest.mark.parametrize("name", ["swap.vhdx.gz", "fat-parent.vhdx.gz"])
def test_a_sample_is_written_in_a_free_and_in_a_used_place(tmp_path: Path, name: str) -> None:
    path = unpack(name, tmp_path)
    with open_image(SystemFiles().open_read(path)) as image:
        before = image.read(4 * MIB, 0)
        last = image.size - 512
    file = SystemFiles().open_write(path)
    with open_image(file, writable=True, randomness=SeededRandomness(2)) as image:
        image.write(b"used" * 128, MIB)
        image.write(b"free" * 128, last)

    with open_image(SystemFiles().open_read(path)) as image:
        assert image.read(512, last) == b"free" * 128
        found = bytearray(image.read(4 * MIB, 0))
    expected = bytearray(before)
    expected[MIB : MIB + 512] = b"used" * 128
    if last < len(expected):
        expected[last:] = b"free" * 128
    assert found == expected
