import pytest

from coordinator.domain.errors import InvalidValueError
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from coordinator.rpc.reactions import react
from replikera.wire.v1 import orders_pb2, session_pb2
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import equip, open_orders, protect, the_order

Request = session_pb2.SessionRequest


async def test_a_heartbeat_is_answered_with_its_number(vault: Vault) -> None:
    beat = Request(heartbeat=session_pb2.Heartbeat(number=9))
    answer = await react(vault, SOURCE.id, beat)
    assert answer is not None
    assert answer.heartbeat.number == 9


async def test_an_outcome_is_accepted_only_after_it_was_stored(vault: Vault) -> None:
    await equip(vault)
    await enable_protection(vault, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    done = orders_pb2.OrderOutcome(order_id=order.id, done=orders_pb2.Done())
    for _ in range(2):
        answer = await react(vault, TARGET.id, Request(outcome=done))
        assert answer is not None
        assert answer.outcome_accepted.order_id == order.id
        assert await open_orders(vault, TARGET.id) == ()


async def test_points_are_accepted_by_the_number_of_their_report(vault: Vault) -> None:
    protection = await protect(vault)
    report = session_pb2.RecoveryPointReport(
        protection_id=protection.id, generation=protection.generation, released=[1], number=12
    )
    answer = await react(vault, TARGET.id, Request(points=report))
    assert answer is not None
    assert answer.points_accepted.number == 12
    async with vault.store.read() as records:
        assert await records.points.listed(protection) == ()


async def test_soft_state_is_taken_without_an_answer(vault: Vault) -> None:
    protection = await protect(vault)
    report = session_pb2.ReplicationReport(
        protection_id=protection.id, state=session_pb2.REPLICATION_STATE_WAITING
    )
    assert await react(vault, SOURCE.id, Request(replication=report)) is None
    kept = vault.reports.get(protection.id)
    assert kept is not None
    assert kept.state == "waiting"
    assert await react(vault, SOURCE.id, Request(inventory=session_pb2.Inventory())) is None
    async with vault.store.read() as records:
        assert await records.inventories.machines() == ()


@pytest.mark.parametrize("message", [Request(), Request(hello=session_pb2.Hello())])
async def test_a_message_out_of_place_is_refused(
    vault: Vault, message: session_pb2.SessionRequest
) -> None:
    with pytest.raises(InvalidValueError):
        await react(vault, SOURCE.id, message)
