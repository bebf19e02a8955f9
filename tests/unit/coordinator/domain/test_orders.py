from coordinator.domain.identifiers import JobId, OrderId, ProtectionId, RehearsalId
from coordinator.domain.orders import CleanUpRehearsal, Done, Order
from tests.unit.coordinator.examples import LATER, NOW, TARGET

ORDER = Order(
    OrderId("o"),
    JobId("j"),
    TARGET.id,
    NOW,
    CleanUpRehearsal(RehearsalId("r"), ProtectionId("p")),
)


def test_an_order_is_open_until_it_has_an_outcome() -> None:
    assert (ORDER.outcome, ORDER.finished_at) == (None, None)
    finished = ORDER.finished(Done(), LATER)
    assert (finished.outcome, finished.finished_at) == (Done(), LATER)
    assert (finished.id, finished.action, finished.issued_at) == ("o", ORDER.action, NOW)


def test_a_withdrawn_order_is_open_until_its_host_has_answered() -> None:
    asked = ORDER.withdrawn(LATER)
    assert (asked.withdrawn_at, asked.outcome) == (LATER, None)
    assert asked.finished(Done(), LATER).withdrawn_at == LATER
