"""What was told durable of an unfinished pass or segment survives every crash, and both always end right."""

import pytest

from tests.simulation.delta_world import DeltaWorld
from tests.simulation.mutation import Mutation
from tests.simulation.pass_world import PassWorld
from tests.simulation.reception_mutations import DELTA_MUTATIONS, PASS_MUTATIONS
from tests.simulation.replica_checker import Wrap
from tests.simulation.replica_explorer import as_it_is
from tests.simulation.replica_promises import BrokenPromiseError
from tests.simulation.replica_worlds import MIB, SmallBlocks
from tests.support.raw_images import RawImages
from tests.support.seeded_randomness import SeededRandomness

MAX_MUTATION_SEEDS = 40
GRANULE = 64 << 10
AROUND_GRANULES = (0, 1, 2, 125, 126, 127)
AROUND_BLOCKS = (0, 1, 2046, 2047, 2048, 2049)

pytestmark = pytest.mark.simulation


def pass_world(seed: int, wrap: Wrap = as_it_is) -> PassWorld:
    """Return a world over plain files, of disks with whole granules and a short one."""
    return PassWorld(
        seed,
        RawImages(),
        sizes=(GRANULE + 4096, GRANULE),
        spots=AROUND_GRANULES,
        share=0.25,
        wrap=wrap,
    )


def delta_world(seed: int, wrap: Wrap = as_it_is) -> DeltaWorld:
    """Return a world of small segments."""
    return DeltaWorld(seed, RawImages(), sizes=(8192, 4096), share=0.3, wrap=wrap)


@pytest.mark.parametrize("seed", range(8))
def test_durable_chunks_of_a_pass_survive_over_raw_disks(seed: int) -> None:
    world = pass_world(seed)
    world.run(30)
    assert world.states > 20


@pytest.mark.parametrize("seed", range(2))
def test_durable_chunks_of_a_pass_survive_over_vhdx(seed: int) -> None:
    image_format = SmallBlocks(SeededRandomness(seed))
    world = PassWorld(seed, image_format, sizes=(MIB + GRANULE,), spots=AROUND_BLOCKS, share=0.05)
    world.run(20)
    assert world.states > 5


@pytest.mark.parametrize("seed", range(10))
def test_durable_records_of_an_open_segment_survive(seed: int) -> None:
    world = delta_world(seed)
    world.run(40)
    assert world.states > 20


@pytest.mark.parametrize("mutation", PASS_MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_of_the_pass_is_noticed(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + MAX_MUTATION_SEEDS)
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        for seed in seeds:
            pass_world(seed, mutation.wrap).run(30)


@pytest.mark.parametrize("mutation", DELTA_MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_of_open_segments_is_noticed(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + MAX_MUTATION_SEEDS)
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        for seed in seeds:
            delta_world(seed, mutation.wrap).run(40)
