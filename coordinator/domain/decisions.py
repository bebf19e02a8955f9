"""The outcome of deciding: new state, orders and events that are stored together or not at all."""

from dataclasses import dataclass

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.events import Event
from coordinator.domain.orders import Order


@dataclass(frozen=True, slots=True)
class Decision:
    """Aggregates as they are from now on, orders that go out, events for the history.

    `removed` are aggregates that no host has ever acted on: they go without a trace but in the history.
    """

    aggregates: tuple[Aggregate, ...] = ()
    orders: tuple[Order, ...] = ()
    events: tuple[Event, ...] = ()
    removed: tuple[Aggregate, ...] = ()

    def __add__(self, other: "Decision") -> "Decision":
        """Return both as one decision."""
        return Decision(
            self.aggregates + other.aggregates,
            self.orders + other.orders,
            self.events + other.events,
            self.removed + other.removed,
        )


NOTHING = Decision()
"""The decision that nothing changes."""
