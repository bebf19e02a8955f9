from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.source.coverage import Coverage, ranges_of
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry

SIZE = 64 * 512
DISKS = (DiskGeometry("a", "a.vhdx", SIZE, 512), DiskGeometry("b", "b.vhdx", 512, 512))
EMPTY = Extents.empty()

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), max_size=6)


def extents(table: list[tuple[int, int]]) -> Extents:
    return Extents.of((at * 512, length * 512) for at, length in table).clip(SIZE)


def test_at_first_everything_has_to_be_sent() -> None:
    coverage = Coverage.nothing_sent(DISKS)
    assert coverage.pending == (Extents.whole(SIZE), Extents.whole(512))
    assert not coverage.is_doubtful
    assert coverage.watermarks(DISKS) == (0, 0)


def test_what_was_sent_is_done_and_what_changed_is_not() -> None:
    coverage = Coverage.nothing_sent(DISKS).sent((Extents.of([(0, 4096)]), Extents.whole(512)))
    assert coverage.watermarks(DISKS) == (4096, 512)
    changed = coverage.changed((Extents.of([(1024, 512)]), EMPTY))
    assert changed.pending[0] == Extents.of([(1024, 512), (4096, SIZE - 4096)])
    assert changed.watermarks(DISKS) == (4096, 512)


def test_a_pass_is_complete_when_nothing_is_left() -> None:
    coverage = Coverage.nothing_sent(DISKS).sent((Extents.whole(SIZE), Extents.whole(512)))
    assert coverage.is_complete
    assert coverage.watermarks(DISKS) == (SIZE, 512)


def test_what_is_compared_is_done_or_has_to_be_sent() -> None:
    slab, found = (Extents.of([(0, 2048)]), EMPTY), (Extents.of([(512, 512)]), EMPTY)
    coverage = Coverage.nothing_known(DISKS).compared(slab, found)
    assert coverage.pending == found
    assert coverage.doubtful == (Extents.of([(2048, SIZE - 2048)]), Extents.whole(512))


def test_changes_of_what_is_doubtful_stay_doubtful() -> None:
    coverage = Coverage.nothing_known(DISKS).changed((Extents.of([(0, 512)]), EMPTY))
    assert coverage == Coverage.nothing_known(DISKS)


def test_without_tracking_what_was_equal_is_doubtful() -> None:
    coverage = Coverage.nothing_sent(DISKS).sent((Extents.of([(512, 512)]), EMPTY))
    forgotten = coverage.forgotten(DISKS)
    assert forgotten.pending == coverage.pending
    assert forgotten.doubtful == (Extents.of([(512, 512)]), EMPTY)


def test_a_target_that_has_less_is_compared_up_to_there() -> None:
    coverage = Coverage.doubtful_below(DISKS, (1024, 0))
    assert coverage.doubtful == (Extents.whole(1024), EMPTY)
    assert coverage.pending == (Extents.of([(1024, SIZE - 1024)]), Extents.whole(512))


@given(first=ranges, second=ranges, third=ranges, seed=st.integers(0, 99))
def test_nothing_that_may_differ_is_ever_left_out(
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    third: list[tuple[int, int]],
    seed: int,
) -> None:
    """A flat model: one flag a sector, "may differ", against what the sets say after the same steps."""
    random = Random(seed)
    disks = DISKS[:1]
    coverage = Coverage.nothing_sent(disks)
    may_differ = [True] * 64
    for table in (first, second, third):
        touched = extents(table)
        sectors = {
            at // 512 for start, length in touched for at in range(start, start + length, 512)
        }
        step = random.choice(["sent", "changed", "compared", "forgotten", "stored"])
        if step == "sent":
            # Only what is pending can be sent.
            coverage = coverage.sent((touched.intersect(coverage.pending[0]),))
            for sector in sectors:
                if not coverage.doubtful[0].intersect(Extents.of([(sector * 512, 512)])).total():
                    may_differ[sector] = False
        elif step == "changed":
            coverage = coverage.changed((touched,))
            may_differ = [flag or at in sectors for at, flag in enumerate(may_differ)]
        elif step == "compared":
            slab = touched.intersect(coverage.doubtful[0])
            coverage = coverage.compared((slab,), (slab,))
        elif step == "forgotten":
            coverage = coverage.forgotten(disks)
        else:
            coverage = coverage.coarsened(random.choice([1, 2, 100]))
            stored = Coverage.parse(ranges_of(coverage.pending), ranges_of(coverage.doubtful))
            assert stored == coverage
        known = coverage.pending[0].union(coverage.doubtful[0])
        assert coverage.pending[0].intersect(coverage.doubtful[0]).total() == 0
        for sector, flag in enumerate(may_differ):
            if flag:
                assert known.intersect(Extents.of([(sector * 512, 512)])).total() == 512


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_coarser_set_holds_at_least_as_much(limit: int) -> None:
    size = 1 << 30
    disks = (DiskGeometry("a", "a.vhdx", size, 512),)
    scattered = Extents.of((at << 20, 512) for at in range(0, 1024, 4))
    coverage = Coverage((scattered,), (Extents.whole(size).subtract(scattered),))
    coarse = coverage.coarsened(limit)
    everything = coarse.pending[0].union(coarse.doubtful[0])
    assert everything == Extents.whole(size)
    assert len(coarse.doubtful[0]) <= limit
    assert len(coarse.pending[0]) <= 2 * limit
    assert disks[0].size == int(everything.ends[-1])
