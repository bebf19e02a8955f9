"""A vault with a real store and a real authority, without listeners."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from coordinator.domain import network_mappings, policies
from coordinator.domain.decisions import Decision
from coordinator.domain.identifiers import HostId, MappingId, PolicyId
from coordinator.domain.inventory import Inventory, Network
from coordinator.domain.jobs import Job
from coordinator.domain.network_mappings import MappingRequest
from coordinator.domain.orders import Done, Order
from coordinator.domain.points import PointReport
from coordinator.domain.protections import Protection
from coordinator.orchestration.founding import (
    Founding,
    Machinery,
    StateDirectory,
    found_vault,
    open_vault,
)
from coordinator.orchestration.host_messages import receive_points
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Addresses, Vault
from replikera.system.files import SystemFiles
from tests.support.seeded_randomness import SeededRandomness
from tests.support.virtual_clock import InlineWorker, VirtualClock
from tests.unit.coordinator.examples import MACHINE, SOURCE, TARGET, recovery_point

FOUNDING = Founding("home", "ann", Path("profile"), "vault.test:7403")
LAN = Network("lan", SOURCE.id, is_isolated=False, subnets=("10.0.0.0/8",))
DR_LAN = Network("dr-lan", TARGET.id, is_isolated=False, subnets=())
BUBBLE = Network("bubble", TARGET.id, is_isolated=True, subnets=())


def machinery(clock: VirtualClock | None = None) -> Machinery:
    return Machinery(SystemFiles(), clock or VirtualClock(), SeededRandomness(1), InlineWorker())


def state_in(folder: Path) -> StateDirectory:
    return StateDirectory(folder / "state", folder / "passphrase")


async def make_vault(folder: Path) -> None:
    founding = replace(FOUNDING, profile=folder / "profile")
    await found_vault(machinery(), state_in(folder), founding)


@asynccontextmanager
async def opened(folder: Path, clock: VirtualClock | None = None) -> AsyncIterator[Vault]:
    """Open the vault of a folder, making it first if there is none."""
    if not state_in(folder).database.exists():
        await make_vault(folder)
    addresses = Addresses("vault.test:7401", "vault.test:7402")
    vault = await open_vault(machinery(clock), state_in(folder), addresses)
    try:
        yield vault
    finally:
        await vault.store.close()


async def save(vault: Vault, *aggregates: Any) -> None:
    async with vault.store.write() as records:
        await records.save(Decision(aggregates))


async def equip(vault: Vault) -> None:
    """Register both hosts with what they have, a policy and a network mapping."""
    now = vault.clock.now()
    frequency, retention = timedelta(seconds=5), timedelta(hours=1)
    _, new_policy = policies.create(PolicyId("policy"), "quick", frequency, retention, now)
    request = MappingRequest(SOURCE, "lan", (LAN,), TARGET, "dr-lan", "bubble", (DR_LAN, BUBBLE))
    _, new_mapping = network_mappings.create(MappingId("mapping"), request, now)
    async with vault.store.write() as records:
        await records.save(Decision((SOURCE, TARGET)))
        await records.save(new_policy + new_mapping)
        await records.inventories.replace(SOURCE.id, Inventory((MACHINE,), (LAN,)))
        await records.inventories.replace(TARGET.id, Inventory((), (DR_LAN, BUBBLE)))


async def open_orders(vault: Vault, host_id: HostId) -> tuple[Order, ...]:
    async with vault.store.read() as records:
        return await records.open_orders(host_id)


async def the_order(vault: Vault, host_id: HostId) -> Order:
    (order,) = await open_orders(vault, host_id)
    return order


async def the_job(vault: Vault, job_id: str) -> Job:
    async with vault.store.read() as records:
        return await records.jobs.get(job_id)


async def the_protection(vault: Vault) -> Protection:
    async with vault.store.read() as records:
        return await records.protections.get("web")


async def report(
    vault: Vault,
    *sequences: int,
    released: tuple[int, ...] = (),
    complete: bool = False,
    host_id: HostId = TARGET.id,
    **more: Any,
) -> None:
    """Have the target report points of the protection."""
    protection = await the_protection(vault)
    points = tuple(
        recovery_point(
            sequence,
            **{"protection_id": protection.id, "generation": protection.generation} | more,
        )
        for sequence in sequences
    )
    generation = points[0].generation if points else protection.generation
    await receive_points(
        vault, host_id, PointReport(protection.id, generation, points, released, complete, 1)
    )


async def protect(vault: Vault) -> Protection:
    """Protect the machine, up to its first point."""
    await equip(vault)
    await enable_protection(vault, "web", "b1", "quick")
    for host_id in (TARGET.id, SOURCE.id):
        order = await the_order(vault, host_id)
        await receive_outcome(vault, host_id, order.id, Done())
    await report(vault, 1, complete=True)
    return await the_protection(vault)
