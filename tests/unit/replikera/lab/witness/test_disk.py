"""The witness reads what the specification says, and refuses to vouch for anything else."""

import hashlib
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.lab.witness import WitnessError, digest, open_disk
from replikera.system.files import SystemFiles
from tests.support import oracles, vhdx_reader
from tests.support.samples import unpack
from tests.unit.replikera.lab.witness.foreign import (
    ITEMS,
    METADATA,
    MIB,
    Foreign,
    header,
    present,
    region_table,
    sample,
)
from tests.unit.replikera.vhdx.foreign_chain import Block, child, child_items
from tests.unit.replikera.vhdx.test_parents import BLOCKS, parent_file

FILES = SystemFiles()


def runs_of(path: Path) -> list[tuple[int | None, int]]:
    disk = open_disk(FILES, path)
    try:
        return [(run.offset if run.layer else None, run.length) for run in disk.runs()]
    finally:
        disk.close()


def test_the_digest_is_that_of_the_whole_guest_visible_disk(tmp_path: Path) -> None:
    disk = b"C" * MIB + bytes(4 * MIB) + b"A" * MIB + b"B" * 512
    path = sample().write(tmp_path / "a.vhdx")
    assert digest(FILES, path) == hashlib.sha256(disk).hexdigest()


def test_a_disk_without_a_byte_of_data_is_zeros_to_its_end(tmp_path: Path) -> None:
    path = Foreign(3 * MIB - 512, [0, 0, 0]).write(tmp_path / "a.vhdx")
    assert digest(FILES, path) == hashlib.sha256(bytes(3 * MIB - 512)).hexdigest()


def test_runs_of_zero_blocks_are_one_run(tmp_path: Path) -> None:
    runs = runs_of(sample().write(tmp_path / "a.vhdx"))
    assert runs == [(6 * MIB, MIB), (None, 4 * MIB), (4 * MIB, MIB), (5 * MIB, 512)]


def test_the_sector_bitmap_entries_of_the_table_are_skipped(tmp_path: Path) -> None:
    # 4096 blocks of 1 MiB in sectors of 512 make a chunk: the entry after them is no block.
    bitmap = 6 | 9 * MIB
    table = [0] * 4096 + [bitmap] + [0] * 4096 + [bitmap] + [present(1)]
    foreign = Foreign(8193 * MIB, table)
    assert runs_of(foreign.write(tmp_path / "a.vhdx")) == [(None, 8192 * MIB), (5 * MIB, MIB)]


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
        (set_item("parameters", struct.pack("<II", MIB, 2)), "does not say where"),
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
        (
            "fat-differential.vhdx.gz",
            "a538161f34bc44c12bf9a542ce9218741c62728723ea18d0e4f6ea92e9f32e93",
        ),
        (
            "iotest-dirtylog-10G-4M.vhdx.bz2",
            "179cefe8b0587f123393eedf2aa7aa8d25798591178e6bc3950a09762f38f96f",
        ),
    ],
)
def test_it_agrees_with_the_known_digests_of_real_files(
    tmp_path: Path, name: str, expected: str
) -> None:
    unpack(Path(SAMPLES) / "fat-parent.vhdx.gz", tmp_path)
    assert digest(FILES, unpack(Path(SAMPLES) / name, tmp_path)) == expected


@pytest.mark.skipif(not SAMPLES, reason="REPLIKERA_SAMPLES names no folder of sample disks")
def test_a_disk_without_its_parent_is_refused(tmp_path: Path) -> None:
    path = unpack(Path(SAMPLES) / "fat-differential.vhdx.gz", tmp_path)
    with pytest.raises(WitnessError, match="parent is not at"):
        digest(FILES, path)


def write_chain(folder: Path, layers: list[dict[int, Block]]) -> Path:
    path = folder / "parent.vhdx"
    path.write_bytes(parent_file())
    for number, blocks in enumerate(layers):
        content = child_items(path.name)
        path = folder / f"{number}.vhdx"
        path.write_bytes(child(blocks, content=content))
    return path


@settings(max_examples=30, deadline=None)
@given(layers=st.lists(BLOCKS, min_size=1, max_size=2))
def test_it_reads_chains_as_the_reader_of_the_tests_does(
    tmp_path_factory: pytest.TempPathFactory, layers: list[dict[int, Block]]
) -> None:
    path = write_chain(tmp_path_factory.mktemp("chain"), layers)
    assert digest(FILES, path) == vhdx_reader.open_path(path).digest()


def test_beyond_the_end_of_a_smaller_parent_there_are_zeros(tmp_path: Path) -> None:
    (tmp_path / "parent.vhdx").write_bytes(parent_file())
    path = tmp_path / "child.vhdx"
    path.write_bytes(child({}, content=child_items(size=6 * MIB)))
    whole = vhdx_reader.open_path(tmp_path / "parent.vhdx").read(0, 4 * MIB) + bytes(2 * MIB)
    assert digest(FILES, path) == hashlib.sha256(whole).hexdigest()


def test_a_parent_that_was_written_since_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parent.vhdx").write_bytes(parent_file())
    path = tmp_path / "child.vhdx"
    other = {"parent_linkage": f"{{{UUID(int=7)}}}", "relative_path": ".\\parent.vhdx"}
    path.write_bytes(child({}, content=child_items(values=other)))
    with pytest.raises(WitnessError, match="was written after"):
        digest(FILES, path)


def test_a_chain_that_ends_nowhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "child.vhdx"
    path.write_bytes(child({}, content=child_items("child.vhdx")))
    with pytest.raises(WitnessError, match="number 65 of a chain"):
        digest(FILES, path)


def test_a_block_without_its_sector_bitmap_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parent.vhdx").write_bytes(parent_file())
    path = tmp_path / "child.vhdx"
    data = child({0: Block(7, sectors=frozenset({1}))})
    at = data.index((6 | 4 * MIB).to_bytes(8, "little"))
    data[at : at + 8] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(WitnessError, match="sector bitmap of block 0 is missing"):
        digest(FILES, path)
