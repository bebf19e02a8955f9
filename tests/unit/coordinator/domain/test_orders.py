from coordinator.domain.identifiers import JobId, OrderId, ProtectionId, RehearsalId
from coordinator.domain.orders import CleanUpRehearsal, Done, Order
from tests.unit.coordinator.examples import LATER, NOW, TARGET


def test_an_order_is_open_until_it_has_an_outcome() -> None:
    action = CleanUpRehearsal(RehearsalId("r"), ProtectionId("p"))
    order = Order(OrderId("o"), JobId("j"), TARGET.id, NOW, action)
    assert (order.outcome, order.finished_at) == (None, None)
    finished = order.finished(Done(), LATER)
    assert (finished.outcome, finished.finished_at) == (Done(), LATER)
    assert (finished.id, finished.action, finished.issued_at) == (order.id, action, NOW)
