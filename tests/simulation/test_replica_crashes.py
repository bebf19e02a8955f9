"""Every acknowledged point survives every crash, byte for byte; and the search for one that does not can find it."""

import pytest

from tests.simulation.fork_mutations import FORK_MUTATIONS
from tests.simulation.mutation import Mutation
from tests.simulation.ordering_mutations import MUTATIONS
from tests.simulation.replica_promises import BrokenPromiseError
from tests.simulation.replica_worlds import forking_world, raw_world, vhdx_world

ACTIONS = 14
FORK_ACTIONS = 20
MAX_MUTATION_SEEDS = 40

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("seed", range(14))
def test_acknowledged_points_survive_over_raw_disks(seed: int) -> None:
    explorer = raw_world(seed)
    explorer.run(ACTIONS)
    assert explorer.states > 40


@pytest.mark.parametrize("seed", range(4))
def test_acknowledged_points_survive_over_vhdx(seed: int) -> None:
    explorer = vhdx_world(seed)
    explorer.run(ACTIONS)
    assert explorer.states > 15


@pytest.mark.parametrize("seed", range(10))
def test_lost_points_never_come_back_in_the_place_of_others(seed: int) -> None:
    explorer = forking_world(seed)
    explorer.run(FORK_ACTIONS)
    assert explorer.states > 15


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + MAX_MUTATION_SEEDS)
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        for seed in seeds:
            raw_world(seed, mutation.wrap).run(ACTIONS)


@pytest.mark.parametrize("mutation", FORK_MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_is_noticed_when_points_are_lost(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + MAX_MUTATION_SEEDS)
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        for seed in seeds:
            forking_world(seed, mutation.wrap).run(FORK_ACTIONS)
