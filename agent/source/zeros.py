"""Pages of zeros inside data: found without looking at every byte where there are none."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 4096

MIN_RUN_PAGES = 8
"""A run of zeros below 32 KiB costs more as two records and two slices than as bytes."""

_WORD = np.dtype("<u8")
_PAGE_WORDS = PAGE_BYTES // _WORD.itemsize
_SAMPLED_PART = 16
"""Where fewer than a sixteenth of the pages begin with a zero, hardly any page is one."""


def data_runs(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield (offset, length, is data) over all of `data`, alternating; short runs of zeros count as data."""
    whole = len(data) // PAGE_BYTES
    if whole < MIN_RUN_PAGES or not _is_worthwhile(data, whole):
        yield 0, len(data), True
        return
    pages = np.frombuffer(data, _WORD, whole * _PAGE_WORDS).reshape(whole, _PAGE_WORDS)
    done = 0
    for start, end in _runs(np.logical_not(np.any(pages, axis=1))):
        if start > done:
            yield done, start - done, True
        yield start, end - start, False
        done = end
    if done < len(data):
        yield done, len(data) - done, True


def _is_worthwhile(data: bytes, pages: int) -> bool:
    firsts = np.frombuffer(data, _WORD, pages * _PAGE_WORDS)[::_PAGE_WORDS]
    zeros = pages - int(np.count_nonzero(firsts))
    return zeros >= MIN_RUN_PAGES and zeros * _SAMPLED_PART >= pages


def _runs(is_zero: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) in bytes of the long runs."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_zero, [False]))))
    for start, end in edges.reshape(-1, 2).tolist():
        if end - start >= MIN_RUN_PAGES:
            yield start * PAGE_BYTES, end * PAGE_BYTES
