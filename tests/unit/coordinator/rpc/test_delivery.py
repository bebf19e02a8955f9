import pytest

from coordinator.domain.grants import LIFE
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId
from coordinator.domain.orders import Done
from coordinator.orchestration.grants import renew_grants
from coordinator.orchestration.jobs import cancel_job
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.trust import current_deny_list, revoke_host
from coordinator.orchestration.vault import Vault
from replikera.identity import Caller
from replikera.trust.grant import Grant, open_grant
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET
from tests.unit.coordinator.rpc.sessions import PatientClock, Served, equipped, welcomed
from tests.unit.coordinator.vaults import (
    BY_ANN,
    member,
    open_orders,
    report,
    save,
    the_order,
    the_protection,
)

THIRD = Host(HostId("third"), "c1", "c", NOW)


@pytest.fixture
def clock() -> VirtualClock:
    return PatientClock()


@pytest.fixture
async def target(vault: Vault) -> Caller:
    return await equipped(vault)


@pytest.fixture
async def source(vault: Vault, target: Caller) -> Caller:
    return await member(vault, SOURCE.id)


def read(vault: Vault, signed: bytes) -> Grant:
    return open_grant(
        signed,
        vault_id=vault.record.id,
        root_certificate=vault.authority.root_certificate,
        now=vault.clock.now(),
    )


async def protected(vault: Vault) -> str:
    """Protect the machine while nobody is connected; return the protection's id."""
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    for host_id in (TARGET.id, SOURCE.id):
        order = await the_order(vault, host_id)
        await receive_outcome(vault, host_id, order.id, Done())
    await report(vault, 1, complete=True)
    return (await the_protection(vault)).id


async def head(vault: Vault) -> tuple[int, bytes]:
    async with vault.store.read() as records:
        anchor = await records.head()
    return anchor.number, anchor.digest


async def test_an_order_is_sent_once_a_session_and_when_a_new_one_comes(
    vault: Vault, target: Caller
) -> None:
    async with welcomed(vault, target) as (served, _):
        assert await served.kinds() == []
        job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
        order = (await served.next()).order
        assert order.job_id == job.id
        assert (order.control_version, order.control_digest) == await head(vault)
        vault.presence.wake_all()
        assert await served.kinds() == []
    async with welcomed(vault, target) as (again, _):
        repeated = (await again.next()).order
        assert repeated.order_id == order.order_id
        again.requests.send(
            outcome=orders_pb2.OrderOutcome(order_id=order.order_id, done=orders_pb2.Done())
        )
        assert (await again.next()).outcome_accepted.order_id == order.order_id
    assert await open_orders(vault, TARGET.id) == ()


async def test_both_orders_of_a_protection_carry_the_grant_that_is_newest_then(
    vault: Vault, target: Caller, source: Caller, clock: VirtualClock
) -> None:
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    async with welcomed(vault, target) as (served, _):
        accept = (await served.next()).order
    assert read(vault, accept.accept_replica.grant).version == 1
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    clock.advance((LIFE * 0.6).total_seconds())
    await renew_grants(vault)
    async with welcomed(vault, source) as (served, _):
        (start,) = await served.settled()
    grant = read(vault, start.order.start_replication.grant)
    assert (grant.version, grant.source_host_id) == (2, SOURCE.id)
    assert grant.not_after == clock.now() + LIFE


async def test_a_withdrawn_order_is_taken_back_and_never_sent_as_an_order(
    vault: Vault, target: Caller
) -> None:
    async with welcomed(vault, target) as (served, _):
        job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
        order = (await served.next()).order
        await cancel_job(vault, BY_ANN, job.id)
        assert (await served.next()).withdraw.order_id == order.order_id
    async with welcomed(vault, target) as (again, _):
        (message,) = await again.settled()
        assert message.withdraw.order_id == order.order_id
        withdrawn = orders_pb2.OrderOutcome(
            order_id=order.order_id, withdrawn=orders_pb2.Withdrawn()
        )
        again.requests.send(outcome=withdrawn)
        assert (await again.next()).outcome_accepted.order_id == order.order_id
        assert await again.kinds() == []
    assert await open_orders(vault, TARGET.id) == ()


async def test_a_source_is_told_of_grants_that_it_does_not_have(
    vault: Vault, source: Caller, target: Caller
) -> None:
    protection_id = await protected(vault)
    async with welcomed(vault, source) as (served, _):
        (message,) = await served.settled()
    assert message.grant.protection_id == protection_id
    assert read(vault, message.grant.grant).version == 1
    async with welcomed(vault, source, protections=[held(protection_id, 1)]) as (served, _):
        assert await served.kinds() == []
    async with welcomed(vault, target) as (served, _):
        assert await served.kinds() == []


async def test_a_renewed_grant_is_sent_at_once(
    vault: Vault, source: Caller, clock: VirtualClock
) -> None:
    protection_id = await protected(vault)
    async with welcomed(vault, source, protections=[held(protection_id, 1)]) as (served, _):
        await served.settled()
        clock.advance((LIFE * 0.6).total_seconds())
        await renew_grants(vault)
        grant = (await served.next()).grant
        assert read(vault, grant.grant).version == 2
        vault.presence.wake_all()
        assert await served.kinds() == []


async def test_a_source_that_has_not_begun_gets_its_grant_with_its_order(
    vault: Vault, source: Caller
) -> None:
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    async with welcomed(vault, source) as (served, _):
        assert await served.kinds() == []


async def test_a_changed_deny_list_is_sent_to_all_at_once_and_once(
    vault: Vault, target: Caller, source: Caller
) -> None:
    await save(vault, THIRD)
    async with welcomed(vault, target) as (first, _), welcomed(vault, source) as (second, _):
        await revoke_host(vault, BY_ANN, "c1", "stolen")
        for served in (first, second):
            assert await deny_list(served) == current_deny_list(vault)
        vault.presence.wake_all()
        assert await first.kinds() == []
    for version, expected in ((0, ["deny_list"]), (1, [])):
        async with welcomed(vault, target, deny_list_version=version) as (again, _):
            assert await again.kinds() == expected


async def test_a_vault_that_reconciles_sends_its_deny_list_and_nothing_else(
    vault: Vault, target: Caller, source: Caller
) -> None:
    await save(vault, THIRD)
    await protected(vault)
    await revoke_host(vault, BY_ANN, "c1", "stolen")
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "restored", vault.clock.now())
    async with welcomed(vault, source) as (served, welcome):
        assert welcome.is_reconciling
        assert await served.kinds() == ["deny_list"]


def held(protection_id: str, version: int) -> session_pb2.HeldProtection:
    return session_pb2.HeldProtection(
        protection_id=protection_id,
        epoch=types_pb2.Epoch(number=1, generation="g"),
        is_source=True,
        peer_host_id=TARGET.id,
        grant_version=version,
    )


async def deny_list(served: Served) -> bytes:
    message = await served.next()
    assert message.HasField("deny_list"), message
    signed: bytes = message.deny_list.SerializeToString(deterministic=True)
    return signed
