"""The witness reads what the specification says, and refuses to vouch for anything else."""

import hashlib
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import google_crc32c
import pytest

from replikera.lab.witness import WitnessError, digest, read_disk
from replikera.system.files import SystemFiles
from tests.support import oracles
from tests.support.samples import unpack

MIB = 1 << 20
BLOCK_TABLE = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
ITEMS = {
    "parameters": UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b"),
    "size": UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8"),
    "sector": UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f"),
}
FILES = SystemFiles()


def checked(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return data[:4] + checksum.to_bytes(4, "little") + data[8:]


def header(sequence: int, *, log: bytes = bytes(16), version: int = 1) -> bytes:
    text = b"head" + bytes(4) + sequence.to_bytes(8, "little") + bytes(32) + log
    return checked((text + struct.pack("<HH", 0, version)).ljust(4096, b"\0"))


def region_table(*regions: tuple[UUID, int, int, int]) -> bytes:
    text = b"regi" + bytes(4) + struct.pack("<II", len(regions), 0)
    for name, offset, length, required in regions:
        text += name.bytes_le + struct.pack("<QII", offset, length, required)
    return checked(text.ljust(65536, b"\0"))


def metadata(items: dict[UUID, bytes]) -> bytes:
    table = b"metadata" + struct.pack("<HH", 0, len(items)) + bytes(20)
    values = b""
    for name, value in items.items():
        table += name.bytes_le + struct.pack("<IIII", 65536 + len(values), len(value), 4, 0)
        values += value
    return (table.ljust(65536, b"\0") + values).ljust(MIB, b"\0")


class Foreign:
    """A VHDX file by hand: 1 MiB blocks, metadata at 2 MiB, block table at 3 MiB, payload from 4 MiB on."""

    def __init__(self, size: int, table: list[int]) -> None:
        self.headers = [header(7), header(6)]
        self.regions = [(METADATA, 2 * MIB, MIB, 1), (BLOCK_TABLE, 3 * MIB, MIB, 1)]
        self.items = {
            ITEMS["parameters"]: struct.pack("<II", MIB, 0),
            ITEMS["size"]: size.to_bytes(8, "little"),
            ITEMS["sector"]: (512).to_bytes(4, "little"),
        }
        self.table = table
        self.payload = [bytes([65 + index]) * MIB for index in range(3)]
        self.signature = b"vhdxfile"

    def write(self, path: Path) -> Path:
        with path.open("wb") as file:
            for offset, data in (
                (0, self.signature),
                (64 << 10, self.headers[0]),
                (128 << 10, self.headers[1]),
                (192 << 10, region_table(*self.regions)),
                (2 * MIB, metadata(self.items)),
                (3 * MIB, b"".join(entry.to_bytes(8, "little") for entry in self.table)),
                (4 * MIB, b"".join(self.payload)),
            ):
                file.seek(offset)
                file.write(data)
        return path


def present(block: int) -> int:
    return (4 + block) * MIB | 6


def sample() -> Foreign:
    # The last block ends with the disk; every state that reads as zeros is there.
    return Foreign(6 * MIB + 512, [present(2), 0, 1, 2, 3 | 4 * MIB, present(0), present(1)])


def test_the_digest_is_that_of_the_whole_guest_visible_disk(tmp_path: Path) -> None:
    disk = b"C" * MIB + bytes(4 * MIB) + b"A" * MIB + b"B" * 512
    path = sample().write(tmp_path / "a.vhdx")
    assert digest(FILES, path) == hashlib.sha256(disk).hexdigest()


def test_a_disk_without_a_byte_of_data_is_zeros_to_its_end(tmp_path: Path) -> None:
    path = Foreign(3 * MIB - 512, [0, 0, 0]).write(tmp_path / "a.vhdx")
    assert digest(FILES, path) == hashlib.sha256(bytes(3 * MIB - 512)).hexdigest()


def test_runs_of_zero_blocks_are_one_run(tmp_path: Path) -> None:
    with FILES.open_read(sample().write(tmp_path / "a.vhdx")) as file:
        runs = list(read_disk(file).runs())
    assert runs == [(6 * MIB, MIB), (0, 4 * MIB), (4 * MIB, MIB), (5 * MIB, 512)]


def test_the_sector_bitmap_entries_of_the_table_are_skipped(tmp_path: Path) -> None:
    # 4096 blocks of 1 MiB in sectors of 512 make a chunk: the entry after them is no block.
    bitmap = 6 | 9 * MIB
    table = [0] * 4096 + [bitmap] + [0] * 4096 + [bitmap] + [present(1)]
    foreign = Foreign(8193 * MIB, table)
    with FILES.open_read(foreign.write(tmp_path / "a.vhdx")) as file:
        assert list(read_disk(file).runs()) == [(0, 8192 * MIB), (5 * MIB, MIB)]


def test_the_newer_of_two_headers_counts_and_a_torn_one_does_not(tmp_path: Path) -> None:
    foreign = sample()
    foreign.headers = [header(7), header(8, log=b"L" * 16)]
    with pytest.raises(WitnessError, match="log"):
        digest(FILES, foreign.write(tmp_path / "dirty.vhdx"))
    foreign.headers[1] = foreign.headers[1][:-1] + b"x"
    assert len(digest(FILES, foreign.write(tmp_path / "torn.vhdx"))) == 64


def breakage(change: Callable[[Foreign], object]) -> Callable[[Foreign], object]:
    return change


def set_item(name: str, value: bytes) -> Callable[[Foreign], object]:
    return breakage(lambda foreign: foreign.items.update({ITEMS[name]: value}))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (breakage(lambda f: setattr(f, "signature", b"conectix")), "signature"),
        (breakage(lambda f: setattr(f, "headers", [bytes(4096)] * 2)), "headers"),
        (breakage(lambda f: setattr(f, "headers", [header(1, version=2)] * 2)), "version 2"),
        (breakage(lambda f: f.regions.pop()), "missing"),
        (breakage(lambda f: f.regions.append((UUID(int=5), 8 * MIB, MIB, 1))), "unknown required"),
        (
            breakage(lambda f: f.regions.__setitem__(0, (METADATA, 2 * MIB, 99 * MIB, 1))),
            "out of bounds",
        ),
        (breakage(lambda f: f.items.pop(ITEMS["size"])), "missing"),
        (breakage(lambda f: f.items.update({UUID(int=9): b"?"})), "unknown required metadata"),
        (set_item("parameters", struct.pack("<II", MIB, 2)), "differencing"),
        (set_item("parameters", struct.pack("<II", MIB + 512, 0)), "block size"),
        (set_item("parameters", struct.pack("<II", 512 * MIB, 0)), "block size"),
        (set_item("size", (6 * MIB + 1).to_bytes(8, "little")), "sectors"),
        (set_item("size", bytes(8)), "a disk of 0 bytes"),
        (set_item("size", (1 << 40).to_bytes(8, "little")), "too short"),
        (set_item("sector", (520).to_bytes(4, "little")), "sectors of 520"),
        (breakage(lambda f: f.table.__setitem__(0, 7)), "table entry 0x7"),
        (breakage(lambda f: f.table.__setitem__(0, 6)), "table entry 0x6"),
        (breakage(lambda f: f.table.__setitem__(0, f.table[5])), "share"),
        (breakage(lambda f: f.table.__setitem__(0, present(9))), "beyond the end"),
    ],
)
def test_what_the_witness_cannot_vouch_for_is_refused(
    tmp_path: Path, change: Callable[[Foreign], object], problem: str
) -> None:
    foreign = sample()
    change(foreign)
    with pytest.raises(WitnessError, match=problem) as caught:
        digest(FILES, foreign.write(tmp_path / "a.vhdx"))
    assert str(tmp_path / "a.vhdx") in caught.value.cause


