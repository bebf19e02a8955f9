"""Promises about machines that start with their host."""

import pytest

from agent.hypervisor.interface import (
    HypervisorError,
)
from tests.integration.hypervisor.contract import (
    OTHER_TAG,
    TAG,
    HypervisorBench,
    definition,
    machines,
    promise,
)


@promise
async def a_blocked_machine_stays_down_when_its_host_starts(bench: HypervisorBench) -> None:
    assert (await bench.hypervisor.describe(bench.machine_id)).starts_with_host
    blocked = await bench.hypervisor.block_auto_start(bench.machine_id, TAG)
    assert not blocked.starts_with_host
    assert await bench.restarted().describe(bench.machine_id) == blocked
    await bench.start_host()
    assert not (await bench.hypervisor.describe(bench.machine_id)).is_running

    allowed = await bench.restarted().allow_auto_start(bench.machine_id, TAG)
    assert allowed.starts_with_host
    assert (await machines(bench))[bench.machine_id] == allowed
    await bench.start_host()
    assert (await bench.hypervisor.describe(bench.machine_id)).is_running
    await bench.hypervisor.power_off(bench.machine_id)


@promise
async def auto_start_may_be_blocked_and_allowed_again(bench: HypervisorBench) -> None:
    hypervisor, changes = bench.hypervisor, len(bench.changes())
    assert (await hypervisor.allow_auto_start(bench.machine_id, TAG)).starts_with_host
    for call in (hypervisor.block_auto_start, bench.restarted().block_auto_start):
        assert not (await call(bench.machine_id, TAG)).starts_with_host
    assert not (await hypervisor.block_auto_start(bench.machine_id, OTHER_TAG)).starts_with_host
    for call in (hypervisor.allow_auto_start, bench.restarted().allow_auto_start):
        # The other tag's block still stands.
        assert not (await call(bench.machine_id, TAG)).starts_with_host
    assert (await hypervisor.allow_auto_start(bench.machine_id, OTHER_TAG)).starts_with_host
    assert bench.changes()[changes:] == [
        (bench.machine_id, tag) for tag in (TAG, OTHER_TAG, TAG, OTHER_TAG)
    ]
    for call in (hypervisor.block_auto_start, hypervisor.allow_auto_start):
        with pytest.raises(HypervisorError, match="nobody"):
            await call("nobody", TAG)


@promise
async def a_defined_machine_starts_with_its_host_once_it_is_allowed_to(
    bench: HypervisorBench,
) -> None:
    machine_id = await bench.hypervisor.define_machine(await definition(bench))
    assert not (await bench.hypervisor.describe(machine_id)).starts_with_host
    assert (await bench.hypervisor.allow_auto_start(machine_id, TAG)).starts_with_host
