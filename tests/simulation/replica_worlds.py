"""The worlds that are explored, and a way to explore many: `python -m tests.simulation.replica_worlds SEEDS`."""

import sys

from typing_extensions import override

from agent.replica.images import DiskImage, VhdxImages
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import File
from replikera.vhdx import create_image
from tests.simulation.replica_checker import Wrap
from tests.simulation.replica_explorer import Explorer, as_it_is
from tests.simulation.replica_forks import ForkExplorer
from tests.support.raw_images import RawImages
from tests.support.seeded_randomness import SeededRandomness

MIB = 1 << 20
GRANULE = 64 << 10
RAW_SPOTS = (
    0,
    512,
    1024,
    2048,
    GRANULE - 512,
    GRANULE,
    GRANULE + 512,
    2 * GRANULE - 1024,
    2 * GRANULE,
)
"""Around the edges of two granules, and in a last one that is short."""
VHDX_SPOTS = (0, 512, 1024, MIB - 512, MIB, MIB + 512)


class SmallBlocks(VhdxImages):
    """VHDX with the smallest blocks, so that two of them are little to compare."""

    @override
    def create(self, file: File, geometry: DiskGeometry) -> DiskImage:
        return create_image(
            file, size=geometry.size, block_size=MIB, randomness=SeededRandomness(0)
        )


def raw_world(seed: int, wrap: Wrap = as_it_is) -> Explorer:
    """Return a world whose base is plain files."""
    return Explorer(
        seed, RawImages(), size=2 * GRANULE + 4096, spots=RAW_SPOTS, share=0.2, wrap=wrap
    )


def forking_world(seed: int, wrap: Wrap = as_it_is) -> Explorer:
    """Return a world in which redo is lost."""
    return ForkExplorer(
        seed, RawImages(), size=2 * GRANULE + 4096, spots=RAW_SPOTS, share=0.2, wrap=wrap
    )


def vhdx_world(seed: int) -> Explorer:
    """Return a world whose base is dynamic VHDX, with writes around the edge of two blocks."""
    image_format = SmallBlocks(SeededRandomness(seed))
    size = MIB + (64 << 10)
    return Explorer(seed, image_format, size=size, spots=VHDX_SPOTS, share=0.1, wrap=as_it_is)


def main(seeds: int) -> None:
    """Explore until the first broken promise."""
    states = 0
    for seed in range(1000, 1000 + seeds):
        for explorer in (raw_world(seed), forking_world(seed), vhdx_world(seed)):
            explorer.run(30)
            states += explorer.states
    sys.stdout.write(f"{states} crash states, no broken promise\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
