from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.source.zeros import MIN_RUN_PAGES, PAGE_BYTES, data_runs


def built(pages: list[bool], tail: int, seed: int) -> bytes:
    random = Random(seed)
    parts = [random.randbytes(PAGE_BYTES) if full else bytes(PAGE_BYTES) for full in pages]
    return b"".join(parts) + random.randbytes(tail * 512)


@settings(max_examples=200, deadline=None)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8),
    tail=st.integers(0, 7),
    seed=st.integers(0, 99),
)
def test_runs_cover_everything_and_only_zeros_are_called_that(
    runs: list[tuple[bool, int]], tail: int, seed: int
) -> None:
    data = built([full for full, count in runs for _ in range(count)], tail, seed)
    if not data:
        return
    found = list(data_runs(data))
    assert [offset for offset, _, _ in found] == [
        sum(length for _, length, _ in found[:place]) for place in range(len(found))
    ]
    assert sum(length for _, length, _ in found) == len(data)
    for offset, length, is_data in found:
        if not is_data:
            assert length >= MIN_RUN_PAGES * PAGE_BYTES
            assert data[offset : offset + length] == bytes(length)


@pytest.mark.parametrize("pages", [MIN_RUN_PAGES, 100, 200])
def test_a_long_run_is_found(pages: int) -> None:
    data = built([True] * 20 + [False] * pages + [True] * 20, 1, 1)
    assert [is_data for _, _, is_data in data_runs(data)] == [True, False, True]


def test_short_runs_are_data() -> None:
    data = built([True, *[False] * (MIN_RUN_PAGES - 1)] * 10, 0, 1)
    assert list(data_runs(data)) == [(0, len(data), True)]


def test_pages_that_begin_with_a_zero_are_not_zeros() -> None:
    data = (bytes(8) + b"x" * (PAGE_BYTES - 8)) * 64
    assert list(data_runs(data)) == [(0, len(data), True)]


def test_less_than_a_run_is_data() -> None:
    assert list(data_runs(bytes(512))) == [(0, 512, True)]
