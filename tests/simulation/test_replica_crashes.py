"""Every acknowledged point survives every crash, byte for byte; and the search for one that does not can find it."""

import pytest

from tests.simulation.ordering_mutations import MUTATIONS, Mutation
from tests.simulation.replica_explorer import BrokenPromiseError
from tests.simulation.replica_worlds import raw_world, vhdx_world

ACTIONS = 14
MAX_MUTATION_SEEDS = 40

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("seed", range(14))
def test_acknowledged_points_survive_over_raw_disks(seed: int) -> None:
    explorer = raw_world(seed)
    explorer.run(ACTIONS)
    assert explorer.states > 40


@pytest.mark.parametrize("seed", range(5))
def test_acknowledged_points_survive_over_vhdx(seed: int) -> None:
    explorer = vhdx_world(seed)
    explorer.run(ACTIONS)
    assert explorer.states > 15


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + MAX_MUTATION_SEEDS)
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        for seed in seeds:
            raw_world(seed, mutation.wrap).run(ACTIONS)
