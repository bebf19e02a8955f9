from agent.source.slabs import SLAB_LEAVES, next_slab
from agent.source.verification import LEAF_BYTES
from replikera.blocks.extents import Extents


def test_a_slab_is_the_beginning_of_what_is_left() -> None:
    small = Extents.of([(512, 1024), (LEAF_BYTES, 512)])
    large = Extents.whole(2 * SLAB_LEAVES * LEAF_BYTES)
    assert next_slab([small, large]) == (
        small,
        Extents.whole((SLAB_LEAVES - 2) * LEAF_BYTES),
    )
    assert next_slab([large, small]) == (Extents.whole(SLAB_LEAVES * LEAF_BYTES), Extents.empty())
    assert next_slab([small]) == (small,)
