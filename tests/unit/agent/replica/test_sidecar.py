"""Checksums beside an image."""

from pathlib import Path

import numpy as np
import pytest

from agent.replica.sidecar import (
    DAMAGED,
    GRANULE_BYTES,
    NEVER_WRITTEN,
    create_sidecar,
    granule_sum,
    granule_sums,
    granules_of,
    open_sidecar,
    runs_of,
    sidecar_path,
)
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles
from tests.support.segments import disks_of

IMAGE = Path("/base/00.vhdx")
(DISK,) = disks_of(5 * GRANULE_BYTES - 4096)


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(IMAGE.parent)
    create_sidecar(files, IMAGE, 3, DISK).close()
    return files


def test_zeros_have_the_sum_of_what_was_never_written() -> None:
    assert granule_sum(0, 7, memoryview(bytes(GRANULE_BYTES))) == NEVER_WRITTEN
    assert granule_sum(0, 7, memoryview(bytes(GRANULE_BYTES - 1) + b"\1")) != NEVER_WRITTEN


def test_a_sum_is_bound_to_its_place() -> None:
    data = memoryview(b"x" * GRANULE_BYTES)
    sums = {granule_sum(disk, granule, data) for disk in (0, 1) for granule in (0, 1, 1 << 20)}
    assert len(sums) == 6
    assert DAMAGED not in sums


def test_the_last_granule_may_be_short() -> None:
    data = memoryview(b"y" * (GRANULE_BYTES + 512))
    first, last = granule_sums(1, 4, data).tolist()
    assert first == granule_sum(1, 4, data[:GRANULE_BYTES])
    assert last == granule_sum(1, 5, data[GRANULE_BYTES:])
    assert granules_of(DISK.size) == 5


def test_neighbours_make_runs() -> None:
    assert list(runs_of(np.array([1, 2, 3, 7, 9, 10]))) == [(0, 3), (3, 1), (4, 2)]
    assert list(runs_of(np.array([], dtype=np.int64))) == []


def test_sums_are_kept_cleared_and_never_written_at_first(files: CrashFiles) -> None:
    with open_sidecar(files, IMAGE, 3, DISK, is_writable=True) as sidecar:
        assert sidecar.read(0, 5).tolist() == [NEVER_WRITTEN] * 5
        sidecar.write_at(np.array([0, 1, 4]), np.array([11, 12, DAMAGED], dtype=np.uint64))
        sidecar.clear(1, 1)
        sidecar.sync()
    assert [change for change in files.pending() if "sums" in change.description][1:] == []
    with open_sidecar(files, IMAGE, 3, DISK, is_writable=False) as sidecar:
        assert sidecar.read(0, 5).tolist() == [11, 0, 0, 0, DAMAGED]
        with pytest.raises(SegmentFormatError, match="ends early"):
            sidecar.read(4, 2)


def test_sums_of_another_disk_or_size_are_refused(files: CrashFiles) -> None:
    (larger,) = disks_of(DISK.size + 4096)
    for disk, geometry in ((2, DISK), (3, larger)):
        with pytest.raises(SegmentFormatError, match="00.sums"):
            open_sidecar(files, IMAGE, disk, geometry, is_writable=False)


def test_a_flipped_bit_of_the_header_is_noticed(files: CrashFiles) -> None:
    for place in (0, 9, 20, 4000, 4095):
        with files.open_write(sidecar_path(IMAGE)) as file:
            byte = file.read(1, place)
            file.write(bytes([byte[0] ^ 1]), place)
            with pytest.raises(SegmentFormatError):
                open_sidecar(files, IMAGE, 3, DISK, is_writable=False)
            file.write(byte, place)


def test_missing_sums_are_damage(files: CrashFiles) -> None:
    files.remove(sidecar_path(IMAGE))
    with pytest.raises(SegmentFormatError, match="missing"):
        open_sidecar(files, IMAGE, 3, DISK, is_writable=False)
