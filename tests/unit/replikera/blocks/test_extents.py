"""Extents against a set of single bytes."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replikera.blocks.extents import Extents

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


def bytes_of(ranges: Iterable[tuple[int, int]]) -> set[int]:
    return {byte for offset, length in ranges for byte in range(offset, offset + length)}


def assert_normal(extents: Extents) -> None:
    assert (extents.starts < extents.ends).all()
    assert (extents.starts[1:] > extents.ends[:-1]).all()
    assert extents.starts.dtype == np.int64
    assert extents.ends.dtype == np.int64


@given(RANGES, RANGES)
def test_set_operations_equal_those_of_sets_of_bytes(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    one, other = Extents.of(first), Extents.of(second)
    mine, theirs = bytes_of(first), bytes_of(second)
    for result, expected in (
        (one, mine),
        (one.union(other), mine | theirs),
        (one.intersect(other), mine & theirs),
        (one.subtract(other), mine - theirs),
    ):
        assert_normal(result)
        assert bytes_of(result) == expected
        assert result.total() == len(expected)
        assert result == Extents.of((byte, 1) for byte in expected)


@given(RANGES, st.integers(1, 9), st.integers(0, 70))
def test_clip_and_align_stay_below_the_size(
    ranges: list[tuple[int, int]], granule: int, size: int
) -> None:
    extents = Extents.of(ranges)
    covered = bytes_of(ranges)
    assert bytes_of(extents.clip(size)) == {byte for byte in covered if byte < size}
    granules = {byte // granule for byte in covered}
    aligned = extents.align(granule, size)
    assert_normal(aligned)
    assert bytes_of(aligned) == {byte for byte in range(size) if byte // granule in granules}


@given(RANGES, st.integers(1, 9))
def test_split_cuts_at_multiples_and_loses_nothing(
    ranges: list[tuple[int, int]], maximum: int
) -> None:
    pieces = list(Extents.of(ranges).split(maximum))
    assert bytes_of(pieces) == bytes_of(ranges)
    assert sum(length for _, length in pieces) == len(bytes_of(ranges))
    for offset, length in pieces:
        assert offset // maximum == (offset + length - 1) // maximum


def test_adjacent_ranges_become_one() -> None:
    extents = Extents.of([(4, 4), (0, 4), (9, 1)])
    assert list(extents) == [(0, 8), (9, 1)]
    assert len(extents) == 2


def test_empty_and_whole() -> None:
    assert list(Extents.empty()) == []
    assert Extents.empty().total() == 0
    assert list(Extents.whole(7)) == [(0, 7)]
    assert Extents.whole(0) == Extents.empty()
    assert Extents.whole(7) != Extents.whole(8)
    assert Extents.empty() != "nothing"


def test_offsets_beyond_the_exact_floats_stay_exact() -> None:
    far = (1 << 62) + 1
    extents = Extents.of([(far, 3)])
    assert list(extents.union(Extents.of([(far + 3, 1)]))) == [(far, 4)]
    assert list(extents.subtract(Extents.of([(far + 1, 1)]))) == [(far, 1), (far + 2, 1)]


def test_numbers_come_out_as_plain_integers() -> None:
    (offset, length), *_ = Extents.of([(512, 512)])
    assert type(offset) is int
    assert type(length) is int


def test_impossible_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Extents.of([(-1, 4)])
    with pytest.raises(ValueError, match="negative"):
        Extents.of([(4, -1)])
    with pytest.raises(ValueError, match="below zero"):
        Extents.from_arrays([-5], [5])
    with pytest.raises(ValueError, match="same length"):
        Extents.from_arrays([1, 2], [3])


def test_arrays_cannot_be_changed_afterwards() -> None:
    extents = Extents.of([(0, 4)])
    with pytest.raises(ValueError, match="read-only"):
        extents.starts[0] = 9


def test_arrays_of_the_caller_are_copied() -> None:
    starts, ends = np.array([0, 10]), np.array([5, 15])
    extents = Extents.from_arrays(starts, ends)
    starts[0] = 3
    assert list(extents) == [(0, 5), (10, 5)]


def test_many_ranges_are_shown_shortened() -> None:
    assert "100 ranges, 100 bytes" in repr(Extents.of((2 * number, 1) for number in range(100)))