def test_a_second_copy_of_the_region_table_is_enough(tmp_path: Path) -> None:
    foreign = sample()
    path = foreign.write(tmp_path / "a.vhdx")
    with path.open("r+b") as file:
        file.seek(256 << 10)
        file.write(region_table(*foreign.regions))
        file.seek(192 << 10)
        file.write(bytes(65536))
    assert len(digest(FILES, path)) == 64
    with path.open("r+b") as file:
        file.seek(256 << 10)
        file.write(bytes(65536))
    with pytest.raises(WitnessError, match="region tables"):
        digest(FILES, path)


@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
def test_it_agrees_with_qemu_on_a_file_of_qemu(tmp_path: Path, kind: str) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(b"x" * 4096 + bytes(3 * MIB) + b"y" * 8192 + bytes(MIB) + b"z" * 512)
    arguments = ("convert", "-f", "raw", "-O", "vhdx", "-o", f"subformat={kind}")
    subprocess.run([oracles.qemu_img(), *arguments, str(raw), str(tmp_path / "a.vhdx")], check=True)
    expected = hashlib.sha256(raw.read_bytes()).hexdigest()
    assert digest(FILES, tmp_path / "a.vhdx") == expected


SAMPLES = os.environ.get("REPLIKERA_SAMPLES", "")


@pytest.mark.skipif(not SAMPLES, reason="REPLIKERA_SAMPLES names no folder of sample disks")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fat-parent.vhdx.gz", "2d1954fec68faefe81dd3687282a9b387bf8417f6d2cf0da3825fa1445b64cfb"),
        (
            "iotest-dynamic-1G.vhdx.bz2",
            "d3d112d8dab7fd360609f7d5a7b769904b7a2a7d7b6b8c535f65a23293c05478",
        ),
        ("swap.vhdx.gz", "60dd30b4c74361427d1089510cabb36e2eeda0cc4747f467ea43173acd358c49"),
    ],
)
def test_it_agrees_with_the_known_digests_of_real_files(
    tmp_path: Path, name: str, expected: str
) -> None:
    assert digest(FILES, unpack(Path(SAMPLES) / name, tmp_path)) == expected


@pytest.mark.skipif(not SAMPLES, reason="REPLIKERA_SAMPLES names no folder of sample disks")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fat-differential.vhdx.gz", "differencing"),
        ("iotest-dirtylog-10G-4M.vhdx.bz2", "log"),
    ],
)
def test_real_files_it_would_misread_are_refused(tmp_path: Path, name: str, problem: str) -> None:
    path = unpack(Path(SAMPLES) / name, tmp_path)
    with pytest.raises(WitnessError, match=problem):
        digest(FILES, path)
