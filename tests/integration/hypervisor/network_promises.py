"""Promises about isolated networks."""

from dataclasses import replace

import pytest

from agent.hypervisor.interface import (
    HypervisorError,
)
from tests.integration.hypervisor.contract import (
    OTHER_TAG,
    TAG,
    HypervisorBench,
    definition,
    promise,
)


@promise
async def an_isolated_network_is_made_used_and_removed(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    before = await hypervisor.networks()
    made = await hypervisor.ensure_isolated_network("test-net", TAG)
    assert (made.name, made.is_isolated, made.tag) == ("test-net", True, TAG)
    assert set(await bench.restarted().networks()) == {*before, made}
    assert (await hypervisor.inventory()).networks == await hypervisor.networks()

    wanted = await definition(bench)
    networks = dict.fromkeys(wanted.networks, "test-net")
    machine_id = await hypervisor.define_machine(replace(wanted, networks=networks))
    with pytest.raises(HypervisorError, match="test-net"):
        await hypervisor.remove_isolated_network("test-net", TAG)
    assert made in await hypervisor.networks()

    await hypervisor.remove_machine(machine_id, TAG)
    await hypervisor.remove_isolated_network("test-net", TAG)
    assert await hypervisor.networks() == before


@promise
async def networks_may_be_made_and_removed_again(bench: HypervisorBench) -> None:
    before = await bench.hypervisor.networks()
    changes = len(bench.changes())
    made = await bench.hypervisor.ensure_isolated_network("test-net", TAG)
    assert await bench.restarted().ensure_isolated_network("test-net", TAG) == made
    assert len(await bench.hypervisor.networks()) == len(before) + 1
    assert bench.changes()[changes:] == [("test-net", TAG)]
    await bench.hypervisor.remove_isolated_network("test-net", TAG)
    await bench.restarted().remove_isolated_network("test-net", TAG)
    assert await bench.hypervisor.networks() == before
    assert bench.changes()[changes:] == [("test-net", TAG)] * 2


@promise
async def networks_of_others_are_neither_used_nor_removed(bench: HypervisorBench) -> None:
    await bench.hypervisor.ensure_isolated_network("test-net", TAG)
    before = await bench.hypervisor.networks()
    changes = bench.changes()
    for network in before:
        with pytest.raises(HypervisorError, match=network.name):
            await bench.hypervisor.ensure_isolated_network(network.name, OTHER_TAG)
        with pytest.raises(HypervisorError, match=network.name):
            await bench.hypervisor.remove_isolated_network(network.name, OTHER_TAG)
    assert await bench.hypervisor.networks() == before
    assert bench.changes() == changes
