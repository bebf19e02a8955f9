from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.events import Event, EventKind
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET


def test_two_decisions_are_one_in_their_order() -> None:
    first = Decision((SOURCE,), (), (Event(NOW, EventKind.HOST_INVITED, "k"),))
    second = Decision((TARGET,), (), (Event(NOW, EventKind.HOST_REGISTERED, "h"),), (SOURCE,))
    both = first + second
    assert both.removed == (SOURCE,)
    assert both.aggregates == (SOURCE, TARGET)
    assert [event.subject for event in both.events] == ["k", "h"]
    assert first + NOTHING == NOTHING + first == first
