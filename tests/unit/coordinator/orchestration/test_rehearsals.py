import pytest

from coordinator.domain.errors import IllegalTransitionError, UnknownObjectError
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
from coordinator.orchestration.rehearsals import clean_up_rehearsal, start_rehearsal
from coordinator.orchestration.vault import Vault
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


@pytest.mark.parametrize(("wanted", "sequence"), [(None, 3), (2, 2)])
async def test_the_latest_point_is_resolved_when_it_is_decided(
    vault: Vault, wanted: int | None, sequence: int
) -> None:
    await protect(vault)
    await report(vault, 2, 3)
    await start_rehearsal(vault, BY_ANN, "web", wanted)
    await report(vault, 4)
    assert (await ordered(vault)).sequence == sequence


async def test_adapters_go_to_the_mapped_test_networks(vault: Vault) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", None)
    assert (await ordered(vault)).nics == (
        NicConnection("nic-0", "bubble"),
        NicConnection("nic-1", ""),
    )


async def test_a_machine_that_its_host_lists_no_more_is_still_recovered(vault: Vault) -> None:
    await protect(vault)
    async with vault.store.write() as records:
        await records.inventories.replace(SOURCE.id, Inventory((), ()))
    await start_rehearsal(vault, BY_ANN, "web", None)
    assert (await ordered(vault)).nics == ()


async def test_an_unknown_point_orders_nothing(vault: Vault) -> None:
    await protect(vault)
    with pytest.raises(UnknownObjectError) as caught:
        await start_rehearsal(vault, BY_ANN, "web", 2)
    assert caught.value.code == "unknown-point"
    assert await open_orders(vault, TARGET.id) == ()


async def test_clean_up_is_for_the_one_that_is_not_cleaned_up(vault: Vault) -> None:
    await protect(vault)
    with pytest.raises(UnknownObjectError) as caught:
        await clean_up_rehearsal(vault, BY_ANN, "web", "")
    assert caught.value.code == "no-test-failover"
    await start_rehearsal(vault, BY_ANN, "web", None)
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
