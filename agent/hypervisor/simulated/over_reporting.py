"""How a resilient change tracker reports what was written: whole granules, and now and then the one behind.

A real one promises no more than that nothing is left out. Callers that rely on more than that are to notice here.
"""

import numpy as np

from replikera.blocks.extents import Extents

GRANULE = 16 << 10

_NEIGHBOURS = 8
"""One range in so many takes its neighbour along."""

_MIXER = np.uint64(0x9E3779B97F4A7C15)


def over_reported(written: Extents, size: int) -> Extents:
    """Return what is reported of a disk of `size` bytes: the same for the same question."""
    whole = written.align(GRANULE, size)
    granules = (whole.ends // GRANULE).astype(np.uint64)
    is_longer = ((granules * _MIXER) >> np.uint64(32)) % np.uint64(_NEIGHBOURS) == 0
    ends = whole.ends + np.where(is_longer, np.int64(GRANULE), np.int64(0))
    return Extents.from_arrays(whole.starts, np.minimum(ends, np.int64(size)))
