from datetime import UTC, datetime

from agent.source.verification import LEAF_BYTES, Verification
from replikera.blocks.segment import DiskGeometry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DISKS = (
    DiskGeometry("a", "a.vhdx", LEAF_BYTES + 512, 512),
    DiskGeometry("b", "b.vhdx", 512, 512),
)
FRESH = Verification("44444444-1111-4111-8111-111111111111")


def test_it_goes_through_all_disks_in_leaves() -> None:
    leaves = [(0, 0, LEAF_BYTES), (0, LEAF_BYTES, 512), (1, 0, 512)]
    assert list(FRESH.leaves(DISKS)) == leaves
    later = FRESH.checked(DISKS, LEAF_BYTES, 0, NOW)
    assert list(later.leaves(DISKS)) == leaves[1:]
    assert list(later.checked(DISKS, 512, 0, NOW).leaves(DISKS)) == leaves[2:]


def test_it_ends_when_all_is_equal() -> None:
    half = FRESH.checked(DISKS, LEAF_BYTES, 0, NOW)
    assert half.is_running
    assert half.status.finished_at is None
    done = half.checked(DISKS, 1024, 0, NOW)
    assert (done.status.checked_bytes, done.status.total_bytes) == (LEAF_BYTES + 1024,) * 2
    assert (done.status.differing_bytes, done.status.finished_at) == (0, NOW)
    assert not done.is_running


def test_it_ends_at_a_difference_too() -> None:
    found = FRESH.checked(DISKS, LEAF_BYTES, 512, NOW)
    assert (found.is_running, found.differing_bytes) == (False, 512)
