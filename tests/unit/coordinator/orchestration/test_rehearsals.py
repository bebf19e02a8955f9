from datetime import timedelta

import pytest

from coordinator.domain.errors import DomainError, IllegalTransitionError, UnknownObjectError
from coordinator.domain.identifiers import MachineId
from coordinator.domain.inventory import Inventory
from coordinator.domain.orders import (
    CleanUpRehearsal,
    GuestReport,
    NicConnection,
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalStarted,
    StartRehearsal,
)
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.rehearsals import (
    RehearsalWish,
    clean_up_rehearsal,
    end_rehearsals,
    plan_rehearsal,
    start_rehearsal,
)
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import BY_ANN, open_orders, protect, report, the_order

STARTED = RehearsalStarted(
    MachineId("m"),
    (RecoveredDisk("d", "/r/d.vhdx", 1 << 30),),
    (),
    GuestReport(is_healthy=True, summary="verified", records=3),
    (NicConnection("nic-0", ""), NicConnection("nic-1", "")),
)


async def ordered(vault: Vault) -> StartRehearsal:
    action = (await the_order(vault, TARGET.id)).action
    assert isinstance(action, StartRehearsal)
    return action


@pytest.mark.parametrize(("wanted", "sequence"), [("latest", 3), ("2", 2)])
async def test_the_latest_point_is_resolved_when_it_is_decided(
    vault: Vault, wanted: str, sequence: int
) -> None:
    await protect(vault)
    await report(vault, 2, 3)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish(wanted))
    await report(vault, 4)
    assert (await ordered(vault)).sequence == sequence


async def test_adapters_go_to_the_mapped_test_networks(vault: Vault) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    assert (await ordered(vault)).nics == (
        NicConnection("nic-0", "bubble"),
        NicConnection("nic-1", ""),
    )


async def test_a_machine_that_its_host_lists_no_more_is_still_recovered(vault: Vault) -> None:
    await protect(vault)
    async with vault.store.write() as records:
        await records.inventories.replace(SOURCE.id, Inventory((), ()))
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    assert (await ordered(vault)).nics == ()


async def test_an_unknown_point_orders_nothing(vault: Vault) -> None:
    await protect(vault)
    with pytest.raises(UnknownObjectError) as caught:
        await start_rehearsal(vault, BY_ANN, "web", RehearsalWish("2"))
    assert caught.value.code == "unknown-point"
    assert await open_orders(vault, TARGET.id) == ()


async def test_a_plan_tells_what_a_start_would_order_and_orders_nothing(
    vault: Vault, clock: VirtualClock
) -> None:
    await protect(vault)
    await report(vault, 2, 3)
    clock.advance(100 * 24 * 3600)
    async with vault.store.read() as records:
        plan = await plan_rehearsal(vault, records, "web", RehearsalWish("2", "create"))
    assert (plan.point.sequence, plan.target.id) == (2, TARGET.id)
    assert plan.expected_loss == timedelta(days=100), (
        "it was heard of then, whatever its source's clock said"
    )
    assert tuple(nic.network for nic in plan.networks.nics) == plan.networks.created
    assert await open_orders(vault, TARGET.id) == ()
    async with vault.store.read() as records:
        assert await records.rehearsals.all() == ()


async def test_a_plan_of_what_would_be_refused_is_refused(vault: Vault) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    async with vault.store.read() as records:
        with pytest.raises(IllegalTransitionError, match="has a test failover"):
            await plan_rehearsal(vault, records, "web", RehearsalWish())
        with pytest.raises(UnknownObjectError, match="no network void"):
            await plan_rehearsal(vault, records, "web", RehearsalWish(network="void"))


async def test_a_test_is_cleaned_up_when_its_time_is_up(vault: Vault, clock: VirtualClock) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish(length=timedelta(hours=8)))
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, STARTED)
    assert await end_rehearsals(vault) == 0
    clock.advance(8 * 3600)
    session = vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    assert await end_rehearsals(vault) == 1
    assert session.work_waiting.is_set()
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, CleanUpRehearsal)
    assert await end_rehearsals(vault) == 0, "it is being cleaned up"
    await receive_outcome(vault, TARGET.id, order.id, RehearsalCleanedUp(("m",)))
    async with vault.store.read() as records:
        (rehearsal,) = await records.rehearsals.all()
    assert rehearsal.is_successful


async def test_clean_up_is_for_the_one_that_is_not_cleaned_up(vault: Vault) -> None:
    await protect(vault)
    with pytest.raises(UnknownObjectError) as caught:
        await clean_up_rehearsal(vault, BY_ANN, "web", "")
    assert caught.value.code == "no-test-failover"
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    with pytest.raises(IllegalTransitionError):
        await clean_up_rehearsal(vault, BY_ANN, "web", "")
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, STARTED)
    session = vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    await clean_up_rehearsal(vault, BY_ANN, "web", "seen")
    assert session.work_waiting.is_set()
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, CleanUpRehearsal)
    await receive_outcome(vault, TARGET.id, order.id, RehearsalCleanedUp(("m",)))
    async with vault.store.read() as records:
        (rehearsal,) = await records.rehearsals.all()
    assert rehearsal.is_successful
    assert rehearsal.notes == "seen"


async def test_a_host_that_nobody_trusts_recovers_and_removes_nothing(
    vault: Vault, clock: VirtualClock
) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish(length=timedelta(hours=8)))
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, STARTED)
    await revoke_host(vault, BY_ANN, "b1", "")
    with pytest.raises(DomainError) as caught:
        await clean_up_rehearsal(vault, BY_ANN, "web", "")
    assert caught.value.code == "host-revoked"
    clock.advance(8 * 3600)
    await end_rehearsals(vault)
    assert await open_orders(vault, TARGET.id) == ()
    assert await end_rehearsals(vault) == 0, "it is looked at again later"


async def test_a_start_at_a_host_that_nobody_trusts_is_refused(vault: Vault) -> None:
    await protect(vault)
    await revoke_host(vault, BY_ANN, "b1", "")
    with pytest.raises(DomainError) as caught:
        await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    assert caught.value.code == "host-revoked"
