"""How much is compared between two looks at the clock."""

from collections.abc import Sequence

from agent.source.verification import LEAF_BYTES
from replikera.blocks.extents import Extents

SLAB_LEAVES = 1024
"""1 GiB: what is found so far is durable that often."""


def next_slab(doubtful: Sequence[Extents]) -> tuple[Extents, ...]:
    """Return the beginning of what is doubtful, by disk: `SLAB_LEAVES` leaves at most."""
    slab, room = [], SLAB_LEAVES
    for each in doubtful:
        taken = []
        for offset, length in each.split(LEAF_BYTES):
            if not room:
                break
            taken.append((offset, length))
            room -= 1
        slab.append(Extents.of(taken))
    return tuple(slab)
