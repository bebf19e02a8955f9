"""The list of disks."""

from dataclasses import replace

import pytest

from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.blocks.segment.geometry import decode_disks, encode_disks

DISK = DiskGeometry("disk-1", "system.vhdx", 1 << 30, 512)


def test_disks_come_back_in_order() -> None:
    disks = (DISK, DiskGeometry("disk-2", "data.vhdx", 1 << 20, 4096))
    assert decode_disks(encode_disks(disks)) == disks


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "../x", "a\0b", "C:x", "a\nb", "n" * 256]
)
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(SegmentFormatError, match="name"):
        encode_disks([replace(DISK, name=name)])


@pytest.mark.parametrize(
    ("disk", "problem"),
    [
        (replace(DISK, size=0), "whole sectors"),
        (replace(DISK, size=1000), "whole sectors"),
        (replace(DISK, size=512, logical_sector_size=4096), "whole sectors"),
        (replace(DISK, size=(64 << 40) + 512), "size"),
        (replace(DISK, logical_sector_size=520), "sectors of 520"),
        (replace(DISK, disk_id=""), "empty disk_id"),
    ],
)
def test_an_impossible_disk_is_refused(disk: DiskGeometry, problem: str) -> None:
    with pytest.raises(SegmentFormatError, match=problem):
        encode_disks([disk])


def test_the_number_and_identity_of_disks_are_checked() -> None:
    with pytest.raises(SegmentFormatError, match="1 to 64"):
        encode_disks([])
    with pytest.raises(SegmentFormatError, match="1 to 64"):
        encode_disks([replace(DISK, disk_id=str(number)) for number in range(65)])
    with pytest.raises(SegmentFormatError, match="same disk_id"):
        encode_disks([DISK, replace(DISK, name="other.vhdx")])
    with pytest.raises(SegmentFormatError, match="1 to 64"):
        decode_disks(b"{}")
    with pytest.raises(SegmentFormatError, match="a disk is not an object"):
        decode_disks(b"[1]")
