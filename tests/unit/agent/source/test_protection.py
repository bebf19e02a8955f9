from pathlib import Path

from agent.source.status import Failure
from replikera.blocks.segment import NO_POINT, DiskGeometry, SegmentKind
from tests.support.source_parts import SourceParts
from tests.support.source_rig import GENERATION, PROTECTION

DISKS = (DiskGeometry("a", "a.vhdx", 512, 512),)


def test_a_header_names_the_protection_and_its_place(tmp_path: Path) -> None:
    protection = SourceParts(tmp_path).protection
    first = protection.header(1, 4, NO_POINT, DISKS)
    assert (first.protection_id, first.epoch, first.generation) == (PROTECTION, 1, GENERATION)
    assert (first.kind, first.attempt, first.disks) == (SegmentKind.INITIAL, 4, DISKS)
    assert protection.header(2, 5, b"p" * 32, DISKS).kind is SegmentKind.DELTA


def test_a_warning_is_shown(tmp_path: Path) -> None:
    parts = SourceParts(tmp_path)
    parts.protection.warn("code", "Because.", "Do.")
    assert parts.warnings.newest == Failure("code", "Because.", "Do.")
