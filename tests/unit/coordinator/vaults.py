"""A vault with a real store and a real authority, without listeners."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from coordinator.authority.requests import requested_key
from coordinator.domain import network_mappings, policies
from coordinator.domain.certificates import CertificateState
from coordinator.domain.commands import BY_VAULT, by_operator
from coordinator.domain.decisions import Decision
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, MappingId, PolicyId
from coordinator.domain.inventory import Inventory, Network
from coordinator.domain.jobs import Job
from coordinator.domain.network_mappings import MappingRequest
from coordinator.domain.orders import Done, Order
from coordinator.domain.points import MAX_INTEGER, Covered, PointReport
from coordinator.domain.policy_settings import PolicySettings
from coordinator.domain.protections import Protection
from coordinator.orchestration.founding import Founding, found_vault, open_vault
from coordinator.orchestration.host_messages import receive_points
from coordinator.orchestration.issuing import issue_certificate
from coordinator.orchestration.machinery import Machinery, StateDirectory
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Addresses, Vault
from replikera.identity import (
    Caller,
    Role,
    caller_from_certificate,
    generate_private_key,
    signing_request,
)
from replikera.system.files import SystemFiles
from tests.support.seeded_randomness import SeededRandomness
from tests.support.virtual_clock import InlineWorker, VirtualClock
from tests.unit.coordinator.examples import MACHINE, SOURCE, TARGET, recovery_point

FOUNDING = Founding("home", "ann", Path("profile"), "vault.test:7403")
BY_ANN = by_operator("ann")
LAN = Network("lan", SOURCE.id, is_isolated=False, subnets=("10.0.0.0/8",))
DR_LAN = Network("dr-lan", TARGET.id, is_isolated=False, subnets=())
BUBBLE = Network("bubble", TARGET.id, is_isolated=True, subnets=())

EVERY_POINT = Covered(1, MAX_INTEGER)

_seeds = itertools.count(1)


def machinery(clock: VirtualClock | None = None) -> Machinery:
    # Of another seed each time: a vault that is opened again must not draw the same ids.
    randomness = SeededRandomness(next(_seeds))
    return Machinery(SystemFiles(), clock or VirtualClock(), randomness, InlineWorker())


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
        await records.save(Decision(aggregates), BY_VAULT)


async def equip(vault: Vault) -> None:
    """Register both hosts with what they have, a policy and a network mapping."""
    now = vault.clock.now()
    frequency, retention = timedelta(seconds=5), timedelta(hours=1)
    _, new_policy = policies.create(
        PolicyId("policy"), "quick", PolicySettings(frequency, retention), now
    )
    request = MappingRequest(SOURCE, "lan", (LAN,), TARGET, "dr-lan", "bubble", (DR_LAN, BUBBLE))
    _, new_mapping = network_mappings.create(MappingId("mapping"), request, now)
    async with vault.store.write() as records:
        await records.save(Decision((SOURCE, TARGET)), BY_VAULT)
        await records.save(new_policy + new_mapping, BY_ANN)
        await records.inventories.replace(SOURCE.id, Inventory((MACHINE,), (LAN,)))
        await records.inventories.replace(TARGET.id, Inventory((), (DR_LAN, BUBBLE)))


async def member(
    vault: Vault,
    host_id: HostId,
    state: CertificateState = CertificateState.ACTIVE,
    *,
    is_kept: bool = True,
) -> Caller:
    """Issue a certificate to a host; return whom it proves. One that is not kept is of a history that was lost."""
    key = requested_key(signing_request(generate_private_key()))
    certificate = replace(issue_certificate(vault, Role.HOST, host_id, key), state=state)
    if is_kept:
        await save(vault, certificate)
    return caller_from_certificate(certificate.chain)


async def the_host(vault: Vault, host_id: HostId) -> Host:
    async with vault.store.read() as records:
        host = await records.hosts.find(host_id)
    assert host is not None
    return host


async def states(vault: Vault, host_id: HostId) -> dict[str, str]:
    """Return the state of every certificate of a host."""
    async with vault.store.read() as records:
        found = await records.certificates_of(Role.HOST, host_id)
    return {certificate.id: str(certificate.state) for certificate in found}


async def kinds(vault: Vault) -> list[str]:
    """Return the kinds of all that happened since the vault was made."""
    async with vault.store.read() as records:
        page = await records.history.page(limit=1000, after=0)
    return [str(line.kind) for line in page.items][2:]


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
        vault,
        host_id,
        PointReport(
            protection.id, generation, points, released, EVERY_POINT if complete else None, 1
        ),
    )


async def protect(vault: Vault) -> Protection:
    """Protect the machine, up to its first point."""
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    for host_id in (TARGET.id, SOURCE.id):
        order = await the_order(vault, host_id)
        await receive_outcome(vault, host_id, order.id, Done())
    await report(vault, 1, complete=True)
    return await the_protection(vault)
